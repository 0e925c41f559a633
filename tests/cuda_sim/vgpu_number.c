/* Number formats of the tensor cores: bf16, f16 and the two 8-bit floats, round to nearest even. */
#include "tests/cuda_sim/vgpu.h"

#include <math.h>
#include <string.h>

float vgpu_from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

uint16_t vgpu_to_bf16(float x)
{
    uint32_t bits;
    if (isnan(x))
        return 0x7fff;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* Layout of a small float. */
struct format {
    int mantissa_bits, bias;
    float largest;
};

static const struct format F16 = {10, 15, 65504.0f};
static const struct format E4M3 = {3, 7, 448.0f};
static const struct format E5M2 = {2, 15, 57344.0f};

static float widen(unsigned magnitude, bool is_negative, struct format f)
{
    int exponent = (int)(magnitude >> f.mantissa_bits);
    int one = 1 << f.mantissa_bits, mantissa = (int)magnitude & (one - 1);
    float x = exponent ? ldexpf((float)(mantissa + one), exponent - f.bias - f.mantissa_bits)
                       : ldexpf((float)mantissa, 1 - f.bias - f.mantissa_bits);
    return is_negative ? -x : x;
}

/* |x| <= largest. Units of the last place; an overflowing mantissa carries into the exponent. */
static unsigned narrow(float magnitude, struct format f)
{
    int exponent;
    if (magnitude == 0.0f)
        return 0;
    frexpf(magnitude, &exponent);
    exponent = exponent - 1 < 1 - f.bias ? 1 - f.bias : exponent - 1;
    int units = (int)rintf(ldexpf(magnitude, f.mantissa_bits - exponent));
    if (exponent == 1 - f.bias)
        return (unsigned)units; /* subnormal, or the smallest normal numbers: no offset */
    return (unsigned)(((exponent + f.bias) << f.mantissa_bits) + units - (1 << f.mantissa_bits));
}

float vgpu_from_f16(uint16_t bits)
{
    unsigned magnitude = bits & 0x7fffu;
    if (magnitude > 0x7c00u)
        return NAN;
    if (magnitude == 0x7c00u)
        return bits & 0x8000u ? -INFINITY : INFINITY;
    return widen(magnitude, bits & 0x8000u, F16);
}

uint16_t vgpu_to_f16(float x)
{
    unsigned sign = signbit(x) ? 0x8000u : 0u;
    float magnitude = fabsf(x);
    if (isnan(x))
        return 0x7fff;
    if (magnitude >= 65520.0f) /* half a unit above the largest */
        return (uint16_t)(sign | 0x7c00u);
    return (uint16_t)(sign | narrow(magnitude, F16));
}

float vgpu_from_fp8(uint8_t bits, enum vgpu_type type)
{
    unsigned magnitude = bits & 0x7fu;
    bool is_negative = bits & 0x80u;
    if (type == VGPU_E4M3)
        return magnitude == 0x7fu ? NAN : widen(magnitude, is_negative, E4M3);
    if (magnitude > 0x7cu)
        return NAN;
    if (magnitude == 0x7cu)
        return is_negative ? -INFINITY : INFINITY;
    return widen(magnitude, is_negative, E5M2);
}

uint8_t vgpu_to_fp8(float x, enum vgpu_type type)
{
    struct format f = type == VGPU_E4M3 ? E4M3 : E5M2;
    unsigned sign = signbit(x) ? 0x80u : 0u;
    if (isnan(x))
        return (uint8_t)(sign | 0x7fu);
    return (uint8_t)(sign | narrow(fminf(fabsf(x), f.largest), f));
}
