/* Matrix products without tensor cores: f32 activations with weights of any type, which are widened
 * on the way, and a few rows of any type, which are bound by reading the weight: there quantised
 * ones are unpacked on load, for more rows beforehand (unpack.cu). */
#include "cuda/quantised.cuh"

/* --- f32 --------------------------------------------------------------------------------------*/

enum { FMA_TILE = 64, FMA_K = 16, FMA_THREADS = 256, FMA_EACH = 4, FMA_PITCH = FMA_TILE + 4 };

/* 64 x 64 outputs per block, 4 x 4 per thread (rows ty + 16 i, columns 4 tx + j); K in steps of 16
 * through shared memory, both operands transposed there. Weights of 16 bits are widened when they
 * arrive. Bound: arithmetic, two shared reads per 16 multiply-adds. No assumption on alignment. */
template <class W, bool IS_CONV>
__global__ void __launch_bounds__(FMA_THREADS) product_fma_kernel(struct cuda_product p)
{
    SHARED(float, xs, [FMA_K][FMA_PITCH]);
    SHARED(float, ws, [FMA_K][FMA_PITCH]);
    const int tid = (int)threadIdx.x, tx = tid % 16, ty = tid / 16;
    const int tiles_n = (p.n + FMA_TILE - 1) / FMA_TILE;
    const int m0 = (int)blockIdx.x / tiles_n * FMA_TILE, n0 = (int)blockIdx.x % tiles_n * FMA_TILE;
    /* Thread t brings inputs 4 (t % 4) .. + 4 of row t / 4 of both operands. */
    const int row = tid / 4, first = tid % 4 * 4;
    const struct row_place place = place_row<IS_CONV>(p, m0 + row);
    const float *x = static_cast<const float *>(p.x);
    const W *w = static_cast<const W *>(p.w) + (int64_t)min(n0 + row, p.n - 1) * p.w_row;
    float acc[FMA_EACH][FMA_EACH] = {};
    for (int k0 = 0; k0 < p.k; k0 += FMA_K) {
        struct tap t = tap_at<IS_CONV>(p, k0 + first);
        UNROLL
        for (int e = 0; e < 4; e++) {
            const int64_t at = x_offset<IS_CONV>(p, place, t);
            xs[first + e][row] = at < 0 ? 0.0f : x[at];
            ws[first + e][row] = t.k < (int)p.w_row ? get(w + t.k) : 0.0f;
            tap_advance<IS_CONV>(p, t, 1);
        }
        __syncthreads();
        UNROLL
        for (int k = 0; k < FMA_K; k++) {
            float4 b = *reinterpret_cast<const float4 *>(&ws[k][4 * tx]);
            UNROLL
            for (int i = 0; i < FMA_EACH; i++) {
                const float a = xs[k][ty + 16 * i];
                acc[i][0] = fmaf(a, b.x, acc[i][0]);
                acc[i][1] = fmaf(a, b.y, acc[i][1]);
                acc[i][2] = fmaf(a, b.z, acc[i][2]);
                acc[i][3] = fmaf(a, b.w, acc[i][3]);
            }
        }
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < FMA_EACH; i++) {
        const int m = m0 + ty + 16 * i;
        if (m >= p.rows)
            continue;
        float *out = static_cast<float *>(p.out) + out_offset(p, m);
        UNROLL
        for (int j = 0; j < FMA_EACH; j++) {
            const int n = n0 + 4 * tx + j;
            if (n < p.n)
                out[n] = activated(acc[i][j] + (p.bias ? p.bias[n] : 0.0f), p.act);
        }
    }
}

/* --- a few rows -------------------------------------------------------------------------------*/

enum { FEW_WARPS = 8 };

/* Up to FEW_ROWS rows: one warp per output, its lanes side by side along K, 16 bytes at a time.
 * Bound: memory, the weight is read once; x comes from cache. Not for convolutions. */
template <class T, class W>
__global__ void __launch_bounds__(32 * FEW_WARPS) product_few_kernel(struct cuda_product p)
{
    const int lane = (int)threadIdx.x % 32;
    const int n = (int)blockIdx.x * FEW_WARPS + (int)threadIdx.x / 32;
    if (n >= p.n) /* a whole warp; there is no barrier below */
        return;
    const T *x = static_cast<const T *>(p.x);
    const W *w = static_cast<const W *>(p.w);
    int64_t places[FEW_ROWS];
    float sums[FEW_ROWS] = {};
    UNROLL
    for (int m = 0; m < FEW_ROWS; m++)
        places[m] = place_row<false>(p, min(m, p.rows - 1)).offset;
    for (int k = lane * RUN; k < p.k; k += 32 * RUN) {
        float ws[RUN];
        load_weights(ws, w, p, n, k);
        UNROLL
        for (int m = 0; m < FEW_ROWS; m++) {
            float xs[RUN];
            if (m >= p.rows)
                continue;
            load_some(xs, x + places[m] + k, p.k - k, p.is_x_aligned);
            UNROLL
            for (int i = 0; i < RUN; i++)
                sums[m] = fmaf(xs[i], ws[i], sums[m]);
        }
    }
    UNROLL
    for (int m = 0; m < FEW_ROWS; m++) {
        const float sum = warp_sum(sums[m]) + (p.bias ? p.bias[n] : 0.0f);
        if (lane == 0 && m < p.rows)
            put(static_cast<T *>(p.out) + out_offset(p, m) + n, activated(sum, p.act));
    }
}

/* --- launchers ---------------------------------------------------------------------------------*/

void product_fma_run(struct cuda *c, const struct cuda_product *p)
{
    static const product_fn kernels[3][2] = {
        {product_fma_kernel<float, false>, product_fma_kernel<float, true>},
        {product_fma_kernel<__nv_bfloat16, false>, product_fma_kernel<__nv_bfloat16, true>},
        {product_fma_kernel<__half, false>, product_fma_kernel<__half, true>},
    };
    const unsigned blocks =
        (unsigned)((p->rows + FMA_TILE - 1) / FMA_TILE * ((p->n + FMA_TILE - 1) / FMA_TILE));
    const product_fn kernel = kernels[p->w_dtype][p->is_conv]; /* F32, BF16, F16 are 0, 1, 2 */
    LAUNCH(kernel, blocks, FMA_THREADS, 0, c->stream, *p);
}

void product_few_run(struct cuda *c, const struct cuda_product *p)
{
    /* By [activations f32, bf16][type of the weight, as in enum dtype]. */
    static const product_fn kernels[2][DTYPE_Q4 + 1] = {
        {product_few_kernel<float, float>, product_few_kernel<float, __nv_bfloat16>,
         product_few_kernel<float, __half>, NULL, NULL, product_few_kernel<float, struct code_int8>,
         product_few_kernel<float, struct code_fp8>, product_few_kernel<float, struct code_q4>},
        {NULL, product_few_kernel<__nv_bfloat16, __nv_bfloat16>, NULL, NULL, NULL,
         product_few_kernel<__nv_bfloat16, struct code_int8>,
         product_few_kernel<__nv_bfloat16, struct code_fp8>,
         product_few_kernel<__nv_bfloat16, struct code_q4>},
    };
    const product_fn kernel = kernels[p->dtype == DTYPE_BF16][p->w_dtype];
    const unsigned blocks = (unsigned)((p->n + FEW_WARPS - 1) / FEW_WARPS);
    LAUNCH(kernel, blocks, 32 * FEW_WARPS, 0, c->stream, *p);
}
