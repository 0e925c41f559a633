/* Kernels on rows and panels that gemm.c, conv.c and attention.c call inside their loops; their
 * contracts are in cpu/kernels.h. */
#include <math.h>

#include "cpu/isa.h"
#include "cpu/vecmath.h"

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

void KERNEL(widen)(float *to, const void *from, enum dtype dtype, int64_t n)
{
    widen_block(to, from, dtype, n);
}

void KERNEL(narrow)(void *to, enum dtype dtype, const float *from, int64_t n)
{
    narrow_block(to, dtype, from, n);
}

/* The two halves of a pair of bf16 as floats. */
static float first_of_pair(uint32_t pair) { return float_from_bits(pair << 16); }

static float second_of_pair(uint32_t pair) { return float_from_bits(pair & 0xffff0000u); }

void KERNEL(widen_pairs)(float *to, const void *panel, int64_t k)
{
    const uint32_t *pairs = panel; /* little-endian: the first is the low half */
    for (int64_t i = 0; i < k / 2; i++) {
        for (int64_t j = 0; j < CPU_PANEL; j++) {
            to[2 * i * CPU_PANEL + j] = first_of_pair(pairs[i * CPU_PANEL + j]);
            to[(2 * i + 1) * CPU_PANEL + j] = second_of_pair(pairs[i * CPU_PANEL + j]);
        }
    }
}

/* Squares of TILE x TILE: both sides then fit the first-level cache. */
enum { TILE = 16 };

void KERNEL(transpose)(void *to, const void *from, int64_t n, int64_t k, int64_t from_stride,
                       size_t elem_bytes)
{
    for (int64_t k0 = 0; k0 < k; k0 += TILE) {
        int64_t k1 = min_i64(k, k0 + TILE);
        for (int64_t n0 = 0; n0 < n; n0 += TILE) {
            int64_t n1 = min_i64(n, n0 + TILE);
            if (elem_bytes == sizeof(uint32_t)) {
                for (int64_t i = k0; i < k1; i++) {
                    for (int64_t j = n0; j < n1; j++)
                        ((uint32_t *)to)[i * n + j] = ((const uint32_t *)from)[j * from_stride + i];
                }
            } else if (elem_bytes == sizeof(uint8_t)) {
                for (int64_t i = k0; i < k1; i++) {
                    for (int64_t j = n0; j < n1; j++)
                        ((uint8_t *)to)[i * n + j] = ((const uint8_t *)from)[j * from_stride + i];
                }
            } else {
                for (int64_t i = k0; i < k1; i++) {
                    for (int64_t j = n0; j < n1; j++)
                        ((uint16_t *)to)[i * n + j] = ((const uint16_t *)from)[j * from_stride + i];
                }
            }
        }
    }
}

void KERNEL(finish)(void *out, enum dtype dtype, int64_t stride, float *tile, int64_t rows,
                    int64_t n, const float *bias, enum activation act)
{
    for (int64_t r = 0; r < rows; r++) {
        float *row = tile + r * n;
        if (bias) {
            for (int64_t i = 0; i < n; i++)
                row[i] += bias[i];
        }
        if (act != ACT_NONE)
            activate_block(row, row, n, act);
        narrow_block((char *)out + r * stride * (int64_t)dtype_bytes(dtype), dtype, row, n);
    }
}

/* --- products of few rows ---------------------------------------------------------------------*/

/* Inputs per chunk: its piece of a 16-bit panel stays in the first-level cache for all rows. */
enum { GEMV_CHUNK = 128 };

static void gemv_full_f32(float *acc, const float *x, const float *w, int64_t k)
{
    float sum[CPU_PANEL];
    memcpy(sum, acc, sizeof sum);
    for (int64_t i = 0; i < k; i++) {
        for (int j = 0; j < CPU_PANEL; j++)
            sum[j] += x[i] * w[i * CPU_PANEL + j];
    }
    memcpy(acc, sum, sizeof sum);
}

static void gemv_full_bf16(float *acc, const float *x, const uint16_t *w, int64_t k)
{
    float sum[CPU_PANEL];
    memcpy(sum, acc, sizeof sum);
    for (int64_t i = 0; i < k; i++) {
        for (int j = 0; j < CPU_PANEL; j++)
            sum[j] += x[i] * bf16_to_float(w[i * CPU_PANEL + j]);
    }
    memcpy(acc, sum, sizeof sum);
}

static void gemv_pairs(float *acc, const float *x, const uint32_t *w, int64_t k)
{
    float sum[CPU_PANEL];
    memcpy(sum, acc, sizeof sum);
    for (int64_t i = 0; i < k / 2; i++) {
        for (int j = 0; j < CPU_PANEL; j++) {
            uint32_t pair = w[i * CPU_PANEL + j];
            sum[j] += x[2 * i] * first_of_pair(pair) + x[2 * i + 1] * second_of_pair(pair);
        }
    }
    memcpy(acc, sum, sizeof sum);
}

static void gemv_any(float *acc, const float *x, const void *w, enum dtype dtype, int64_t k,
                     int64_t n)
{
    float row[CPU_PANEL];
    for (int64_t i = 0; i < k; i++) {
        widen_block(row, (const char *)w + i * n * (int64_t)dtype_bytes(dtype), dtype, n);
        for (int64_t j = 0; j < n; j++)
            acc[j] += x[i] * row[j];
    }
}

