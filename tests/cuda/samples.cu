/* The kernels of samples.h. */
#include "tests/cuda/samples.h"

#include "cuda/common.cuh"

enum { THREADS = 128 };

/* --- softmax by rows --------------------------------------------------------------------------*/

DEVICE float warp_max(float v)
{
    for (int step = 16; step > 0; step /= 2)
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
    return v;
}

template <int FAULT> __global__ void softmax_kernel(const float *x, float *y, int cols)
{
    SHARED(float, partial, [THREADS / 32]);
    const int tid = (int)threadIdx.x, lane = tid % 32, warp = tid / 32;
    const float *from = x + (size_t)blockIdx.x * cols;
    float *to = y + (size_t)blockIdx.x * cols;

    if (FAULT == SOFTMAX_EARLY_RETURN && tid >= 96)
        return;
    float largest = -INFINITY;
    for (int i = tid; i < cols; i += THREADS)
        largest = fmaxf(largest, from[i]);
    if (FAULT == SOFTMAX_MISALIGNED) {
        const float2 pair = *reinterpret_cast<const float2 *>(from + 1);
        largest = fmaxf(largest, fmaxf(pair.x, pair.y));
    }
    if (FAULT == SOFTMAX_PARTIAL_MASK && lane < 16)
        largest = fmaxf(largest, __shfl_xor_sync(0x0000fffeu, largest, 1));
    if (FAULT == SOFTMAX_DEADLOCK && lane == 0)
        __syncthreads();
    largest = warp_max(largest);
    if (lane == 0 && !(FAULT == SOFTMAX_UNWRITTEN_SHARED && warp == 3))
        partial[FAULT == SOFTMAX_SHARED_OVERRUN ? warp + THREADS / 32 : warp] = largest;
    if (FAULT != SOFTMAX_NO_BARRIER)
        __syncthreads();
    largest = warp_max(lane < THREADS / 32 ? partial[lane] : -INFINITY);
    if (FAULT == SOFTMAX_DIVERGENT_BARRIER && tid < 64)
        __syncthreads();
    __syncthreads();

    float sum = 0.0f;
    for (int i = tid; i < cols; i += THREADS)
        sum += expf(from[i] - largest);
    sum = warp_sum(sum);
    if (lane == 0)
        partial[warp] = sum;
    __syncthreads();
    sum = warp_sum(lane < THREADS / 32 ? partial[lane] : 0.0f);
    for (int i = tid; i < cols + (FAULT == SOFTMAX_ROW_OVERRUN); i += THREADS)
        to[i] = i < cols ? expf(from[i] - largest) / sum : 0.0f;
}

/* --- a product on the tensor cores ------------------------------------------------------------*/

enum { TILE_M = 32, TILE_N = 32, TILE_K = 32, PITCH = TILE_K + 8 };

/* 4 warps, 16 x 16 outputs each; two tiles of each operand in shared memory. */
template <int FAULT>
__global__ void __launch_bounds__(THREADS)
    product_kernel(const __nv_bfloat16 *a, const __nv_bfloat16 *w, float *c, int m, int n, int k)
{
    SHARED(__nv_bfloat16, tiles, [2][2][TILE_M][PITCH]);
    const int tid = (int)threadIdx.x, lane = tid % 32, warp = tid / 32;
    const int m0 = (int)blockIdx.y * TILE_M, n0 = (int)blockIdx.x * TILE_N;
    const int wm = warp / 2 * 16, wn = warp % 2 * 16, n_steps = (k + TILE_K - 1) / TILE_K;
    float acc[2][4] = {};

    for (int step = -1; step < n_steps; step++) {
        const int next = (step + 1) * TILE_K;
        for (int i = tid; next < k && i < TILE_M * TILE_K / 8; i += THREADS) {
            const int row = i / (TILE_K / 8), col = i % (TILE_K / 8) * 8;
            const int left = max(0, min(16, (k - next - col) * 2));
            const int va = m0 + row < m ? left : 0, vw = n0 + row < n ? left : 0;
            cp_async16(&tiles[(step + 1) & 1][0][row][col],
                       va ? a + (size_t)(m0 + row) * k + next + col : a, va);
            cp_async16(&tiles[(step + 1) & 1][1][row][col],
                       vw ? w + (size_t)(n0 + row) * k + next + col : w, vw);
        }
        cp_async_commit();
        if (step < 0)
            continue;
        if (FAULT != PRODUCT_NO_WAIT)
            cp_async_wait<1>();
        __syncthreads();
        UNROLL
        for (int kk = 0; kk < TILE_K; kk += 16) {
            uint32_t fa[4], fw[4];
            ldmatrix_x4(fa, &tiles[step & 1][0][wm + lane % 16][kk + lane / 16 * 8]);
            ldmatrix_x4(fw,
                        &tiles[step & 1][1][wn + lane % 8 + lane / 16 * 8][kk + lane / 8 % 2 * 8]);
            mma_bf16(acc[0], fa, fw[0], fw[1]);
            mma_bf16(acc[1], fa, fw[2], fw[3]);
        }
        if (FAULT != PRODUCT_OVERWRITE)
            __syncthreads();
    }
    UNROLL
    for (int j = 0; j < 2; j++)
        UNROLL
    for (int r = 0; r < 4; r++) {
        const int row = m0 + wm + lane / 4 + r / 2 * 8;
        const int col = n0 + wn + j * 8 + lane % 4 * 2 + r % 2;
        if (row < m && col < n)
            c[(size_t)row * n + col] = acc[j][r];
    }
}

