/* The plain form of the arithmetic; back ends unpack in their own ways. */
#include "tensor/quant.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tensor/dtype.h"

/* --- schemes ----------------------------------------------------------------------------------*/

static const float LARGEST_INT8 = 127.0f, LARGEST_F8 = 448.0f, LOWEST_Q4 = -8.0f;

/* Below this rows and groups count as zeros: the inverse of their scale could overflow. */
static const float SMALLEST = 1e-30f, LARGEST_FLOAT = 3.4028235e38f;

enum dtype quant_dtype(enum quant quant)
{
    assert(quant != QUANT_NONE);
    return (enum dtype)(DTYPE_INT8 + (int)quant - QUANT_INT8);
}

enum quant quant_of_dtype(enum dtype dtype)
{
    return dtype_is_quantised(dtype) ? (enum quant)(QUANT_INT8 + (int)dtype - DTYPE_INT8)
                                     : QUANT_NONE;
}

enum quant quant_parse(const char *name)
{
    for (int i = QUANT_INT8; i <= QUANT_Q4; i++) {
        if (strcmp(name, dtype_name(quant_dtype((enum quant)i))) == 0) {
            return (enum quant)i;
        }
    }
    return QUANT_NONE;
}

int64_t quant_code_bytes(enum dtype dtype, int64_t k)
{
    assert(dtype_is_quantised(dtype));
    return dtype == DTYPE_Q4 ? (k + 1) / 2 : k;
}

int64_t quant_n_scales(enum dtype dtype, int64_t k)
{
    return dtype == DTYPE_Q4 ? (k + QUANT_GROUP - 1) / QUANT_GROUP : 1;
}

enum dtype quant_scale_dtype(enum dtype dtype)
{
    return dtype == DTYPE_Q4 ? DTYPE_BF16 : DTYPE_F32;
}

size_t quant_codes_size(struct tensor matrix)
{
    return (size_t)(matrix.dims[0] * quant_code_bytes(matrix.dtype, matrix.dims[1]));
}

/* --- to codes ---------------------------------------------------------------------------------*/

/* Side by side in the loops below, so that they vectorise. */
enum { LANES = 16 };

uint32_t quant_largest_bits(const float *x, int64_t n)
{
    uint32_t lanes[LANES] = {0}, largest = 0;
    int64_t whole = n - n % LANES;
    for (int64_t i = 0; i < whole; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            uint32_t bits = float_bits(x[i + j]) & 0x7fffffffu;
            lanes[j] = bits > lanes[j] ? bits : lanes[j];
        }
    }
    for (int64_t i = whole; i < n; i++) {
        uint32_t bits = float_bits(x[i]) & 0x7fffffffu;
        lanes[0] = bits > lanes[0] ? bits : lanes[0];
    }
    for (int j = 0; j < LANES; j++) {
        largest = lanes[j] > largest ? lanes[j] : largest;
    }
    return largest;
}

/* The nearest whole number, ties to even, of |x| < 2^22. */
static int round_small(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23 */
    return (int)((x + magic) - magic);
}

static void codes_int8(int8_t *codes, const float *x, int64_t n, float scale)
{
    float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        codes[i] = (int8_t)round_small(x[i] * inverse);
    }
}

static void codes_f8(uint8_t *codes, const float *x, int64_t n, float scale)
{
    float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        codes[i] = f8_from_float(x[i] * inverse);
    }
}

/* Of one group; n may be odd in the last one, whose spare nibble is a zero. */
static void codes_q4(uint8_t *codes, const float *x, int64_t n, float scale)
{
    float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    uint8_t nibbles[QUANT_GROUP];
    for (int64_t i = 0; i < QUANT_GROUP; i++) {
        int code = i < n ? round_small(x[i] * inverse) : 0;
        nibbles[i] = (uint8_t)((code > 7 ? 7 : code < -8 ? -8 : code) + 8);
    }
    for (int64_t i = 0; i < n; i += 2) {
        codes[i / 2] = (uint8_t)(nibbles[i] | nibbles[i + 1] << 4);
    }
}

/* The element of largest magnitude, with its sign. */
static float extreme(const float *x, int64_t n, uint32_t bits)
{
    int64_t i = 0;
    while (i + 1 < n && (float_bits(x[i]) & 0x7fffffffu) != bits) {
        i++;
    }
    return x[i];
}