/* Quantised inputs first .. first + count, unpacked once for all rows. */
static void gemv_quantised(float acc[][CPU_PANEL], const float *x, int64_t x_stride, int64_t rows,
                           const struct cpu_panel *w, int64_t first, int64_t count)
{
    float part[GEMV_CHUNK * CPU_PANEL];
    KERNEL(unpack_part)(part, w, first, count);
    for (int64_t r = 0; r < rows; r++) {
        const float *xr = x + r * x_stride + first;
        if (w->n == CPU_PANEL)
            gemv_full_f32(acc[r], xr, part, count);
        else
            gemv_any(acc[r], xr, part, DTYPE_F32, count, w->n);
    }
}

void KERNEL(gemv)(float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t rows,
                  const struct cpu_panel *panel)
{
    float acc[CPU_GEMV_ROWS][CPU_PANEL] = {{0}};
    int64_t n = panel->n;
    for (int64_t k0 = 0; k0 < panel->k; k0 += GEMV_CHUNK) {
        int64_t count = min_i64(panel->k - k0, GEMV_CHUNK);
        if (panel->scales) {
            gemv_quantised(acc, x, x_stride, rows, panel, k0, count);
            continue;
        }
        const char *w = (const char *)panel->data + k0 * n * (int64_t)dtype_bytes(panel->dtype);
        for (int64_t r = 0; r < rows; r++) {
            const float *xr = x + r * x_stride + k0;
            if (panel->is_paired)
                gemv_pairs(acc[r], xr, (const uint32_t *)w, count);
            else if (n == CPU_PANEL && panel->dtype == DTYPE_F32)
                gemv_full_f32(acc[r], xr, (const float *)w, count);
            else if (n == CPU_PANEL && panel->dtype == DTYPE_BF16)
                gemv_full_bf16(acc[r], xr, (const uint16_t *)w, count);
            else
                gemv_any(acc[r], xr, w, panel->dtype, count, n);
        }
    }
    for (int64_t r = 0; r < rows; r++)
        memcpy(y + r * y_stride, acc[r], (size_t)n * sizeof(float));
}

/* --- attention --------------------------------------------------------------------------------*/

/* Side by side in loops over values: for the vector units, and so that errors stay small. */
enum { LANES = 16 };

static float max_block(const float *x, int64_t n, float max)
{
    float lanes[LANES];
    int64_t whole = n - n % LANES;
    for (int j = 0; j < LANES; j++)
        lanes[j] = max;
    for (int64_t i = 0; i < whole; i += LANES) {
        for (int j = 0; j < LANES; j++)
            lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    }
    for (int64_t i = whole; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int j = 0; j < LANES; j++)
        max = lanes[j] > max ? lanes[j] : max;
    return max;
}

/* x = exp(x - max); returns the sum. */
static float exp_block(float *x, int64_t n, float max)
{
    float lanes[LANES] = {0}, sum = 0.0f;
    int64_t whole = n - n % LANES;
    for (int64_t i = 0; i < whole; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float e = exp_f32(x[i + j] - max);
            x[i + j] = e;
            lanes[j] += e;
        }
    }
    for (int64_t i = whole; i < n; i++) {
        x[i] = exp_f32(x[i] - max);
        lanes[i - whole] += x[i];
    }
    for (int j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

void KERNEL(softmax)(float *scores, int64_t rows, int64_t n, int64_t stride, const int64_t *n_valid,
                     float scale, const float *bias, int64_t bias_row, int64_t bias_col, float *max,
                     float *sum, float *decay)
{
    for (int64_t r = 0; r < rows; r++) {
        float *row = scores + r * stride;
        int64_t valid = n_valid[r] < 0 ? 0 : min_i64(n_valid[r], n);
        for (int64_t i = 0; i < valid; i++)
            row[i] *= scale;
        if (bias) {
            const float *b = bias + r * bias_row;
            if (bias_col == 1) {
                for (int64_t i = 0; i < valid; i++)
                    row[i] += b[i];
            } else {
                for (int64_t i = 0; i < valid; i++)
                    row[i] += b[i * bias_col];
            }
        }
        float top = max_block(row, valid, max[r]);
        /* Nothing but -infinity so far: any finite maximum gives the zeros that are right. */
        float base = isinf(top) && top < 0.0f ? 0.0f : top;
        decay[r] = exp_f32(max[r] - base);
        sum[r] = sum[r] * decay[r] + exp_block(row, valid, base);
        max[r] = top;
        for (int64_t i = valid; i < n; i++)
            row[i] = 0.0f;
    }
}

void KERNEL(accumulate)(float *acc, const float *tile, const float *decay, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < n; i++)
            acc[r * n + i] = acc[r * n + i] * decay[r] + tile[r * n + i];
    }
}

/* --- the benchmark's peak ---------------------------------------------------------------------*/

/* As many chains as hide the latency of two multiply-adds per cycle, and still fit the registers
 * beside the two constants. */
#if defined(__AVX512F__)
enum { PEAK_LANES = 12 * 16 };
#elif defined(__AVX2__)
enum { PEAK_LANES = 12 * 8 };
#else
enum { PEAK_LANES = 12 * 4 };
#endif

const int KERNEL(peak_lanes) = PEAK_LANES;

float KERNEL(peak)(int64_t rounds)
{
    float acc[PEAK_LANES];
    for (int i = 0; i < PEAK_LANES; i++)
        acc[i] = (float)i;
    for (int64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < PEAK_LANES; i++)
            acc[i] = acc[i] * 0.999f + 0.5f;
    }
    float sum = 0.0f;
    for (int i = 0; i < PEAK_LANES; i++)
        sum += acc[i];
    return sum;
}