/* --- 8-bit tensor-core shapes -----------------------------------------------------------------*/

/* d += a b.   a [16, 32] row-major, b [32, 8] column-major; int8 to int32, and e4m3 to f32. */
DEVICE void product_s8(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
#ifdef CUDA_SIM
    mma_s8(d, a, b0, b1);
#else
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

DEVICE void product_e4m3(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
#ifdef CUDA_SIM
    mma_e4m3(d, a, b0, b1);
#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
    asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

DEVICE void load_bytes(uint32_t (&a)[4], uint32_t (&b)[2], const uint8_t *x, const uint8_t *w)
{
    const int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; r++)
        a[r] = *reinterpret_cast<const uint32_t *>(x + (g + r % 2 * 8) * 32 + t * 4 + r / 2 * 16);
    for (int r = 0; r < 2; r++)
        b[r] = *reinterpret_cast<const uint32_t *>(w + g * 32 + t * 4 + r * 16);
}

template <class T> DEVICE void store_tile(T *c, const T (&acc)[4])
{
    const int lane = (int)threadIdx.x;
    for (int r = 0; r < 4; r++)
        c[(lane / 4 + r / 2 * 8) * 8 + lane % 4 * 2 + r % 2] = acc[r];
}

__global__ void int8_kernel(const uint8_t *x, const uint8_t *w, int *c)
{
    uint32_t a[4], b[2];
    int acc[4] = {};
    load_bytes(a, b, x, w);
    product_s8(acc, a, b[0], b[1]);
    store_tile(c, acc);
}

__global__ void e4m3_kernel(const uint8_t *x, const uint8_t *w, float *c)
{
    uint32_t a[4], b[2];
    float acc[4] = {};
    load_bytes(a, b, x, w);
    product_e4m3(acc, a, b[0], b[1]);
    store_tile(c, acc);
}

/* --- small ones -------------------------------------------------------------------------------*/

__global__ void sum_kernel(const float *x, int n, float *total, int plain_add)
{
    float sum = 0.0f;
    for (int i = (int)(blockIdx.x * blockDim.x + threadIdx.x); i < n;
         i += (int)(gridDim.x * blockDim.x))
        sum += x[i];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 != 0)
        return;
    if (plain_add)
        *total += sum;
    else
        atomicAdd(total, sum);
}

__global__ void dynamic_kernel(float *y, int n)
{
    SHARED_DYN(float, words);
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x)
        words[i] = (float)i;
    __syncthreads();
    if (threadIdx.x == 0)
        y[0] = words[n - 1];
}

/* out[lane + 32 j]: down by 3; up by 3; xor 5; from lane 2; each again in segments of 8; then
 * votes. */
