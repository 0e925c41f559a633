/* Front end S: a .cu file compiled as C++ by the host's compiler.
 *
 * The compiler is told to include this header first and to define CUDA_SIM; it then knows the
 * device language (threadIdx, __syncthreads, shuffles, atomics, ...) in terms of vgpu.h, and the
 * porting layer of cuda/common.cuh (LAUNCH, SHARED, the wrappers of inline PTX) as host twins. The
 * number formats come from CUDA's own headers, which work on the host. Accesses to memory
 * are announced by the compiler itself: -fsanitize=thread inserts a call before each load and
 * store, and access_hooks.c receives it in the sanitizer's place.
 *
 * A default argument __builtin_LINE() tells each operation where it was called. */
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>

#include "tests/cuda_sim/runtime.h"
#include "tests/cuda_sim/vgpu.h"

#define SIM_SITE int line = __builtin_LINE()
#define SIM_RETURN_SITE ((uintptr_t)__builtin_return_address(0))
#define SIM_UNHOOKED __attribute__((no_sanitize("thread")))

/* --- places -----------------------------------------------------------------------------------*/

#undef __launch_bounds__
#define __launch_bounds__(...)
#define threadIdx (vgpu_self->index)
#define blockIdx (vgpu_grid.block)
#define blockDim (vgpu_grid.block_dim)
#define gridDim (vgpu_grid.grid_dim)
#define warpSize 32

/* --- porting layer ----------------------------------------------------------------------------*/

#define DEVICE static inline
#define UNROLL

#define SHARED(type, name, dims)                             \
    typedef type name##_shared_t dims;                       \
    static const char name##_shared_key = 0;                 \
    name##_shared_t &name = *static_cast<name##_shared_t *>( \
        vgpu_shared(&name##_shared_key, sizeof(name##_shared_t), #name))

#define SHARED_DYN(type, name) type *name = reinterpret_cast<type *>(vgpu_grid.dynamic)

/* Kernel and arguments, to be called by each thread. */
template <class... Parameter> struct sim_call {
    void (*kernel)(Parameter...);
    std::tuple<Parameter...> arguments;

    static void run(void *p)
    {
        auto *call = static_cast<sim_call *>(p);
        std::apply(call->kernel, call->arguments);
    }
};

template <class... Parameter, class... Argument>
static inline void sim_launch(const char *name, dim3 grid, dim3 block, size_t dynamic_bytes,
                              cudaStream_t stream, void (*kernel)(Parameter...),
                              Argument... arguments)
{
    sim_call<Parameter...> call{kernel, std::tuple<Parameter...>(arguments...)};
    struct runtime_launch launch = {name,
                                    reinterpret_cast<const void *>(kernel),
                                    {grid.x, grid.y, grid.z},
                                    {block.x, block.y, block.z},
                                    dynamic_bytes,
                                    sim_call<Parameter...>::run,
                                    &call,
                                    sizeof call,
                                    0};
    runtime_launch(&launch, stream);
}

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    sim_launch(#kernel, grid, block, shared_bytes, stream, kernel, __VA_ARGS__)

/* --- barriers and warp operations -------------------------------------------------------------*/

static inline void __syncthreads(SIM_SITE) { vgpu_barrier(0, 0, (uintptr_t)line); }

static inline void __syncwarp(unsigned mask = 0xffffffffu, SIM_SITE)
{
    vgpu_sync_warp(mask, (uintptr_t)line);
}

template <class T>
static inline T sim_shuffle(enum vgpu_shuffle op, T value, int b, int width, unsigned mask,
                            int line)
{
    static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8, "2, 4 or 8 bytes");
    uint32_t segment = (32u - (unsigned)width) << 8, words[2] = {0, 0};
    uint32_t c = segment | (op == VGPU_SHUFFLE_UP ? 0u : 31u);
    memcpy(words, &value, sizeof value);
    for (size_t i = 0; i < (sizeof value + 3) / 4; i++)
        words[i] = vgpu_shuffle(op, words[i], (uint32_t)b, c, mask, nullptr, (uintptr_t)line);
    memcpy(&value, words, sizeof value);
    return value;
}

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, SIM_SITE)
{
    return sim_shuffle(VGPU_SHUFFLE_INDEX, value, lane, width, mask, line);
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SIM_SITE)
{
    return sim_shuffle(VGPU_SHUFFLE_XOR, value, lanes, width, mask, line);
}

template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, SIM_SITE)
{
    return sim_shuffle(VGPU_SHUFFLE_UP, value, (int)by, width, mask, line);
}

template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, SIM_SITE)
{
    return sim_shuffle(VGPU_SHUFFLE_DOWN, value, (int)by, width, mask, line);
}

static inline unsigned __ballot_sync(unsigned mask, int claim, SIM_SITE)
{
    return vgpu_vote(VGPU_BALLOT, claim != 0, mask, (uintptr_t)line);
}

static inline int __any_sync(unsigned mask, int claim, SIM_SITE)
{
    return (int)vgpu_vote(VGPU_ANY, claim != 0, mask, (uintptr_t)line);
}

static inline int __all_sync(unsigned mask, int claim, SIM_SITE)
{
    return (int)vgpu_vote(VGPU_ALL, claim != 0, mask, (uintptr_t)line);
}

static inline unsigned __match_any_sync(unsigned mask, unsigned value, SIM_SITE)
{
    return vgpu_match_any(value, mask, (uintptr_t)line);
}

#define SIM_REDUCE(name, type, op)                                            \
    static inline type name(unsigned mask, type value, SIM_SITE)              \
    {                                                                         \
        return (type)vgpu_reduce(op, (uint32_t)value, mask, (uintptr_t)line); \
    }
