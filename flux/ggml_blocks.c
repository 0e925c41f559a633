/* One function per format, each the formula that its comment gives. Products are taken in the order
 * of the comments, in f32, so that values equal those of other readers bit for bit. */
#include "flux/ggml_blocks.h"

#include "tensor/dtype.h"

enum { SMALL = 32, LARGE = 256 }; /* values per block */

static float f16_at(const uint8_t *bytes)
{
    return f16_to_float((uint16_t)(bytes[0] | bytes[1] << 8));
}

/* --- blocks of 32 -----------------------------------------------------------------------------*/

/* q4[16] holds value i in the low half of byte i, and value i + 16 in its high half. bits[4] holds
 * a further bit of each value. */
enum { HALF = 16 };

static int bit(const uint8_t *bits, int i) { return bits[i / 8] >> (i % 8) & 1; }

/* Q4_0 {d, q4[16]}: d (q - 8) */
static void decode_q4_0(float *out, const uint8_t *b)
{
    float d = f16_at(b);
    for (int i = 0; i < HALF; i++) {
        out[i] = d * (float)((b[2 + i] & 15) - 8);
        out[i + HALF] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

/* Q4_1 {d, m, q4[16]}: d q + m */
static void decode_q4_1(float *out, const uint8_t *b)
{
    float d = f16_at(b), m = f16_at(b + 2);
    for (int i = 0; i < HALF; i++) {
        out[i] = d * (float)(b[4 + i] & 15) + m;
        out[i + HALF] = d * (float)(b[4 + i] >> 4) + m;
    }
}

/* Q5_0 {d, bits[4], q4[16]}: d (q + 16 bit - 16) */
static void decode_q5_0(float *out, const uint8_t *b)
{
    float d = f16_at(b);
    for (int i = 0; i < HALF; i++) {
        out[i] = d * (float)((b[6 + i] & 15) + 16 * bit(b + 2, i) - 16);
        out[i + HALF] = d * (float)((b[6 + i] >> 4) + 16 * bit(b + 2, i + HALF) - 16);
    }
}

/* Q5_1 {d, m, bits[4], q4[16]}: d (q + 16 bit) + m */
static void decode_q5_1(float *out, const uint8_t *b)
{
    float d = f16_at(b), m = f16_at(b + 2);
    for (int i = 0; i < HALF; i++) {
        out[i] = d * (float)((b[8 + i] & 15) + 16 * bit(b + 4, i)) + m;
        out[i + HALF] = d * (float)((b[8 + i] >> 4) + 16 * bit(b + 4, i + HALF)) + m;
    }
}

/* Q8_0 {d, q[32] signed}: d q */
static void decode_q8_0(float *out, const uint8_t *b)
{
    float d = f16_at(b);
    for (int i = 0; i < SMALL; i++) {
        out[i] = d * (float)(int8_t)b[2 + i];
    }
}

/* --- blocks of 256 ----------------------------------------------------------------------------*/

/* Each group of 16 or 32 values has a scale of its own, in units of the block's d. */
enum { GROUP_16 = 16, GROUP_32 = 32 };

/* Where the two-bit fields of values i .. i + 15 lie in q2[64], and how far up in their bytes: each
 * half of the block has 32 bytes, with four values in each, 32 apart. */
static const uint8_t *two_bits(const uint8_t *q2, int i, int *shift)
{
    *shift = i % 128 / 32 * 2;
    return q2 + i / 128 * 32 + i % 32;
}

/* Q2_K {s[16], q2[64], d, m}: (d low(s)) q - m high(s), one s per 16 values, low and high are its
 * halves */
static void decode_q2_k(float *out, const uint8_t *b)
{
    float d = f16_at(b + 80), m = f16_at(b + 82);
    for (int i = 0; i < LARGE; i += GROUP_16) {
        int s = b[i / GROUP_16], shift;
        float scale = d * (float)(s & 15), min = m * (float)(s >> 4);
        const uint8_t *q = two_bits(b + 16, i, &shift);
        for (int k = 0; k < GROUP_16; k++) {
            out[i + k] = scale * (float)(q[k] >> shift & 3) - min;
        }
    }
}

/* Scale j of 16 six-bit ones in 12 bytes: four low bits in the halves of the first eight, two high
 * ones in the last four. */
static int six_bits(const uint8_t *s, int j)
{
    int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
    return low | (s[8 + j % 4] >> (2 * (j / 4)) & 3) << 4;
}

/* Q3_K {bits[32], q2[64], s[12], d}: (d (s - 32)) (q + 4 bit - 4), one s per 16 values; the bit of
 * value i is number i / 32 of byte i % 32 */
static void decode_q3_k(float *out, const uint8_t *b)
{
    float d = f16_at(b + 108);
    for (int i = 0; i < LARGE; i += GROUP_16) {
        int shift;
        float scale = d * (float)(six_bits(b + 96, i / GROUP_16) - 32);
        const uint8_t *q = two_bits(b + 32, i, &shift), *bits = b + i % 32;
        for (int k = 0; k < GROUP_16; k++) {
            int high = bits[k] >> (i / 32) & 1;
            out[i + k] = scale * (float)((q[k] >> shift & 3) + 4 * high - 4);
        }
    }
}

/* Scale and minimum j of eight, six bits each, in 12 bytes: those of 0..3 in the low bits of bytes
 * j and j + 4; those of 4..7 in the halves of byte j + 4, with their high bits on top of the
 * others. */
static void scale_and_min(const uint8_t *s, int j, float *scale, float *min)
{
    if (j < 4) {
        *scale = (float)(s[j] & 63);
        *min = (float)(s[j + 4] & 63);
    } else {
        *scale = (float)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        *min = (float)((s[j + 4] >> 4) | (s[j] >> 6) << 4);
    }
}

/* Q4_K and Q5_K {d, m, s[12], bits[0 or 32], q4[128]}: (d scale) (q + 16 bit) - m min, a scale and
 * a min per 32 values. 64 values share 32 bytes of q4, the first 32 in the low halves; the bit of
 * value i is number i / 32 of byte i % 32. */
static void decode_4_or_5(float *out, const uint8_t *b, const uint8_t *bits, const uint8_t *q4)
{
    float d = f16_at(b), m = f16_at(b + 2);
    for (int i = 0; i < LARGE; i += GROUP_32) {
        int j = i / GROUP_32, shift = j % 2 * 4;
        float scale, min;
        scale_and_min(b + 4, j, &scale, &min);
        scale *= d;
        min *= m;
        const uint8_t *q = q4 + j / 2 * GROUP_32;
        for (int k = 0; k < GROUP_32; k++) {
            int high = bits == NULL ? 0 : bits[k] >> j & 1;
            out[i + k] = scale * (float)((q[k] >> shift & 15) + 16 * high) - min;
        }
    }
}

static void decode_q4_k(float *out, const uint8_t *b) { decode_4_or_5(out, b, NULL, b + 16); }

static void decode_q5_k(float *out, const uint8_t *b) { decode_4_or_5(out, b, b + 16, b + 48); }

/* Q6_K {q4[128], q2[64], s[16] signed, d}: (d s) (q4 + 16 q2 - 32), one s per 16 values. 128 values
 * share 64 bytes of q4, the first 64 in the low halves. */
static void decode_q6_k(float *out, const uint8_t *b)
{
    float d = f16_at(b + 208);
    for (int i = 0; i < LARGE; i += GROUP_16) {
        int shift, up = i % 128 / 64 * 4;
        float scale = d * (float)(int8_t)b[192 + i / GROUP_16];
        const uint8_t *q4 = b + i / 128 * 64 + i % 64, *q2 = two_bits(b + 128, i, &shift);
        for (int k = 0; k < GROUP_16; k++) {
            out[i + k] = scale * (float)(((q4[k] >> up & 15) | (q2[k] >> shift & 3) << 4) - 32);
        }
    }
}

/* --- public -----------------------------------------------------------------------------------*/

static const struct ggml_format FORMATS[] = {
    {0, "F32", 1, 4, DTYPE_F32, NULL},         {1, "F16", 1, 2, DTYPE_F16, NULL},
    {30, "BF16", 1, 2, DTYPE_BF16, NULL},      {2, "Q4_0", SMALL, 18, -1, decode_q4_0},
    {3, "Q4_1", SMALL, 20, -1, decode_q4_1},   {6, "Q5_0", SMALL, 22, -1, decode_q5_0},
    {7, "Q5_1", SMALL, 24, -1, decode_q5_1},   {8, "Q8_0", SMALL, 34, -1, decode_q8_0},
    {10, "Q2_K", LARGE, 84, -1, decode_q2_k},  {11, "Q3_K", LARGE, 110, -1, decode_q3_k},
    {12, "Q4_K", LARGE, 144, -1, decode_q4_k}, {13, "Q5_K", LARGE, 176, -1, decode_q5_k},
    {14, "Q6_K", LARGE, 210, -1, decode_q6_k},
};

const struct ggml_format *ggml_format_find(uint32_t id)
{
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++) {
        if (FORMATS[i].id == id) {
            return &FORMATS[i];
        }
    }
    return NULL;
}

const char *ggml_format_names(void)
{
    return "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K";
}

void ggml_decode(const struct ggml_format *f, float *out, const void *bytes, int64_t n)
{
    const uint8_t *block = bytes;
    for (int64_t i = 0; i < n; i += f->block_values, block += f->block_bytes) {
        f->decode(out + i, block);
    }
}
