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

float f8_to_float(uint8_t q)
{
    uint32_t sign = (uint32_t)(q & 0x80u) << 24, magnitude = q & 0x7fu;
    if (magnitude == 0x7f) {
        return float_from_bits(sign | 0x7fc00000u);
    }
    /* moved into place, exponent and fraction are the value times 2^-120, subnormals too */
    return float_from_bits(sign | float_bits(float_from_bits(magnitude << 20) * 0x1p120f));
}

uint8_t f8_from_float(float x)
{
    uint32_t bits = float_bits(x), magnitude = bits & 0x7fffffffu;
    uint8_t sign = (uint8_t)((bits >> 24) & 0x80u);
    if (magnitude > 0x7f800000u) {
        return (uint8_t)(sign | 0x7fu);
    }
    if (magnitude < 0x3c800000u) { /* below 2^-6: adding 2^14 aligns the fraction at 2^-9 */
        float aligned = float_from_bits(magnitude) + 0x1p14f;
        return (uint8_t)(sign | (float_bits(aligned) - 0x46800000u));
    }
    uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
    uint32_t code = (rounded - 0x3c000000u) >> 20;
    return (uint8_t)(sign | (code > 0x7e ? 0x7eu : code)); /* saturates at 448 */
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
    default:
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
    default:
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
