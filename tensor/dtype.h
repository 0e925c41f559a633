/* bf16, f16 and e4m3 as bit patterns, to and from float. Rounding is to nearest, ties to even; NaN
 * stays NaN. Plain C: fast paths live in the back ends. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "tensor/tensor.h"

static inline uint32_t float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float bf16_to_float(uint16_t h) { return float_from_bits((uint32_t)h << 16); }

static inline uint16_t bf16_from_float(float x)
{
    uint32_t u = float_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)((u >> 16) | 0x40u); /* keep NaN a NaN: set a fraction bit that stays */
    }
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

float f16_to_float(uint16_t h);
uint16_t f16_from_float(float x);

/* 8 bits, e4m3 without infinities: up to 448, beyond which it saturates; 0x7f is NaN.
 * Source: Micikevicius et al. 2022, FP8 formats for deep learning. */
float f8_to_float(uint8_t q);
uint8_t f8_from_float(float x);

/* One element of a host array as float, and back. dtype is F32, BF16 or F16. */
float dtype_load(const void *data, enum dtype dtype, int64_t index);
void dtype_store(void *data, enum dtype dtype, int64_t index, float x);

/* x as it comes back after being stored as dtype. */
float dtype_round(enum dtype dtype, float x);
