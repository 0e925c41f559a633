/* Runs of a product's weight as floats, whatever type it is kept in (tensor/quant.h, weight.c). */
#pragma once

#include "cuda/product.cuh"
#include "tensor/quant.h"

/* Types of codes, for templates and overloads: what p.w points to. */
struct code_int8;
struct code_fp8; /* e4m3 */
struct code_q4;

/* Weights n, k .. k + RUN, k a multiple of RUN: floats as they are. Past the last input they are
 * zeros; those of four bits are some number there, which meets zeros of the other operand. */
template <class W>
DEVICE void load_weights(float (&v)[RUN], const W *w, const struct cuda_product &p, int n, int k)
{
    load_run(v, w + n * p.w_row + k);
}

/* Eight codes of one byte. */
DEVICE uint2 load_codes(const void *codes, const struct cuda_product &p, int n, int k)
{
    const char *row = static_cast<const char *>(codes) + n * p.w_row;
    return *reinterpret_cast<const uint2 *>(row + k);
}

DEVICE void load_weights(float (&v)[RUN], const struct code_int8 *w, const struct cuda_product &p,
                         int n, int k)
{
    const uint2 u = load_codes(w, p, n, k);
    const float scale = static_cast<const float *>(p.w_scales)[n];
    UNROLL
    for (int i = 0; i < RUN; i++) {
        const uint32_t four = i < RUN / 2 ? u.x : u.y;
        v[i] = (float)(int8_t)(four >> (i % 4 * 8) & 0xff) * scale;
    }
}

/* As f8_to_float(): in place, exponent and fraction are the value times 2^-120. */
DEVICE float fp8_value(uint32_t code)
{
    const uint32_t magnitude = code & 0x7f, sign = (code & 0x80) << 24;
    const float value = __uint_as_float(magnitude << 20) * 0x1p120f;
    return __uint_as_float(sign | (magnitude == 0x7f ? 0x7fc00000u : __float_as_uint(value)));
}

DEVICE void load_weights(float (&v)[RUN], const struct code_fp8 *w, const struct cuda_product &p,
                         int n, int k)
{
    const uint2 u = load_codes(w, p, n, k);
    const float scale = static_cast<const float *>(p.w_scales)[n];
    UNROLL
    for (int i = 0; i < RUN; i++)
        v[i] = fp8_value((i < RUN / 2 ? u.x : u.y) >> (i % 4 * 8)) * scale;
}

/* A run lies within one group, as groups are a multiple of it. */
DEVICE void load_weights(float (&v)[RUN], const struct code_q4 *w, const struct cuda_product &p,
                         int n, int k)
{
    const char *row = reinterpret_cast<const char *>(w) + n * (p.w_row / 2);
    const uint32_t u = *reinterpret_cast<const uint32_t *>(row + k / 2);
    const int groups = (p.k + QUANT_GROUP - 1) / QUANT_GROUP;
    const __nv_bfloat16 *scales = static_cast<const __nv_bfloat16 *>(p.w_scales);
    const float scale = get(scales + (int64_t)n * groups + k / QUANT_GROUP);
    UNROLL
    for (int i = 0; i < RUN; i++)
        v[i] = (float)((int)(u >> (i * 4) & 15) - 8) * scale;
}
