/* Elementary functions as straight-line code, so that loops over them vectorise, and conversion
 * between f32 and the 16-bit types in blocks. Function bodies stand in this header because the
 * compiler must see them inside the loops of each instruction set's build.
 *
 * Errors: exp_f32 below 1.5 ulp; the activations follow from it. */
#pragma once

#include "tensor/dtype.h"
#include "tensor/ops.h"

/* Elements handled between two conversions: two blocks of f32 stay in the first-level cache. */
enum { BLOCK = 1024 };

/* e^x. Results below 2e-38 are zero, overflow is infinity, NaN stays.
 * x = n ln 2 + r, e^r by its series to r^7 (|r| < 0.35: next term 5e-9), n into the exponent. */
static inline float exp_f32(float x)
{
    const float log2_e = 1.44269504f, round = 12582912.0f; /* 1.5 * 2^23: rounds to an integer */
    const float ln2_high = 0.693145752f, ln2_low = 1.42860677e-6f;
    float y = x > 88.0f ? 88.0f : x;
    y = y < -86.9f ? -86.9f : y;
    float shifted = y * log2_e + round;
    float n = shifted - round;
    float r = (y - n * ln2_high) - n * ln2_low;
    float p = 1.98412698e-4f;
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    float power = float_from_bits((float_bits(shifted) << 23) + 0x3f800000u);
    float e = p * power;
    /* between 88 and the largest float exp is e^88 e^(x - 88) */
    e = x > 88.0f ? e * (1.0f + (x - 88.0f) * (1.0f + 0.5f * (x - 88.0f))) : e;
    e = x > 88.72f ? float_from_bits(0x7f800000u) : e;
    return x < -86.9f ? 0.0f : e;
}

static inline float sigmoid_f32(float x) { return 1.0f / (1.0f + exp_f32(-x)); }

/* x Phi(x). With t = |x| / sqrt 2: Phi(-|x|) = erfc(t) / 2 = exp(-t^2) erfcx(t) / 2. erfcx is
 * smooth in u = (t - 2.5) / (t + 2.5); the polynomial is a least-squares fit of relative error
 * 2e-9 on 0 <= t <= 9.6, where exp(-t^2) reaches zero. */
static inline float gelu_f32(float x)
{
    float a = x < 0.0f ? -x : x;
    float t = a * 0.707106781f;
    float u = (t - 2.5f) / (t + 2.5f);
    float p = -3.910922532668337e-05f;
    p = p * u - 0.00011319465556880459f;
    p = p * u + 0.00023728910309728235f;
    p = p * u + 0.0008707912056706846f;
    p = p * u - 0.0026459547225385904f;
    p = p * u - 0.003992893733084202f;
    p = p * u + 0.03992310166358948f;
    p = p * u - 0.12503311038017273f;
    p = p * u + 0.2517131567001343f;
    p = p * u - 0.3717367351055145f;
    p = p * u + 0.21080636978149414f;
    float tail = 0.5f * exp_f32(-0.5f * x * x) * p;
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

/* x (1 + tanh z) / 2 = x sigmoid(2 z), z = sqrt(2 / pi) (x + 0.044715 x^3). */
static inline float gelu_tanh_f32(float x)
{
    return x * sigmoid_f32(1.59576912f * (x + 0.044715f * x * x * x));
}

/* y = act(x) for n values; y may be x. */
static inline void activate_block(float *y, const float *x, int64_t n, enum activation act)
{
    switch (act) {
    case ACT_NONE:
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i];
        break;
    case ACT_SILU:
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] * sigmoid_f32(x[i]);
        break;
    case ACT_GELU:
        for (int64_t i = 0; i < n; i++)
            y[i] = gelu_f32(x[i]);
        break;
    case ACT_GELU_TANH:
        for (int64_t i = 0; i < n; i++)
            y[i] = gelu_tanh_f32(x[i]);
        break;
    case ACT_QUICK_GELU:
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] * sigmoid_f32(1.702f * x[i]);
        break;
    case ACT_RELU:
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] < 0.0f ? 0.0f : x[i];
        break;
    }
}

/* A half as float without branches: its exponent and fraction, moved into place, are the value
 * times 2^-112 (subnormals too); infinities and NaN get the full exponent. */
static inline float half_widen(uint16_t h)
{
    uint32_t magnitude = (uint32_t)(h & 0x7fffu) << 13;
    uint32_t bits = float_bits(float_from_bits(magnitude) * 0x1p112f);
    bits = (h & 0x7c00u) == 0x7c00u ? magnitude | 0x7f800000u : bits;
    return float_from_bits(bits | (uint32_t)(h & 0x8000u) << 16);
}

static inline void widen_block(float *to, const void *from, enum dtype dtype, int64_t n)
{
    if (dtype == DTYPE_BF16) {
        const uint16_t *h = from;
        for (int64_t i = 0; i < n; i++)
            to[i] = bf16_to_float(h[i]);
    } else if (dtype == DTYPE_F16) {
        const uint16_t *h = from;
        for (int64_t i = 0; i < n; i++)
            to[i] = half_widen(h[i]);
    } else {
        memcpy(to, from, (size_t)n * sizeof(float));
    }
}

static inline void narrow_block(void *to, enum dtype dtype, const float *from, int64_t n)
{
    if (dtype == DTYPE_BF16) {
        uint16_t *h = to;
        for (int64_t i = 0; i < n; i++) {
            uint32_t u = float_bits(from[i]);
            uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
            uint32_t nan = (u >> 16) | 0x40u;
            h[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
        }
    } else if (dtype == DTYPE_F16) {
        uint16_t *h = to;
        for (int64_t i = 0; i < n; i++)
            h[i] = f16_from_float(from[i]);
    } else {
        memcpy(to, from, (size_t)n * sizeof(float));
    }
}

/* n <= BLOCK activations as floats: in place when they are, else widened into buffer. */
static inline const float *block_read(float *buffer, const void *from, enum dtype dtype, int64_t n)
{
    if (dtype == DTYPE_F32)
        return from;
    widen_block(buffer, from, dtype, n);
    return buffer;
}

/* Where n results go before block_write: straight to the target when it is f32. */
static inline float *block_target(float *buffer, void *to, enum dtype dtype)
{
    return dtype == DTYPE_F32 ? (float *)to : buffer;
}

static inline void block_write(void *to, enum dtype dtype, const float *block, int64_t n)
{
    if (dtype != DTYPE_F32)
        narrow_block(to, dtype, block, n);
}
