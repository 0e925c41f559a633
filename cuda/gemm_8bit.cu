/* Products of 8-bit operands: int8 x int8 summed in s32, e4m3 x e4m3 in f32.
 *
 *     out[m][n] = act(x_scale[m] w_scale[n] sum_k x[m][k] w[n][k] + bias[n])
 *
 * The weight comes quantised with a scale per output (tensor/quant.h); the activations are rounded
 * here, with a scale per row, right before. Tensor cores do such products twice as fast as bf16,
 * and operands move half the bytes. The kernel is that of gemm.cu with rows of 64 codes in place of
 * 32 numbers. */
#include "cuda/quantised.cuh"
#include "cuda/tile.cuh"

/* --- rounding the activations -----------------------------------------------------------------*/

enum { ROUND_THREADS = 256 };

/* As round_small() and f8_from_float(): to the nearest, ties to even, |x| <= the largest code. */
DEVICE uint32_t code_of(float x, const struct code_int8 *)
{
    return (uint32_t)__float2int_rn(x) & 0xff;
}

DEVICE uint32_t code_of(float x, const struct code_fp8 *)
{
    const uint32_t bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu;
    const uint32_t sign = bits >> 24 & 0x80;
    if (magnitude < 0x3c800000u) /* below 2^-6: adding 2^14 aligns the fraction at 2^-9 */
        return sign | (__float_as_uint(__uint_as_float(magnitude) + 0x1p14f) - 0x46800000u);
    const uint32_t code = (magnitude + 0x7ffffu + (magnitude >> 20 & 1u) - 0x3c000000u) >> 20;
    return sign | (code > 0x7e ? 0x7e : code);
}

/* quant_scale() */
DEVICE float scale_of(float largest, const struct code_int8 *) { return largest / 127.0f; }
DEVICE float scale_of(float largest, const struct code_fp8 *) { return largest / 448.0f; }

/* A row per block: its largest magnitude, then codes by runs of eight, zeros up to w_row. The
 * second pass reads what the first one left in the caches.
 *
 * Bound: memory; three bytes per bf16 number. Speed: not measured on hardware. */
template <class T, class W>
__global__ void __launch_bounds__(ROUND_THREADS)
    round_inputs_kernel(uint2 *codes, float *scales, struct cuda_product p)
{
    SHARED(uint32_t, partial, [ROUND_THREADS / 32]);
    const int m = (int)blockIdx.x, tid = (int)threadIdx.x, runs = (int)p.w_row / RUN;
    const T *x = static_cast<const T *>(p.x) + place_row<false>(p, m).offset;
    const W *type = NULL;
    uint32_t largest = 0;
    float v[RUN];
    for (int i = tid; i < runs; i += ROUND_THREADS) {
        load_some(v, x + i * RUN, p.k - i * RUN, p.is_x_aligned);
        UNROLL
        for (int e = 0; e < RUN; e++)
            largest = max(largest, __float_as_uint(v[e]) & 0x7fffffffu);
    }
    UNROLL
    for (int step = 16; step > 0; step /= 2)
        largest = max(largest, __shfl_xor_sync(0xffffffffu, largest, step));
    if (tid % 32 == 0)
        partial[tid / 32] = largest;
    __syncthreads();
    largest = 0;
    UNROLL
    for (int i = 0; i < ROUND_THREADS / 32; i++)
        largest = max(largest, partial[i]);

    const float value = __uint_as_float(largest);
    const float scale = value < 1e-30f ? 0.0f : scale_of(value, type);
    const bool is_usable = scale > 0.0f && scale <= 3.4028235e38f;
    const float inverse = is_usable ? 1.0f / scale : 0.0f;
    if (tid == 0)
        scales[m] = scale;
    for (int i = tid; i < runs; i += ROUND_THREADS) {
        uint32_t u[2] = {0, 0};
        load_some(v, x + i * RUN, p.k - i * RUN, p.is_x_aligned);
        UNROLL
        for (int e = 0; e < RUN; e++)
            u[e / 4] |= code_of(is_usable ? v[e] * inverse : 0.0f, type) << (e % 4 * 8);
        codes[(int64_t)m * runs + i] = make_uint2(u[0], u[1]);
    }
}

/* --- the product ------------------------------------------------------------------------------*/

