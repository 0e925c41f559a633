/* Strided element-wise traversal: up to three windows of one shape, cut into runs of eight along
 * the last axis. Neighbouring axes that are contiguous in all windows are joined first, so that
 * dense tensors become one long row and need no division per thread. */
#pragma once

#include "cuda/common.cuh"

enum { WALK_WINDOWS = 3 };

struct walk {
    int rank; /* axes before the last */
    int64_t dims[TENSOR_MAX_RANK];
    int64_t strides[WALK_WINDOWS][TENSOR_MAX_RANK]; /* in elements, innermost first */
    int64_t length;                                 /* of the last axis */
    int64_t steps[WALK_WINDOWS];                    /* stride of the last axis */
    int64_t runs_per_row, runs;
    bool is_aligned; /* all windows: last axis contiguous, every run at 16 bytes */
};

/* Begin a traversal of n windows of equal shape. */
static inline struct walk walk_begin(int n, const struct tensor *windows)
{
    struct walk w = {};
    bool has_last = false;
    w.length = 1;
    for (int i = 0; i < n; i++)
        w.steps[i] = 1;
    for (int a = windows[0].rank - 1; a >= 0; a--) {
        const int64_t dim = windows[0].dims[a];
        if (dim == 1)
            continue;
        if (!has_last) {
            w.length = dim;
            for (int i = 0; i < n; i++)
                w.steps[i] = windows[i].strides[a];
            has_last = true;
            continue;
        }
        int64_t *inner_dim = w.rank == 0 ? &w.length : &w.dims[w.rank - 1];
        bool can_join = true;
        for (int i = 0; i < n; i++) {
            const int64_t step = w.rank == 0 ? w.steps[i] : w.strides[i][w.rank - 1];
            can_join = can_join && windows[i].strides[a] == *inner_dim * step;
        }
        if (can_join) {
            *inner_dim *= dim;
            continue;
        }
        for (int i = 0; i < n; i++)
            w.strides[i][w.rank] = windows[i].strides[a];
        w.dims[w.rank++] = dim;
    }
    w.runs_per_row = (w.length + RUN - 1) / RUN;
    w.runs = w.runs_per_row;
    for (int a = 0; a < w.rank; a++)
        w.runs *= w.dims[a];
    w.is_aligned = true;
    for (int i = 0; i < n; i++) {
        w.is_aligned = w.is_aligned && w.steps[i] == 1 && (uintptr_t)windows[i].data % 16 == 0;
        for (int a = 0; a < w.rank; a++)
            w.is_aligned = w.is_aligned && w.strides[i][a] % RUN == 0;
    }
    return w;
}

/* Offsets (in elements) of run i in n windows; returns its number of elements. */
template <int N>
DEVICE int walk_run(const struct walk &w, int64_t i, int64_t (&offsets)[WALK_WINDOWS])
{
    int64_t row = 0, run = i;
    if (w.rank > 0) { /* 32 bits divide several times faster */
        const bool is_small = w.runs < (int64_t)1 << 32;
        row = is_small ? (int64_t)((uint32_t)i / (uint32_t)w.runs_per_row) : i / w.runs_per_row;
        run = i - row * w.runs_per_row;
    }
    const int64_t start = run * RUN;
    UNROLL
    for (int k = 0; k < N; k++)
        offsets[k] = start * w.steps[k];
    UNROLL
    for (int a = 0; a < TENSOR_MAX_RANK; a++) {
        if (a < w.rank) {
            const bool is_small = row < (int64_t)1 << 32;
            const int64_t rest =
                is_small ? (int64_t)((uint32_t)row / (uint32_t)w.dims[a]) : row / w.dims[a];
            const int64_t index = row - rest * w.dims[a];
            row = rest;
            UNROLL
            for (int k = 0; k < N; k++)
                offsets[k] += index * w.strides[k][a];
        }
    }
    const int64_t left = w.length - start;
    return left < RUN ? (int)left : (int)RUN;
}
