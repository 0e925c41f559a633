/* Tiles are made row by row, from left to right. Two rows of whole tiles are kept, since each tile
 * fades in what its neighbours above and to the left know of its own place: they are small beside
 * the feature maps of a single tile. */
#include "flux/vae_tiles.h"

#include <stdlib.h>

#include "base/buf.h"

enum { OVERLAP = 4 /* a fourth of a tile's side */ };

/* One half of the autoencoder, and how large its tiles are. */
struct half {
    void (*forward)(struct backend *b, const struct vae *m, struct tensor out, struct tensor in);
    int64_t in_side, out_side;
};

struct tiles {
    struct tensor
        buffer;        /* [2 columns, elements of a whole tile]: this row of tiles and the last */
    struct tensor out; /* the whole result */
    int64_t columns;
    int64_t side, blend; /* of a tile and of an overlap in the result */
};

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

/* Tiles begin every `step`, as long as there is something left. */
static int64_t count(int64_t length, int64_t step) { return (length + step - 1) / step; }

/* Tile (row, column) of the result, dense in the buffer; smaller at the lower and right edge. */
static struct tensor tile_at(const struct tiles *t, int64_t row, int64_t column)
{
    int64_t step = t->side - t->blend, channels = t->out.dims[3];
    int64_t height = min(t->side, t->out.dims[1] - row * step);
    int64_t width = min(t->side, t->out.dims[2] - column * step);
    struct tensor place = tensor_at(t->buffer, 0, row % 2 * t->columns + column);
    return tensor_reshape(tensor_slice(place, 0, 0, height * width * channels),
                          SHAPE(1, height, width, channels));
}

/* The weights of n rows (axis 1) or columns (axis 2), repeated over the other axis of like: i / n
 * when rising, else 1 - i / n. */
static struct tensor ramp(struct backend *b, int64_t n, int axis, struct tensor like,
                          bool is_rising)
{
    int64_t channels = like.dims[3];
    float *host = xmalloc((size_t)(n * channels) * sizeof *host);
    for (int64_t i = 0; i < n * channels; i++) {
        int64_t place = i / channels;
        float share = (float)place / (float)n;
        host[i] = is_rising ? share : 1.0f - share;
    }
    struct shape shape = axis == 1 ? SHAPE(1, n, 1, channels) : SHAPE(1, 1, n, channels);
    struct tensor weights = upload_new(b, host, shape);
    free(host);
    return tensor_repeat(weights, 3 - axis, like.dims[3 - axis]);
}

/* Let the first rows or columns of tile begin as the last ones of `before`, its neighbour. */
static void fade(struct backend *b, const struct tiles *t, struct tensor tile, struct tensor before,
                 int axis)
{
    size_t mark = scratch_mark(b);
    int64_t n = min(t->blend, min(tile.dims[axis], before.dims[axis]));
    struct tensor from = tensor_slice(before, axis, before.dims[axis] - n, n);
    struct tensor into = tensor_slice(tile, axis, 0, n);
    struct tensor rest =
        scratch_take(b, b->compute, SHAPE(1, into.dims[1], into.dims[2], into.dims[3]));
    op_mul(b, rest, from, ramp(b, n, axis, into, false));
    op_mul(b, into, into, ramp(b, n, axis, into, true));
    op_add(b, into, into, rest);
    scratch_release(b, mark);
}

/* A window of x from (row, column), at most height x width, clipped at the edges. */
static struct tensor window(struct tensor x, int64_t row, int64_t column, int64_t height,
                            int64_t width)
{
    x = tensor_slice(x, 1, row, min(height, x.dims[1] - row));
    return tensor_slice(x, 2, column, min(width, x.dims[2] - column));
}

static void make_tile(struct backend *b, const struct vae *m, const struct half *half,
                      struct tensor tile, struct tensor from)
{
    size_t mark = scratch_mark(b);
    struct tensor in =
        scratch_take(b, b->compute, SHAPE(1, from.dims[1], from.dims[2], from.dims[3]));
    op_copy(b, in, from);
    half->forward(b, m, tile, in);
    scratch_release(b, mark);
}

static void forward(struct backend *b, const struct vae *m, const struct half *half,
                    struct tensor out, struct tensor in)
{
    if (half->in_side == 0 || (in.dims[1] <= half->in_side && in.dims[2] <= half->in_side)) {
        half->forward(b, m, out, in);
        return;
    }
    size_t mark = scratch_mark(b);
    int64_t in_step = half->in_side - half->in_side / OVERLAP;
    int64_t rows = count(in.dims[1], in_step), columns = count(in.dims[2], in_step);
    int64_t whole =
        min(half->out_side, out.dims[1]) * min(half->out_side, out.dims[2]) * out.dims[3];
    struct tiles t = {.buffer = scratch_take(b, b->compute, SHAPE(2 * columns, whole)),
                      .out = out,
                      .columns = columns,
                      .side = half->out_side,
                      .blend = half->out_side / OVERLAP};
    int64_t out_step = t.side - t.blend;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            struct tensor tile = tile_at(&t, i, j);
            make_tile(b, m, half, tile,
                      window(in, i * in_step, j * in_step, half->in_side, half->in_side));
            if (i > 0) {
                fade(b, &t, tile, tile_at(&t, i - 1, j), 1);
            }
            if (j > 0) {
                fade(b, &t, tile, tile_at(&t, i, j - 1), 2);
            }
            op_copy(b, window(out, i * out_step, j * out_step, out_step, out_step),
                    window(tile, 0, 0, out_step, out_step));
        }
    }
    scratch_release(b, mark);
}

void vae_tiles_decode(struct backend *b, const struct vae *m, struct tensor image,
                      struct tensor latent)
{
    int64_t factor = image.dims[1] / latent.dims[1];
    const struct half decoder = {vae_decode, m->config.tile_px / factor, m->config.tile_px};
    forward(b, m, &decoder, image, latent);
}

void vae_tiles_encode(struct backend *b, const struct vae *m, struct tensor moments,
                      struct tensor image)
{
    int64_t factor = image.dims[1] / moments.dims[1];
    const struct half encoder = {vae_encode, m->config.tile_px, m->config.tile_px / factor};
    forward(b, m, &encoder, moments, image);
}
