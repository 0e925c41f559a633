/* Quantised panels to floats, on their way into a product. A panel is unpacked a group of inputs at
 * a time, so that the pieces are in the first-level cache between two steps. */
#include "cpu/isa.h"
#include "cpu/vecmath.h"
#include "tensor/quant.h"

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

/* As f8_to_float(), without branches. */
static inline float f8_widen(uint8_t q)
{
    uint32_t magnitude = q & 0x7fu, sign = (uint32_t)(q & 0x80u) << 24;
    uint32_t bits = float_bits(float_from_bits(magnitude << 20) * 0x1p120f);
    return float_from_bits(sign | (magnitude == 0x7f ? 0x7fc00000u : bits));
}

/* The three take n constant (a whole panel) or not; inlined, the constant is what makes the
 * compiler unroll and keep the scales in registers. */

static inline void unpack_int8(float *to, const int8_t *codes, const float *scales, int64_t count,
                               int64_t n)
{
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j < n; j++)
            to[i * n + j] = (float)codes[i * n + j] * scales[j];
    }
}

static inline void unpack_f8(float *to, const uint8_t *codes, const float *scales, int64_t count,
                             int64_t n)
{
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j < n; j++)
            to[i * n + j] = f8_widen(codes[i * n + j]) * scales[j];
    }
}

/* One group: a row of bytes is two rows of elements, the last one half when count is odd. */
static inline void unpack_q4(float *to, const uint8_t *codes, const float *scales, int64_t count,
                             int64_t n)
{
    for (int64_t i = 0; i + 1 < count; i += 2) {
        for (int64_t j = 0; j < n; j++) {
            uint8_t pair = codes[i / 2 * n + j];
            to[i * n + j] = (float)((pair & 15) - 8) * scales[j];
            to[(i + 1) * n + j] = (float)((pair >> 4) - 8) * scales[j];
        }
    }
    for (int64_t j = 0; count % 2 == 1 && j < n; j++)
        to[(count - 1) * n + j] = (float)((codes[count / 2 * n + j] & 15) - 8) * scales[j];
}

/* Inputs first .. first + count, all of one group. */
static void unpack_group(float *to, const struct cpu_panel *p, int64_t first, int64_t count)
{
    int64_t n = p->n;
    float wide[CPU_PANEL];
    const float *scales = p->scales;
    if (p->dtype == DTYPE_Q4) {
        widen_block(wide, (const uint16_t *)p->scales + first / QUANT_GROUP * n, DTYPE_BF16, n);
        const uint8_t *codes = (const uint8_t *)p->data + first / 2 * n;
        if (n == CPU_PANEL)
            unpack_q4(to, codes, wide, count, CPU_PANEL);
        else
            unpack_q4(to, codes, wide, count, n);
    } else if (p->dtype == DTYPE_INT8) {
        const int8_t *codes = (const int8_t *)p->data + first * n;
        if (n == CPU_PANEL)
            unpack_int8(to, codes, scales, count, CPU_PANEL);
        else
            unpack_int8(to, codes, scales, count, n);
    } else {
        const uint8_t *codes = (const uint8_t *)p->data + first * n;
        if (n == CPU_PANEL)
            unpack_f8(to, codes, scales, count, CPU_PANEL);
        else
            unpack_f8(to, codes, scales, count, n);
    }
}

void KERNEL(unpack_part)(float *to, const struct cpu_panel *panel, int64_t first, int64_t count)
{
    for (int64_t i = 0; i < count; i += QUANT_GROUP)
        unpack_group(to + i * panel->n, panel, first + i, min_i64(count - i, QUANT_GROUP));
}

void KERNEL(unpack)(float *to, const struct cpu_panel *panel)
{
    KERNEL(unpack_part)(to, panel, 0, panel->k);
}

void KERNEL(unpack_pairs)(void *to, const struct cpu_panel *panel)
{
    uint32_t *pairs = to;
    float group[QUANT_GROUP * CPU_PANEL] = {0};
    uint16_t narrow[QUANT_GROUP * CPU_PANEL] = {0};
    for (int64_t first = 0; first < panel->k; first += QUANT_GROUP) {
        int64_t count = min_i64(panel->k - first, QUANT_GROUP);
        unpack_group(group, panel, first, count);
        narrow_block(narrow, DTYPE_BF16, group, count * CPU_PANEL);
        for (int64_t i = 0; i + 1 < count; i += 2) {
            const uint16_t *low = narrow + i * CPU_PANEL, *high = low + CPU_PANEL;
            for (int64_t j = 0; j < CPU_PANEL; j++)
                pairs[(first + i) / 2 * CPU_PANEL + j] = low[j] | (uint32_t)high[j] << 16;
        }
    }
}