static void row_q4(struct tensor to, const float *x, int64_t r)
{
    int64_t k = to.dims[1], groups = quant_n_scales(DTYPE_Q4, k);
    uint8_t *codes = (uint8_t *)to.data + r * quant_code_bytes(DTYPE_Q4, k);
    uint16_t *scales = (uint16_t *)to.scales + r * groups;
    for (int64_t g = 0; g < groups; g++) {
        int64_t first = g * QUANT_GROUP, n = k - first < QUANT_GROUP ? k - first : QUANT_GROUP;
        uint32_t bits = quant_largest_bits(x + first, n);
        float scale =
            float_from_bits(bits) < SMALLEST ? 0.0f : extreme(x + first, n, bits) / LOWEST_Q4;
        scales[g] = bf16_from_float(scale);
        codes_q4(codes + first / 2, x + first, n, bf16_to_float(scales[g]));
    }
}

float quant_scale(enum dtype dtype, uint32_t largest_bits)
{
    float largest = float_from_bits(largest_bits);
    return largest < SMALLEST ? 0.0f : largest / (dtype == DTYPE_INT8 ? LARGEST_INT8 : LARGEST_F8);
}

void quant_round(float *values, const float *x, enum dtype dtype, int64_t n, float scale)
{
    bool is_usable = scale > 0.0f && scale <= LARGEST_FLOAT;
    float inverse = is_usable ? 1.0f / scale : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        float code = is_usable ? x[i] * inverse : 0.0f;
        values[i] =
            dtype == DTYPE_INT8 ? (float)round_small(code) : f8_to_float(f8_from_float(code));
    }
}

static void row_whole(struct tensor to, const float *x, int64_t r, uint32_t largest_bits)
{
    int64_t k = to.dims[1];
    float scale = quant_scale(to.dtype, largest_bits);
    ((float *)to.scales)[r] = scale;
    if (to.dtype == DTYPE_INT8) {
        codes_int8((int8_t *)to.data + r * k, x, k, scale);
    } else {
        codes_f8((uint8_t *)to.data + r * k, x, k, scale);
    }
}

bool quant_row(struct tensor to, struct tensor from, int64_t r, double *error_2, double *power)
{
    int64_t k = to.dims[1];
    assert(to.rank == 2 && tensor_same_shape(to, from) && tensor_is_dense(from));
    float *row = xmalloc(2 * (size_t)k * sizeof *row), *back = row + k;
    for (int64_t i = 0; i < k; i++) {
        row[i] = dtype_load(from.data, from.dtype, r * k + i);
    }
    uint32_t largest = quant_largest_bits(row, k);
    bool is_finite = float_from_bits(largest) <= LARGEST_FLOAT;
    if (is_finite && to.dtype == DTYPE_Q4) {
        row_q4(to, row, r);
    } else if (is_finite) {
        row_whole(to, row, r, largest);
    }
    if (is_finite && error_2 != NULL) {
        quant_load_row(back, to, r);
        for (int64_t i = 0; i < k; i++) {
            double difference = (double)back[i] - (double)row[i];
            *error_2 += difference * difference;
            *power += (double)row[i] * (double)row[i];
        }
    }
    free(row);
    return is_finite;
}

/* --- from codes -------------------------------------------------------------------------------*/

void quant_load_row(float *to, struct tensor matrix, int64_t r)
{
    int64_t k = matrix.dims[1], n_scales = quant_n_scales(matrix.dtype, k);
    const uint8_t *codes = (const uint8_t *)matrix.data + r * quant_code_bytes(matrix.dtype, k);
    for (int64_t i = 0; i < k; i++) {
        int64_t at = r * n_scales + (matrix.dtype == DTYPE_Q4 ? i / QUANT_GROUP : 0);
        float scale = dtype_load(matrix.scales, quant_scale_dtype(matrix.dtype), at);
        float code = matrix.dtype == DTYPE_INT8 ? (float)(int8_t)codes[i]
                     : matrix.dtype == DTYPE_FP8
                         ? f8_to_float(codes[i])
                         : (float)((codes[i / 2] >> (4 * (i % 2)) & 15) - 8);
        to[i] = code * scale;
    }
}
