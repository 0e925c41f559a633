/* What all kernels share: the launch and shared-memory macros, inline PTX, numbers of the three
 * float types, runs of eight of them, and sums over a warp or a block.
 *
 * Inline PTX stands nowhere else, one instruction per function. Built for the simulator (CUDA_SIM)
 * the compiler is given a header that defines the macros and the PTX functions with the same
 * meaning; then only the lower part of this file counts. */
#pragma once

#include "cuda/cuda_internal.h"

#ifndef CUDA_SIM

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")

/* A kernel name with a comma in its template list goes in parentheses. */
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define SHARED(type, name, dims) __shared__ __align__(16) type name dims
/* The one dynamic array of a kernel, cut by hand. */
#define SHARED_DYN(type, name)                                      \
    extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
    type *name = reinterpret_cast<type *>(dynamic_shared)

/* d += a b.   a [16, 16] row-major, b [16, 8] column-major, bf16; d f32 */
DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* The same of 8-bit operands, with rows and columns of 32; d s32 and f32. */
DEVICE void mma_s8(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

DEVICE void mma_e4m3(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
#if __CUDA_ARCH__ >= 890 /* older devices are not asked to (cuda.c) */
    asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/* Four 8x8 tiles of 16-bit elements; lane i gives the address of row i % 8 of tile i / 8. */
DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void *p)
{
    uint32_t s = (uint32_t)__cvta_generic_to_shared(p);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(s)
                 : "memory");
}

/* The same, each tile transposed. */
DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const void *p)
{
    uint32_t s = (uint32_t)__cvta_generic_to_shared(p);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(s)
                 : "memory");
}

/* Begin to copy 16 bytes from global to shared memory; those past `valid` become zeros. */
DEVICE void cp_async16(void *to, const void *from, int valid)
{
    uint32_t s = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(s), "l"(from), "r"(valid)
                 : "memory");
}

/* Close a group of copies; wait until at most N groups are under way. */
DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int N> DEVICE void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* 2^x, relative error 2^-22. */
DEVICE float fast_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif

/* --- numbers ----------------------------------------------------------------------------------*/

/* One element of memory as a float, and back, rounded to nearest, ties to even. The 16-bit types
 * move as plain integers: an access that every compiler and checker sees. */
DEVICE float get(const float *p) { return *p; }
DEVICE float get(const __nv_bfloat16 *p)
{
    const uint32_t bits = *reinterpret_cast<const uint16_t *>(p);
    return __uint_as_float(bits << 16);
}
DEVICE float get(const __half *p)
{
    const uint16_t bits = *reinterpret_cast<const uint16_t *>(p);
    return __half2float(__ushort_as_half(bits));
}

DEVICE void put(float *p, float x) { *p = x; }
DEVICE void put(__nv_bfloat16 *p, float x)
{
    const uint16_t bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
    *reinterpret_cast<uint16_t *>(p) = bits;
}
DEVICE void put(__half *p, float x)
{
    const uint16_t bits = __half_as_ushort(__float2half_rn(x));
    *reinterpret_cast<uint16_t *>(p) = bits;
}

/* Two neighbours of a 32-bit word of bf16. */
DEVICE float bf16_low(uint32_t pair) { return __uint_as_float(pair << 16); }
DEVICE float bf16_high(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

DEVICE uint32_t bf16_pair(float low, float high)
{
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&pair);
}

/* --- runs of eight ----------------------------------------------------------------------------*/

/* Eight elements are the unit of memory access: 16 bytes of a 16-bit type. */
enum { RUN = 8 };

