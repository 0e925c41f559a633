/* A back end on a simulated device with two vectors, for tests of what happens around operations.
 */
#pragma once

#include <stdlib.h>

#include "cuda/cuda.h"
#include "tests/cuda_sim/vgpu.h"

enum { N = 40, ADDITIONS = 20 /* enough to be worth a graph */ };

struct world {
    struct backend *b;
    struct tensor x, sum; /* [N] */
};

/* NULL with an error when a part cannot be had. */
static inline struct world *world_open(struct error *err)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w || !cuda_open(&w->b, &(struct cuda_options){.compute = DTYPE_F32}, err)) {
        free(w);
        return NULL;
    }
    w->x = tensor_make(backend_alloc(w->b, N * sizeof(float), err), DTYPE_F32, SHAPE(N));
    w->sum = tensor_make(backend_alloc(w->b, N * sizeof(float), err), DTYPE_F32, SHAPE(N));
    vgpu_faults_reset();
    return w;
}

static inline void world_close(struct world *w)
{
    backend_free(w->b, w->x.data);
    backend_free(w->b, w->sum.data);
    backend_close(w->b);
    free(w);
}
