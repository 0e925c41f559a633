/* Quantised weights on their way into a product of many rows: unpacked as a whole into working
 * memory, in the type of the activations, where any kernel and cuBLASLt can take them. For a matrix
 * of 3072 x 12288 that moves 113 MB (int8), against 19 Gflop per 256 rows; unpacking in the
 * product's own loop would repeat it for every tile of rows. Products of a few rows unpack on load
 * (product_few_kernel): they are bound by reading the weight, which is what quantising makes less.
 */
#include "cuda/quantised.cuh"

enum { UNPACK_THREADS = 256 };

/* A run of eight per thread; to has rows of p.w_row like the codes. Bound: memory. Speed: not
 * measured on hardware. */
template <class T, class W>
__global__ void __launch_bounds__(UNPACK_THREADS) unpack_kernel(void *to, struct cuda_product p)
{
    const int64_t run = (int64_t)blockIdx.x * UNPACK_THREADS + threadIdx.x;
    const int64_t runs = p.w_row / RUN;
    const int n = (int)(run / runs), k = (int)(run % runs) * RUN;
    float v[RUN];
    if (n >= p.n)
        return;
    load_weights(v, static_cast<const W *>(p.w), p, n, k);
    store_run(static_cast<T *>(to) + n * p.w_row + k, v);
}

/* --- launcher ---------------------------------------------------------------------------------*/

typedef void (*unpack_fn)(void *to, struct cuda_product p);

/* By [activations f32, bf16][int8, fp8, q4]. */
static const unpack_fn UNPACK_KERNELS[2][3] = {
    {unpack_kernel<float, struct code_int8>, unpack_kernel<float, struct code_fp8>,
     unpack_kernel<float, struct code_q4>},
    {unpack_kernel<__nv_bfloat16, struct code_int8>, unpack_kernel<__nv_bfloat16, struct code_fp8>,
     unpack_kernel<__nv_bfloat16, struct code_q4>},
};

bool cuda_unpack(struct cuda *c, struct cuda_product *p)
{
    const int64_t elements = p->n * p->w_row;
    void *to = cuda_work(c, (size_t)elements * dtype_bytes(p->dtype));
    if (!to)
        return false;
    const unpack_fn kernel = UNPACK_KERNELS[p->dtype == DTYPE_BF16][p->w_dtype - DTYPE_INT8];
    const int64_t blocks = (elements / RUN + UNPACK_THREADS - 1) / UNPACK_THREADS;
    LAUNCH(kernel, (unsigned)blocks, UNPACK_THREADS, 0, c->stream, to, *p);
    cuda_launched(c, "unpacking a weight");
    p->w = to;
    p->w_dtype = p->dtype;
    return true;
}