__global__ void shuffles_kernel(int *out)
{
    const int lane = (int)threadIdx.x;
    out[lane] = __shfl_down_sync(0xffffffffu, lane, 3);
    out[lane + 32] = __shfl_up_sync(0xffffffffu, lane, 3);
    out[lane + 64] = __shfl_xor_sync(0xffffffffu, lane, 5);
    out[lane + 96] = __shfl_sync(0xffffffffu, lane, 2);
    out[lane + 128] = __shfl_down_sync(0xffffffffu, lane, 3, 8);
    out[lane + 160] = __shfl_up_sync(0xffffffffu, lane, 3, 8);
    out[lane + 192] = __shfl_xor_sync(0xffffffffu, lane, 5, 8);
    out[lane + 224] = __shfl_sync(0xffffffffu, lane, 2, 8);
    out[lane + 256] = (int)__ballot_sync(0xffffffffu, lane % 3 == 0);
    out[lane + 288] = __any_sync(0xffffffffu, lane == 31) * 2 + __all_sync(0xffffffffu, lane < 31);
}

__global__ void increment_kernel(const float *x, float *y, int n)
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n)
        y[i] = x[i] + 1.0f;
}

/* --- launchers --------------------------------------------------------------------------------*/

template <int FAULT>
static void softmax_run(const float *x, float *y, int rows, int cols, int fault,
                        cudaStream_t stream)
{
    if (fault == FAULT)
        LAUNCH(softmax_kernel<FAULT>, rows, THREADS, 0, stream, x, y, cols);
    else if constexpr (FAULT + 1 < SOFTMAX_N_FAULTS)
        softmax_run<FAULT + 1>(x, y, rows, cols, fault, stream);
}

void sample_softmax(const float *x, float *y, int rows, int cols, enum softmax_fault fault,
                    cudaStream_t stream)
{
    softmax_run<0>(x, y, rows, cols, fault, stream);
}

void sample_product(const void *a, const void *w, float *c, int m, int n, int k,
                    enum product_fault fault, cudaStream_t stream)
{
    const dim3 grid((unsigned)(n + TILE_N - 1) / TILE_N, (unsigned)(m + TILE_M - 1) / TILE_M);
    const __nv_bfloat16 *x = (const __nv_bfloat16 *)a, *y = (const __nv_bfloat16 *)w;
    if (fault == PRODUCT_RIGHT)
        LAUNCH(product_kernel<PRODUCT_RIGHT>, grid, THREADS, 0, stream, x, y, c, m, n, k);
    if (fault == PRODUCT_NO_WAIT)
        LAUNCH(product_kernel<PRODUCT_NO_WAIT>, grid, THREADS, 0, stream, x, y, c, m, n, k);
    if (fault == PRODUCT_OVERWRITE)
        LAUNCH(product_kernel<PRODUCT_OVERWRITE>, grid, THREADS, 0, stream, x, y, c, m, n, k);
}

void sample_int8(const void *a, const void *w, int *c, cudaStream_t stream)
{
    LAUNCH(int8_kernel, 1, 32, 0, stream, (const uint8_t *)a, (const uint8_t *)w, c);
}

void sample_e4m3(const void *a, const void *w, float *c, cudaStream_t stream)
{
    LAUNCH(e4m3_kernel, 1, 32, 0, stream, (const uint8_t *)a, (const uint8_t *)w, c);
}

void sample_sum(const float *x, int n, float *total, int plain_add, cudaStream_t stream)
{
    LAUNCH(sum_kernel, 3, 64, 0, stream, x, n, total, plain_add);
}

cudaError_t sample_dynamic(float *y, int bytes, int set_attribute, cudaStream_t stream)
{
    if (set_attribute) {
        cudaError_t error = cudaFuncSetAttribute(
            (const void *)dynamic_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
        if (error != cudaSuccess)
            return error;
    }
    LAUNCH(dynamic_kernel, 1, 64, (size_t)bytes, stream, y, bytes / 4);
    return cudaGetLastError();
}

void sample_shuffles(int *out, cudaStream_t stream)
{
    LAUNCH(shuffles_kernel, 1, 32, 0, stream, out);
}

void sample_increment(const float *x, float *y, int n, cudaStream_t stream)
{
    LAUNCH(increment_kernel, (unsigned)(n + 63) / 64, 64, 0, stream, x, y, n);
}