DEVICE void load_run(float (&v)[RUN], const float *p)
{
    float4 a = reinterpret_cast<const float4 *>(p)[0], b = reinterpret_cast<const float4 *>(p)[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

DEVICE void load_run(float (&v)[RUN], const __nv_bfloat16 *p)
{
    uint4 u = *reinterpret_cast<const uint4 *>(p);
    v[0] = bf16_low(u.x), v[1] = bf16_high(u.x), v[2] = bf16_low(u.y), v[3] = bf16_high(u.y);
    v[4] = bf16_low(u.z), v[5] = bf16_high(u.z), v[6] = bf16_low(u.w), v[7] = bf16_high(u.w);
}

DEVICE void load_run(float (&v)[RUN], const __half *p)
{
    uint4 u = *reinterpret_cast<const uint4 *>(p);
    const __half2 *pairs = reinterpret_cast<const __half2 *>(&u);
    UNROLL
    for (int i = 0; i < RUN / 2; i++) {
        v[2 * i] = __low2float(pairs[i]);
        v[2 * i + 1] = __high2float(pairs[i]);
    }
}

DEVICE void store_run(float *p, const float (&v)[RUN])
{
    reinterpret_cast<float4 *>(p)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4 *>(p)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

DEVICE void store_run(__nv_bfloat16 *p, const float (&v)[RUN])
{
    *reinterpret_cast<uint4 *>(p) = make_uint4(bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]),
                                               bf16_pair(v[4], v[5]), bf16_pair(v[6], v[7]));
}

DEVICE void store_run(__half *p, const float (&v)[RUN])
{
    uint4 u;
    __half2 *pairs = reinterpret_cast<__half2 *>(&u);
    UNROLL
    for (int i = 0; i < RUN / 2; i++)
        pairs[i] = __floats2half2_rn(v[2 * i], v[2 * i + 1]);
    *reinterpret_cast<uint4 *>(p) = u;
}

/* As memory of that type would give it back. */
DEVICE float rounded(float x, const float *) { return x; }
DEVICE float rounded(float x, const __nv_bfloat16 *)
{
    return __bfloat162float(__float2bfloat16_rn(x));
}

/* n <= RUN elements; the rest become zeros. is_aligned: p may be read in pieces of 16 bytes. */
template <class T> DEVICE void load_some(float (&v)[RUN], const T *p, int n, bool is_aligned)
{
    if (is_aligned && n >= RUN) {
        load_run(v, p);
        return;
    }
    UNROLL
    for (int i = 0; i < RUN; i++)
        v[i] = i < n ? get(p + i) : 0.0f;
}

template <class T> DEVICE void store_some(T *p, const float (&v)[RUN], int n, bool is_aligned)
{
    if (is_aligned && n >= RUN) {
        store_run(p, v);
        return;
    }
    UNROLL
    for (int i = 0; i < RUN; i++) {
        if (i < n)
            put(p + i, v[i]);
    }
}

/* --- activations ------------------------------------------------------------------------------*/

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

DEVICE float activated(float x, enum activation act)
{
    switch (act) {
    case ACT_SILU:
        return x * sigmoid(x);
    case ACT_GELU: /* x Phi(x) */
        return 0.5f * x * erfcf(-0.707106781f * x);
    case ACT_GELU_TANH: /* x (1 + tanh z) / 2 = x sigmoid(2 z) */
        return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
    case ACT_QUICK_GELU:
        return x * sigmoid(1.702f * x);
    case ACT_RELU:
        return x < 0.0f ? 0.0f : x;
    case ACT_NONE:
        break;
    }
    return x;
}

/* --- sums -------------------------------------------------------------------------------------*/

DEVICE float warp_sum(float v)
{
    UNROLL
    for (int step = 16; step > 0; step /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}

/* Sum over a block of THREADS; every thread gets it. partial: one float per warp, free again
 * after the next barrier of the caller. */
template <int THREADS> DEVICE float block_sum(float v, float *partial)
{
    v = warp_sum(v);
    if (THREADS == 32)
        return v;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    if (lane == 0)
        partial[warp] = v;
    __syncthreads();
    return warp_sum(lane < THREADS / 32 ? partial[lane] : 0.0f);
}