SIM_REDUCE(__reduce_add_sync, int, VGPU_ADD)
SIM_REDUCE(__reduce_add_sync, unsigned, VGPU_ADD)
SIM_REDUCE(__reduce_max_sync, int, VGPU_MAX_S32)
SIM_REDUCE(__reduce_max_sync, unsigned, VGPU_MAX_U32)
SIM_REDUCE(__reduce_min_sync, int, VGPU_MIN_S32)
SIM_REDUCE(__reduce_min_sync, unsigned, VGPU_MIN_U32)

static inline void __threadfence() {}
static inline void __threadfence_block() {}

/* --- atomics: one simulated thread runs at a time, so plain code is atomic --------------------*/

#define SIM_ATOMIC(name, type, expression)                    \
    static SIM_UNHOOKED inline type name(type *p, type value) \
    {                                                         \
        vgpu_atomic(p, sizeof *p, SIM_RETURN_SITE);           \
        type old = *p;                                        \
        *p = expression;                                      \
        return old;                                           \
    }
SIM_ATOMIC(atomicAdd, float, old + value)
SIM_ATOMIC(atomicAdd, double, old + value)
SIM_ATOMIC(atomicAdd, int, old + value)
SIM_ATOMIC(atomicAdd, unsigned, old + value)
SIM_ATOMIC(atomicMax, int, old > value ? old : value)
SIM_ATOMIC(atomicMax, unsigned, old > value ? old : value)
SIM_ATOMIC(atomicMin, int, old < value ? old : value)
SIM_ATOMIC(atomicMin, unsigned, old < value ? old : value)
SIM_ATOMIC(atomicExch, int, value)
SIM_ATOMIC(atomicExch, unsigned, value)
SIM_ATOMIC(atomicExch, float, value)
SIM_ATOMIC(atomicOr, unsigned, old | value)
SIM_ATOMIC(atomicAnd, unsigned, old &value)

static SIM_UNHOOKED inline int atomicCAS(int *p, int compare, int value)
{
    vgpu_atomic(p, sizeof *p, SIM_RETURN_SITE);
    int old = *p;
    if (old == compare)
        *p = value;
    return old;
}

/* --- loads and stores with hints --------------------------------------------------------------*/

#define SIM_LOAD(name) \
    template <class T> static inline T name(const T *p) { return *p; }
#define SIM_STORE(name) \
    template <class T> static inline void name(T *p, T value) { *p = value; }
SIM_LOAD(__ldg)
SIM_LOAD(__ldcg)
SIM_LOAD(__ldca)
SIM_LOAD(__ldcs)
SIM_LOAD(__ldlu)
SIM_STORE(__stcs)
SIM_STORE(__stcg)
SIM_STORE(__stwb)
SIM_STORE(__stwt)

/* --- arithmetic that the host lacks -----------------------------------------------------------*/

template <class To, class From> static inline To sim_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "same size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

static inline int __float_as_int(float x) { return sim_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return sim_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return sim_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return sim_bits<float>(x); }

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}
static inline int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }

static inline int __float2int_rn(float x) { return (int)rintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline unsigned __float2uint_rn(float x) { return (unsigned)rintf(x); }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }

static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
/* Macros, since the C library has internal functions of these names. */
#define __expf expf
#define __logf logf
#define __powf powf
#define __sinf sinf
#define __cosf cosf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }

static inline void sincospif(float x, float *s, float *c)
{
    double angle = 3.14159265358979323846 * (double)x;
    *s = (float)sin(angle);
    *c = (float)cos(angle);
}

template <class T> static inline T max(T a, T b) { return a > b ? a : b; }
template <class T> static inline T min(T a, T b) { return a < b ? a : b; }

/* --- twins of the inline PTX ------------------------------------------------------------------*/

template <class T>
static inline void sim_mma(T (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                           enum vgpu_type type, int line)
{
    uint32_t b[2] = {b0, b1}, c[4];
    memcpy(c, d, sizeof c);
    vgpu_mma(c, a, b, c, type, (uintptr_t)line);
    memcpy(d, c, sizeof c);
}

#define SIM_MMA(name, accumulator, type)                                                         \
    static inline void name(accumulator(&d)[4], const uint32_t(&a)[4], uint32_t b0, uint32_t b1, \
                            SIM_SITE)                                                            \
    {                                                                                            \
        sim_mma(d, a, b0, b1, type, line);                                                       \
    }
SIM_MMA(mma_bf16, float, VGPU_BF16)
SIM_MMA(mma_f16, float, VGPU_F16)
SIM_MMA(mma_s8, int, VGPU_S8)
SIM_MMA(mma_e4m3, float, VGPU_E4M3)
SIM_MMA(mma_tf32, float, VGPU_TF32)

static inline void ldmatrix_x4(uint32_t (&r)[4], const void *row, SIM_SITE)
{
    vgpu_ldmatrix(r, 4, false, row, (uintptr_t)line);
}
static inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row, SIM_SITE)
{
    vgpu_ldmatrix(r, 4, true, row, (uintptr_t)line);
}
static inline void ldmatrix_x2(uint32_t (&r)[2], const void *row, SIM_SITE)
{
    vgpu_ldmatrix(r, 2, false, row, (uintptr_t)line);
}
static inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row, SIM_SITE)
{
    vgpu_ldmatrix(r, 2, true, row, (uintptr_t)line);
}

static inline void cp_async16(void *to, const void *from, int valid, SIM_SITE)
{
    vgpu_copy_async(to, from, 16, valid, (uintptr_t)line);
}
static inline void cp_async_commit() { vgpu_copy_commit(); }
template <int N> static inline void cp_async_wait() { vgpu_copy_wait(N); }

static inline float fast_exp2(float x) { return exp2f(x); }
static inline float fast_tanh(float x) { return tanhf(x); }
static inline float fast_rcp(float x) { return 1.0f / x; }
