/* Half precision by integer arithmetic: exact, the same on every machine. */
#include "tensor/dtype.h"

#include <assert.h>

float f16_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 0x1fu;
    uint32_t fraction = h & 0x3ffu;
    if (exponent == 0x1f) {
        return float_from_bits(sign | 0x7f800000u | (fraction << 13));
    }
    if (exponent == 0) { /* subnormal: fraction * 2^-24 */
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_from_bits(sign | ((exponent + 112) << 23) | (fraction << 13));
}

uint16_t f16_from_float(float x)
{
    uint32_t bits = float_bits(x);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u);
    }
    if (magnitude >= 0x477ff000u) { /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    }
    if (magnitude < 0x38800000u) { /* below 2^-14: adding 0.5 aligns the fraction at 2^-24 */
        float aligned = float_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (float_bits(aligned) - 0x3f000000u));
    }
    uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

float dtype_load(const void *data, enum dtype dtype, int64_t index)
{
    switch (dtype) {
    case DTYPE_F32:
        return ((const float *)data)[index];
    case DTYPE_BF16:
        return bf16_to_float(((const uint16_t *)data)[index]);
    case DTYPE_F16:
        return f16_to_float(((const uint16_t *)data)[index]);
    case DTYPE_I32:
    case DTYPE_U8:
        break;
    }
    assert(!"dtype_load: not a float type");
    return 0;
}

void dtype_store(void *data, enum dtype dtype, int64_t index, float x)
{
    switch (dtype) {
    case DTYPE_F32:
        ((float *)data)[index] = x;
        return;
    case DTYPE_BF16:
        ((uint16_t *)data)[index] = bf16_from_float(x);
        return;
    case DTYPE_F16:
        ((uint16_t *)data)[index] = f16_from_float(x);
        return;
    case DTYPE_I32:
    case DTYPE_U8:
        break;
    }
    assert(!"dtype_store: not a float type");
}

float dtype_round(enum dtype dtype, float x)
{
    switch (dtype) {
    case DTYPE_BF16:
        return bf16_to_float(bf16_from_float(x));
    case DTYPE_F16:
        return f16_to_float(f16_from_float(x));
    default:
        return x;
    }
}