enum {
    MMA_K = 64, /* codes of one stage, as many bytes of each row */
    MMA_STAGES = 4,
};

DEVICE void mma(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    mma_s8(d, a, b0, b1);
}
DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    mma_e4m3(d, a, b0, b1);
}

/* TILE x TILE outputs per block, TILE / 2 x 32 per warp (with more, fp8 spills where it is
 * converted to f16 for the tensor cores, as on sm_90 and sm_100), through a ring of MMA_STAGES
 * buffers that cp.async fills three stages ahead; x and w are dense rows of w_row codes. SUM is
 * what the tensor cores sum in, T the type of out.
 *
 * Bound: arithmetic. Shared memory: 64 or 32 KiB. Speed: not measured on hardware. */
template <int TILE, class SUM, class T>
__global__ void __launch_bounds__(TILE * 2) product_8bit_kernel(struct cuda_product p)
{
    enum {
        THREADS = TILE * 2, /* two rows of warps, TILE / 32 columns */
        WARP_M = TILE / 2,
        WARP_N = 32,
        TILES_M = WARP_M / 16,
        TILES_N = WARP_N / 8,
        COPY_ROWS = THREADS / PIECES,
        COPIES = TILE / COPY_ROWS, /* pieces per thread, operand and stage */
        STAGE = TILE * MMA_K,
    };
    SHARED_DYN(int8_t, shared);
    const int tid = (int)threadIdx.x, lane = tid % 32, warp = tid / 32;
    const int warp_m = warp % 2 * WARP_M, warp_n = warp / 2 * WARP_N;

    const int2 start = tile_start<TILE>(p);
    const int m0 = start.x, n0 = start.y;
    const int8_t *x = static_cast<const int8_t *>(p.x), *w = static_cast<const int8_t *>(p.w);
    const int copy_row = tid / PIECES, copy_piece = tid % PIECES;
    auto load = [&](int stage) {
        int8_t *xs = shared + stage % MMA_STAGES * 2 * STAGE, *ws = xs + STAGE;
        const int k = stage * MMA_K + copy_piece * PIECE_BYTES;
        UNROLL
        for (int i = 0; i < COPIES; i++) {
            const int row = copy_row + i * COPY_ROWS;
            const bool has_x = m0 + row < p.rows && k < (int)p.w_row;
            const bool has_w = n0 + row < p.n && k < (int)p.w_row;
            cp_async16(xs + swizzled<int8_t>(row, copy_piece),
                       has_x ? x + (m0 + row) * p.w_row + k : x, has_x ? PIECE_BYTES : 0);
            cp_async16(ws + swizzled<int8_t>(row, copy_piece),
                       has_w ? w + (n0 + row) * p.w_row + k : w, has_w ? PIECE_BYTES : 0);
        }
    };

    const int stages = (p.k + MMA_K - 1) / MMA_K;
    SUM acc[TILES_M][TILES_N][4] = {};
    for (int s = 0; s < MMA_STAGES - 1; s++) {
        if (s < stages)
            load(s);
        cp_async_commit();
    }
    for (int s = 0; s < stages; s++) {
        cp_async_wait<MMA_STAGES - 2>();
        __syncthreads(); /* stage s is there, and everybody has left stage s - 1 */
        if (s + MMA_STAGES - 1 < stages)
            load(s + MMA_STAGES - 1);
        cp_async_commit();
        const int8_t *xs = shared + s % MMA_STAGES * 2 * STAGE, *ws = xs + STAGE;
        UNROLL
        for (int k = 0; k < MMA_K / 32; k++) {
            uint32_t a[TILES_M][4];
            UNROLL
            for (int i = 0; i < TILES_M; i++)
                ldmatrix_x4(a[i],
                            xs + swizzled<int8_t>(warp_m + i * 16 + lane % 16, k * 2 + lane / 16));
            UNROLL
            for (int j = 0; j < TILES_N / 2; j++) {
                uint32_t b[4];
                ldmatrix_x4(b, ws + swizzled<int8_t>(warp_n + j * 16 + lane / 16 * 8 + lane % 8,
                                                     k * 2 + lane / 8 % 2));
                UNROLL
                for (int i = 0; i < TILES_M; i++) {
                    mma(acc[i][2 * j], a[i], b[0], b[1]);
                    mma(acc[i][2 * j + 1], a[i], b[2], b[3]);
                }
            }
        }
    }
    cp_async_wait<0>();
    __syncthreads();

    float *results = reinterpret_cast<float *>(shared);
    stage_sums<TILE>(results, acc, warp_m, warp_n, lane);
    __syncthreads();
    const float *w_scales = static_cast<const float *>(p.w_scales);
    for (int i = tid; i < TILE * TILE / RUN; i += THREADS) {
        const int row = i / (TILE / RUN), column = i % (TILE / RUN) * RUN;
        if (m0 + row >= p.rows || n0 + column >= p.n)
            continue;
        float v[RUN], scales[RUN];
        const float x_scale = p.x_scales[m0 + row];
        load_run(v, results + staged<TILE>(row, column));
        load_some(scales, w_scales + n0 + column, p.n - n0 - column, true);
        UNROLL
        for (int e = 0; e < RUN; e++)
            v[e] = v[e] * x_scale * scales[e];
        finish_run<T>(p, m0 + row, n0 + column, v);
    }
}

