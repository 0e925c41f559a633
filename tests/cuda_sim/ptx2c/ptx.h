/* What C translated from PTX (ptx2c.py) is made of: registers are unsigned integers, these
 * functions see them as the instruction's type. Checked accesses name the .cu line. */
#pragma once

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_sim/runtime.h"
#include "tests/cuda_sim/vgpu.h"

/* --- registers as numbers ---------------------------------------------------------------------*/

static inline float ptx_f32(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t ptx_from_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double ptx_f64(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t ptx_from_f64(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Subnormal numbers become zero. */
static inline float ptx_flush(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x; }

/* NaN becomes 0, what is out of range the nearest limit. */
static inline int64_t ptx_to_signed(double x, int bits)
{
    int64_t top = (int64_t)(UINT64_MAX >> 1 >> (64 - bits));
    return isnan(x) ? 0 : x <= -(double)top - 1.0 ? -top - 1 : x >= (double)top ? top : (int64_t)x;
}

static inline uint64_t ptx_to_unsigned(double x, int bits)
{
    uint64_t top = UINT64_MAX >> (64 - bits);
    return isnan(x) || x <= 0.0 ? 0 : x >= (double)top ? top : (uint64_t)x;
}

/* --- memory -----------------------------------------------------------------------------------*/

#define PTX_MEMORY(type)                              \
    static inline type ptx_load_##type(const char *p) \
    {                                                 \
        type x;                                       \
        memcpy(&x, p, sizeof x);                      \
        return x;                                     \
    }                                                 \
    static inline void ptx_store_##type(char *p, type x) { memcpy(p, &x, sizeof x); }
PTX_MEMORY(uint8_t)
PTX_MEMORY(uint16_t)
PTX_MEMORY(uint32_t)
PTX_MEMORY(uint64_t)
PTX_MEMORY(int8_t)
PTX_MEMORY(int16_t)
PTX_MEMORY(int32_t)
PTX_MEMORY(int64_t)
PTX_MEMORY(float)
PTX_MEMORY(double)

/* --- bits -------------------------------------------------------------------------------------*/

static inline uint32_t ptx_low_bits(uint32_t n) { return n > 31 ? UINT32_MAX : (1u << n) - 1; }

static inline uint32_t ptx_bfe_u32(uint32_t x, uint32_t at, uint32_t n)
{
    at &= 255, n &= 255;
    return at > 31 ? 0 : (x >> at) & ptx_low_bits(n);
}

static inline int32_t ptx_bfe_s32(uint32_t x, uint32_t at, uint32_t n)
{
    at &= 255, n &= 255;
    if (n == 0)
        return 0;
    int64_t shifted = (int64_t)(int32_t)x >> (at > 31 ? 31 : at);
    return n > 31 ? (int32_t)shifted : (int32_t)((uint32_t)shifted << (32 - n)) >> (32 - n);
}

static inline uint32_t ptx_bfi_b32(uint32_t x, uint32_t into, uint32_t at, uint32_t n)
{
    at &= 255, n &= 255;
    if (at > 31 || n == 0)
        return into;
    uint32_t mask = ptx_low_bits(n) << at;
    return (into & ~mask) | ((x << at) & mask);
}

static inline uint32_t ptx_brev_b32(uint32_t x)
{
    uint32_t r = 0;
    for (int i = 0; i < 32; i++)
        r |= (x >> i & 1u) << (31 - i);
    return r;
}

static inline uint32_t ptx_prmt(uint32_t a, uint32_t b, uint32_t selector)
{
    uint64_t bytes = (uint64_t)b << 32 | a;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t s = selector >> 4 * i & 15, byte = (uint32_t)(bytes >> 8 * (s & 7)) & 255;
        r |= (s & 8 ? (byte & 128 ? 255 : 0) : byte) << 8 * i;
    }
    return r;
}

static inline uint32_t ptx_dp4a(uint32_t a, uint32_t b, uint32_t c)
{
    for (int i = 0; i < 4; i++)
        c += (uint32_t)((int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i));
    return c;
}
