/* Two ways to draw, by size, as the reference has them: below 16 numbers one by one in double
 * precision with the second value of each pair kept for later; from 16 on a block of uniform
 * numbers, transformed in groups of 16 in float. */
#include "flux/noise.h"

#include <math.h>
#include <string.h>

#include "tensor/dtype.h"

#define GROUP 16

/* --- uniform numbers --------------------------------------------------------------------------*/

void noise_seed(struct noise *n, uint64_t seed)
{
    *n = (struct noise){0};
    mt19937_seed(&n->words, (uint32_t)seed);
}

float noise_uniform(struct noise *n)
{
    return (float)(mt19937_next(&n->words) & 0xffffffu) * 0x1p-24f;
}

static double uniform_double(struct noise *n)
{
    uint64_t high = mt19937_next(&n->words);
    uint64_t word = high << 32 | mt19937_next(&n->words);
    return (double)(word & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* --- groups of 16, in float -------------------------------------------------------------------*/

/* Natural logarithm of a normal positive number. The order of fused operations matters. */
static float group_log(float x)
{
    static const float P[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                              -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                              2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    uint32_t bits = float_bits(x);
    float exponent = (float)((int32_t)(bits >> 23) - 126);
    float m = float_from_bits((bits & 0x007fffffu) | 0x3f000000u); /* mantissa in [0.5, 1) */
    if (m < 0.707106781186547524f) {
        exponent -= 1.0f;
        m = (m - 1.0f) + m;
    } else {
        m -= 1.0f;
    }
    float z = m * m;
    float y = P[0];
    for (size_t i = 1; i < sizeof P / sizeof P[0]; i++) {
        y = fmaf(y, m, P[i]);
    }
    y = y * m;
    y = fmaf(y, z, exponent * -2.12194440e-4f);
    y = fmaf(-z, 0.5f, y);
    return fmaf(exponent, 0.693359375f, m + y);
}

/* Sine and cosine of an angle in [0, 2 pi). */
static void group_sincos(float x, float *sine, float *cosine)
{
    int32_t octant = (int32_t)(x * 1.27323954473516f); /* 4 / pi */
    octant = (octant + 1) & ~1;
    float turns = (float)octant;
    x = fmaf(turns, -0.78515625f, x); /* pi / 4 in three parts */
    x = fmaf(turns, -2.4187564849853515625e-4f, x);
    x = fmaf(turns, -3.77489497744594108e-8f, x);
    float z = x * x;

    float c = fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
    c = fmaf(c, z, 4.166664568298827e-2f);
    c = c * z;
    c = fmaf(c, z, -(z * 0.5f));
    c = c + 1.0f;

    float s = fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
    s = fmaf(s, z, -1.6666654611e-1f);
    s = s * z;
    s = fmaf(s, x, x);

    bool swapped = (octant & 2) != 0;
    float sin_size = swapped ? c : s, cos_size = swapped ? s : c;
    *sine = (octant & 4) != 0 ? -sin_size : sin_size;
    *cosine = ((octant + 2) & 4) != 0 ? -cos_size : cos_size;
}

/* Uniform numbers to normal ones, in place: pairs are 8 apart. */
static void transform_group(float *g)
{
    for (int i = 0; i < GROUP / 2; i++) {
        float radius = sqrtf(-2.0f * group_log(1.0f - g[i]));
        float sine, cosine;
        group_sincos(6.283185307179586f * g[i + GROUP / 2], &sine, &cosine);
        g[i] = radius * cosine;
        g[i + GROUP / 2] = radius * sine;
    }
}

static void draw_groups(struct noise *n, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = noise_uniform(n);
    }
    for (size_t i = 0; i + GROUP <= count; i += GROUP) {
        transform_group(out + i);
    }
    if (count % GROUP != 0) { /* the last 16 are drawn anew, over the end of the group before */
        float *tail = out + count - GROUP;
        for (int i = 0; i < GROUP; i++) {
            tail[i] = noise_uniform(n);
        }
        transform_group(tail);
    }
}

/* --- one by one, in double --------------------------------------------------------------------*/

static double draw_one(struct noise *n)
{
    if (n->has_cached) {
        n->has_cached = false;
        return n->cached;
    }
    double u1 = uniform_double(n), u2 = uniform_double(n);
    double radius = sqrt(-2.0 * log1p(-u2)), angle = 2.0 * 3.14159265358979323846 * u1;
    n->has_cached = true;
    n->cached = radius * sin(angle);
    return radius * cos(angle);
}

void noise_draw(struct noise *n, float *out, size_t count)
{
    if (count >= GROUP) {
        draw_groups(n, out, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = (float)draw_one(n);
    }
}
