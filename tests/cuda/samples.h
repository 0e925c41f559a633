/* Sample kernels for tests of the simulated device itself: small ones that use each mechanism, and
 * the same with faults planted, one per checker. */
#pragma once

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Faults of sample_softmax. */
enum softmax_fault {
    SOFTMAX_RIGHT,
    SOFTMAX_NO_BARRIER,        /* partial results are read before they are written */
    SOFTMAX_SHARED_OVERRUN,    /* writes behind a shared array */
    SOFTMAX_UNWRITTEN_SHARED,  /* reads a slot that nobody wrote */
    SOFTMAX_DIVERGENT_BARRIER, /* half of the block waits once more */
    SOFTMAX_ROW_OVERRUN,       /* writes one element past each row */
    SOFTMAX_MISALIGNED,        /* reads 8 bytes at an address that is 4 mod 8 */
    SOFTMAX_PARTIAL_MASK,      /* shuffles with a mask that names absent lanes */
    SOFTMAX_EARLY_RETURN,      /* threads return before a barrier */
    SOFTMAX_DEADLOCK,          /* one warp waits for a lane that waits at the barrier */
    SOFTMAX_N_FAULTS
};

/* y = softmax(x) by rows, f32; one block of 128 per row. */
void sample_softmax(const float *x, float *y, int rows, int cols, enum softmax_fault fault,
                    cudaStream_t stream);

/* Faults of sample_product. */
enum product_fault {
    PRODUCT_RIGHT,
    PRODUCT_NO_WAIT,   /* the tile is read before its copy has arrived */
    PRODUCT_OVERWRITE, /* the next copy goes into a tile that is still read */
    PRODUCT_N_FAULTS
};

/* c [M, N] f32 = a [M, K] w [N, K]^T, bf16 on the tensor cores; K a multiple of 8. */
void sample_product(const void *a, const void *w, float *c, int m, int n, int k,
                    enum product_fault fault, cudaStream_t stream);

/* c [16, 8] = a [16, 32] w [8, 32]^T: int8 exactly, e4m3. */
void sample_int8(const void *a, const void *w, int *c, cudaStream_t stream);
void sample_e4m3(const void *a, const void *w, float *c, cudaStream_t stream);

/* total += the sum of x. With plain_add the addition is not atomic. */
void sample_sum(const float *x, int n, float *total, int plain_add, cudaStream_t stream);

/* A kernel that uses `bytes` of dynamic shared memory, with or without asking for them first; y[0]
 * becomes bytes / 4 - 1. Returns the launch's status. */
cudaError_t sample_dynamic(float *y, int bytes, int set_attribute, cudaStream_t stream);

/* out [320]: what shuffles of the lane number and votes give; see samples.cu for which. */
void sample_shuffles(int *out, cudaStream_t stream);

/* y[i] = x[i] + 1. */
void sample_increment(const float *x, float *y, int n, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