/* --- launchers --------------------------------------------------------------------------------*/

typedef void (*round_fn)(uint2 *codes, float *scales, struct cuda_product p);

/* By [activations f32, bf16][int8, fp8]. */
static const round_fn ROUND_KERNELS[2][2] = {
    {round_inputs_kernel<float, struct code_int8>, round_inputs_kernel<float, struct code_fp8>},
    {round_inputs_kernel<__nv_bfloat16, struct code_int8>,
     round_inputs_kernel<__nv_bfloat16, struct code_fp8>},
};

/* By [tile 64, 128][int8, fp8][out f32, bf16]. */
static const product_fn PRODUCT_KERNELS[2][2][2] = {
    {{product_8bit_kernel<64, int, float>, product_8bit_kernel<64, int, __nv_bfloat16>},
     {product_8bit_kernel<64, float, float>, product_8bit_kernel<64, float, __nv_bfloat16>}},
    {{product_8bit_kernel<128, int, float>, product_8bit_kernel<128, int, __nv_bfloat16>},
     {product_8bit_kernel<128, float, float>, product_8bit_kernel<128, float, __nv_bfloat16>}},
};

static int shared_bytes(int tile) { return MMA_STAGES * 2 * tile * MMA_K; }

bool cuda_gemm_8bit_open(struct cuda *c)
{
    bool is_done = true;
    for (int i = 0; i < 8; i++) {
        const product_fn kernel = PRODUCT_KERNELS[i / 4][i / 2 % 2][i % 2];
        is_done =
            is_done && cuda_check(c,
                                  cudaFuncSetAttribute((const void *)kernel,
                                                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                       shared_bytes(i / 4 ? 128 : 64)),
                                  "linear in 8 bits: shared memory");
    }
    return is_done;
}

bool cuda_round_inputs(struct cuda *c, struct cuda_product *p)
{
    const size_t code_bytes = (size_t)(p->rows * p->w_row); /* a multiple of 16 */
    char *work = static_cast<char *>(cuda_work(c, code_bytes + (size_t)p->rows * sizeof(float)));
    if (!work)
        return false;
    float *scales = reinterpret_cast<float *>(work + code_bytes);
    const round_fn kernel = ROUND_KERNELS[p->dtype == DTYPE_BF16][p->w_dtype == DTYPE_FP8];
    LAUNCH(kernel, (unsigned)p->rows, ROUND_THREADS, 0, c->stream, reinterpret_cast<uint2 *>(work),
           scales, *p);
    cuda_launched(c, "rounding inputs");
    p->x = work;
    p->x_scales = scales;
    return true;
}

void cuda_product_8bit(struct cuda *c, const struct cuda_product *p)
{
    const int64_t big = (int64_t)((p->rows + 127) / 128) * ((p->n + 127) / 128);
    const int tile = big >= c->processors ? 128 : 64;
    const unsigned blocks = (unsigned)((p->rows + tile - 1) / tile * ((p->n + tile - 1) / tile));
    const product_fn kernel =
        PRODUCT_KERNELS[tile == 128][p->w_dtype == DTYPE_FP8][p->dtype == DTYPE_BF16];
    LAUNCH(kernel, blocks, tile * 2u, (size_t)shared_bytes(tile), c->stream, *p);
}
