/* Joining of axes and arithmetic of pieces; no data is touched here. */
#include "cpu/walk.h"

#include <assert.h>

/* Can axis a of all windows be joined with the axis b that follows it? */
static bool can_join(const struct walk *w, const int64_t inner[WALK_MAX], int64_t inner_dim, int a)
{
    for (int i = 0; i < w->n; i++) {
        if (w->strides[i][a] != inner[i] * inner_dim)
            return false;
    }
    return true;
}

struct walk walk_begin(int n, const struct tensor *windows)
{
    assert(n >= 1 && n <= WALK_MAX);
    struct walk w = {.n = n, .length = 1, .pieces_per_row = 1};
    for (int i = 0; i < n; i++)
        w.steps[i] = 1;
    /* Axes from the last to the first; rank counts those kept, innermost kept first. */
    bool has_last = false;
    for (int a = windows[0].rank - 1; a >= 0; a--) {
        int64_t dim = windows[0].dims[a];
        if (dim == 1)
            continue;
        int64_t *stride_of_last = w.steps;
        if (!has_last) {
            w.length = dim;
            for (int i = 0; i < n; i++)
                w.steps[i] = windows[i].strides[a];
            has_last = true;
            continue;
        }
        int slot = w.rank;
        for (int i = 0; i < n; i++)
            w.strides[i][slot] = windows[i].strides[a];
        if (slot == 0 && can_join(&w, stride_of_last, w.length, slot)) {
            w.length *= dim;
            continue;
        }
        int64_t previous[WALK_MAX] = {0};
        for (int i = 0; slot > 0 && i < n; i++)
            previous[i] = w.strides[i][slot - 1];
        if (slot > 0 && can_join(&w, previous, w.dims[slot - 1], slot)) {
            w.dims[slot - 1] *= dim;
            continue;
        }
        w.dims[slot] = dim;
        w.rank++;
    }
    w.pieces_per_row = (w.length + WALK_PIECE - 1) / WALK_PIECE;
    w.pieces = w.pieces_per_row;
    for (int a = 0; a < w.rank; a++)
        w.pieces *= w.dims[a];
    if (tensor_elements(windows[0]) == 0)
        w.pieces = 0;
    return w;
}

int64_t walk_piece(const struct walk *w, int64_t i, int64_t offsets[WALK_MAX])
{
    int64_t start = i % w->pieces_per_row * WALK_PIECE;
    int64_t row = i / w->pieces_per_row;
    for (int k = 0; k < w->n; k++)
        offsets[k] = start * w->steps[k];
    for (int a = 0; a < w->rank; a++) { /* innermost first */
        int64_t index = row % w->dims[a];
        row /= w->dims[a];
        for (int k = 0; k < w->n; k++)
            offsets[k] += index * w->strides[k][a];
    }
    int64_t left = w->length - start;
    return left < WALK_PIECE ? left : WALK_PIECE;
}

void *tensor_element(struct tensor t, int64_t offset)
{
    return (char *)t.data + offset * (int64_t)dtype_bytes(t.dtype);
}
