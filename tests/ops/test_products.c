/* linear, conv2d and attention on every back end. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "tensor/quant.h"
#include "tests/ops/harness.h"
#include "tests/ops/reference.h"

#include <cmocka.h> /* last: it defines fail */

/* Weight types, by number in a case's parameters. */
static const enum dtype WEIGHTS[] = {DTYPE_F32,  DTYPE_BF16, DTYPE_F16,
                                     DTYPE_INT8, DTYPE_FP8,  DTYPE_Q4};

/* What a product sees of rows of k inputs when it rounds them to a matrix's type. */
static void round_inputs(double *values, enum dtype dtype, int64_t rows, int64_t k)
{
    float *row = malloc((size_t)k * sizeof *row);
    assert_non_null(row);
    for (int64_t r = 0; r < rows && rows > QUANT_FEW_ROWS; r++) {
        for (int64_t i = 0; i < k; i++)
            row[i] = (float)values[r * k + i];
        float scale = quant_scale(dtype, quant_largest_bits(row, k));
        quant_round(row, row, dtype, k, scale);
        for (int64_t i = 0; i < k; i++)
            values[r * k + i] = (double)row[i] * (double)scale;
    }
    free(row);
}

/* p: rank of x, rows (outer to inner, unused ones 0), K, N, weight type, has bias, activation */
static void run_linear_of(struct lab *lab, const int64_t *p, bool rounds_inputs)
{
    int rank = (int)p[0];
    int64_t k = p[4], n = p[5], rows = 1;
    enum dtype dtype = WEIGHTS[p[6]];
    if (dtype_is_quantised(dtype) && !lab->backend->takes_quantised)
        skip();
    if (rounds_inputs &&
        !(dtype == DTYPE_INT8 ? lab->backend->multiplies_int8 : lab->backend->multiplies_fp8))
        skip();
    lab->backend->rounds_inputs = rounds_inputs;
    struct shape x_shape = {.rank = rank}, out_shape = {.rank = rank};
    for (int a = 0; a + 1 < rank; a++) {
        x_shape.dims[a] = out_shape.dims[a] = p[1 + a];
        rows *= p[1 + a];
    }
    x_shape.dims[rank - 1] = k;
    out_shape.dims[rank - 1] = n;
    enum layout layout = lab->op_case->layout;
    enum activation act = (enum activation)p[8];
    struct operand *x = operand_random(lab, lab->dtype, x_shape, layout);
    struct operand *w = dtype_is_quantised(dtype)
                            ? operand_quantised(lab, dtype, n, k)
                            : operand_weight(lab, dtype, SHAPE(n, k), WEIGHT_MATRIX);
    struct operand *bias = p[7] ? operand_weight(lab, DTYPE_F32, SHAPE(n), WEIGHT_VECTOR) : NULL;
    struct operand *out = operand_output(lab, lab->dtype, out_shape, layout);
    op_linear(lab->backend, out->t, x->t, w->t, bias ? bias->t : tensor_none(), act);
    lab->backend->rounds_inputs = false;
    double *expected = reference_new(rows * n);
    if (rounds_inputs)
        round_inputs(x->values, dtype, rows, k);
    reference_linear(expected, x->values, w->values, bias ? bias->values : NULL, rows, n, k);
    reference_activate(expected, expected, rows * n, act);
    operand_check(lab, out, expected);
    free(expected);
}

static void run_linear(struct lab *lab, const int64_t *p) { run_linear_of(lab, p, false); }

/* With inputs rounded to the type of the weight, which is int8 or fp8. */
static void run_linear_rounded(struct lab *lab, const int64_t *p) { run_linear_of(lab, p, true); }

/* x twice as high and wide, nearest neighbour; values only, owned by the caller. */
static double *upsampled(const double *x, struct reference_conv *c)
{
    double *large = reference_new(4 * c->batch * c->in_y * c->in_x * c->in);
    int64_t width = 2 * c->in_x;
    for (int64_t i = 0; i < 4 * c->batch * c->in_y * c->in_x; i++) {
        int64_t row = i / width / 2, column = i % width / 2; /* rows of all pictures */
        for (int64_t k = 0; k < c->in; k++)
            large[i * c->in + k] = x[(row * c->in_x + column) * c->in + k];
    }
    c->in_y *= 2;
    c->in_x *= 2;
    return large;
}

/* p: B, Y, X, I, O, kernel, stride, pad (top and left), pad (bottom and right), weight type */
static void run_conv_of(struct lab *lab, const int64_t *p, int upsample)
{
    struct reference_conv c = {.batch = p[0],
                               .in_y = p[1],
                               .in_x = p[2],
                               .in = p[3],
                               .out = p[4],
                               .kernel = p[5],
                               .stride = p[6],
                               .pad = p[7]};
    c.out_y = (upsample * c.in_y + p[7] + p[8] - c.kernel) / c.stride + 1;
    c.out_x = (upsample * c.in_x + p[7] + p[8] - c.kernel) / c.stride + 1;
    struct shape x_shape = SHAPE(c.batch, c.in_y, c.in_x, c.in);
    struct shape out_shape = SHAPE(c.batch, c.out_y, c.out_x, c.out);
    struct operand *x = operand_random(lab, lab->dtype, x_shape, DENSE);
    struct operand *w =
        operand_weight(lab, WEIGHTS[p[9]], SHAPE(c.out, c.in, c.kernel, c.kernel), WEIGHT_CONV);
    struct operand *bias = operand_weight(lab, DTYPE_F32, SHAPE(c.out), WEIGHT_VECTOR);
    struct operand *out = operand_output(lab, lab->dtype, out_shape, DENSE);
    op_conv2d(lab->backend, out->t, x->t, w->t, bias->t, (int)c.stride, (int)c.pad, (int)c.pad,
              upsample);
    double *expected = reference_new(tensor_elements(out->t));
    double *large = upsample > 1 ? upsampled(x->values, &c) : NULL;
    reference_conv2d(expected, large ? large : x->values, w->values, bias->values, &c);
    operand_check(lab, out, expected);
    free(expected);
    free(large);
}

static void run_conv(struct lab *lab, const int64_t *p) { run_conv_of(lab, p, 1); }

static void run_conv_upsampled(struct lab *lab, const int64_t *p) { run_conv_of(lab, p, 2); }

/* bias of attention: none, one per head and pair, or a mask over keys repeated by stride 0 */
enum { BIAS_NONE, BIAS_FULL, BIAS_REPEATED, BIAS_MASK };

static struct operand *attention_bias(struct lab *lab, int64_t kind, int64_t heads, int64_t lq,
                                      int64_t lk, double *values)
{
    if (kind == BIAS_NONE)
        return NULL;
    struct shape shape = kind == BIAS_FULL ? SHAPE(heads, lq, lk) : SHAPE(1, 1, lk);
    struct operand *o = operand_random(lab, DTYPE_F32, shape, DENSE);
    if (kind == BIAS_MASK) { /* what padding tokens get; the first keys too: a block of nothing */
        double *mask = reference_new(lk);
        for (int64_t k = 0; k < lk; k++)
            mask[k] = k < lk / 2 || k % 3 == 0 ? -INFINITY : 0.0;
        o = operand_from(lab, DTYPE_F32, shape, DENSE, mask);
        free(mask);
    }
    for (int64_t i = 0; i < heads * lq * lk; i++)
        values[i] = kind == BIAS_FULL ? o->values[i] : o->values[i % lk];
    if (kind != BIAS_FULL)
        o->t = tensor_repeat(tensor_repeat(o->t, 0, heads), 1, lq);
    return o;
}

/* p: B, Lq, Lk, H, Dh, bias kind, is causal */
static void run_attention(struct lab *lab, const int64_t *p)
{
    int64_t batch = p[0], lq = p[1], lk = p[2], heads = p[3], dh = p[4];
    enum layout layout = lab->op_case->layout;
    struct operand *q = operand_random(lab, lab->dtype, SHAPE(batch, lq, heads, dh), layout);
    struct operand *k = operand_random(lab, lab->dtype, SHAPE(batch, lk, heads, dh), layout);
    struct operand *v = operand_random(lab, lab->dtype, SHAPE(batch, lk, heads, dh), layout);
    struct operand *out = operand_output(lab, lab->dtype, SHAPE(batch, lq, heads, dh), layout);
    double *bias_values = reference_new(heads * lq * lk);
    struct operand *bias = attention_bias(lab, p[5], heads, lq, lk, bias_values);
    float scale = (float)(1.0 / sqrt((double)dh));
    op_attention(lab->backend, out->t, q->t, k->t, v->t, bias ? bias->t : tensor_none(), scale,
                 p[6] != 0);
    double *expected = reference_new(batch * lq * heads * dh);
    struct reference_attention a = {batch, lq, lk, heads, dh, (double)scale, p[6] != 0};
    reference_attend(expected, q->values, k->values, v->values, bias ? bias_values : NULL, &a);
    operand_check(lab, out, expected);
    free(expected);
    free(bias_values);
}

/* Windows of one fused buffer [B, L, 3, H, Dh], as q, k and v lie after one projection; and
 * heads exchanged with rows. p as above. */
static void run_attention_fused(struct lab *lab, const int64_t *p)
{
    int64_t batch = p[0], length = p[1], heads = p[3], dh = p[4], width = heads * dh;
    struct operand *all = operand_random(lab, lab->dtype, SHAPE(batch, length, 3 * width), DENSE);
    struct operand *out = operand_output(lab, lab->dtype, SHAPE(batch, length, width), WINDOW);
    struct tensor parts[3];
    double *values[3];
    for (int i = 0; i < 3; i++) {
        parts[i] = tensor_split(tensor_slice(all->t, 2, i * width, width), 2, heads);
        values[i] = reference_new(batch * length * width);
        for (int64_t r = 0; r < batch * length; r++) {
            for (int64_t d = 0; d < width; d++)
                values[i][r * width + d] = all->values[(3 * r + i) * width + d];
        }
    }
    op_attention(lab->backend, tensor_split(out->t, 2, heads), parts[0], parts[1], parts[2],
                 tensor_none(), 0.25f, false);
    double *expected = reference_new(batch * length * width);
    struct reference_attention a = {batch, length, length, heads, dh, 0.25, false};
    reference_attend(expected, values[0], values[1], values[2], NULL, &a);
    operand_check(lab, out, expected);
    free(expected);
    for (int i = 0; i < 3; i++)
        free(values[i]);
}

static const struct op_case CASES[] = {
    /* rank, rows.., K, N, weight type, has bias, activation */
    {"linear of one row", run_linear, {2, 1, 0, 0, 37, 71, 0, 1, ACT_NONE}, .layout = DENSE},
    {"linear of one number", run_linear, {2, 1, 0, 0, 1, 1, 0, 1, ACT_NONE}, .layout = DENSE},
    {"linear of a vector", run_linear, {1, 0, 0, 0, 64, 64, 1, 1, ACT_SILU}, .layout = DENSE},
    {"linear of four rows, bf16 weight",
     run_linear,
     {2, 4, 0, 0, 300, 130, 1, 1, ACT_SILU},
     .layout = WINDOW},
    {"linear of three rows, f16 weight",
     run_linear,
     {2, 3, 0, 0, 129, 64, 2, 0, ACT_NONE},
     .layout = DENSE},
    {"linear of five rows", run_linear, {2, 5, 0, 0, 48, 96, 0, 1, ACT_RELU}, .layout = DENSE},
    {"linear by blocks of 16 inputs",
     run_linear,
     {2, 130, 0, 0, 128, 192, 0, 1, ACT_GELU},
     .layout = DENSE},
    {"linear with odd inputs",
     run_linear,
     {2, 67, 0, 0, 61, 129, 0, 1, ACT_GELU_TANH},
     .layout = DENSE},
    {"linear, bf16 weight",
     run_linear,
     {3, 2, 19, 0, 256, 100, 1, 1, ACT_QUICK_GELU},
     .layout = DENSE},
    {"linear, f16 weight", run_linear, {3, 2, 19, 0, 80, 70, 2, 1, ACT_NONE}, .layout = DENSE},
    {"linear between windows", run_linear, {3, 3, 9, 0, 96, 77, 1, 0, ACT_NONE}, .layout = WINDOW},
    {"linear between windows of rank 4",
     run_linear,
     {4, 2, 3, 7, 33, 65, 0, 1, ACT_NONE},
     .layout = WINDOW},
    {"linear of single rows apart",
     run_linear,
     {3, 5, 1, 0, 32, 64, 1, 1, ACT_NONE},
     .layout = WINDOW},
    {"linear over several strips",
     run_linear,
     {2, 1100, 0, 0, 64, 70, 1, 1, ACT_NONE},
     .layout = DENSE},
    {"linear in whole panels",
     run_linear,
     {2, 600, 0, 0, 96, 128, 1, 1, ACT_SILU},
     .layout = DENSE},
    {"linear in whole panels between windows",
     run_linear,
     {3, 2, 19, 0, 160, 64, 0, 1, ACT_NONE},
     .layout = WINDOW},
    {"linear of few rows in whole panels",
     run_linear,
     {2, 3, 0, 0, 288, 192, 2, 1, ACT_NONE},
     .layout = WINDOW},
    {"linear of five rows in whole panels",
     run_linear,
     {2, 5, 0, 0, 32, 64, 1, 0, ACT_NONE},
     .layout = DENSE},
    {"linear of aligned rows, bias and GELU",
     run_linear,
     {2, 96, 0, 0, 64, 80, 1, 1, ACT_GELU_TANH},
     .layout = DENSE},
    {"linear of aligned rows, ReLU",
     run_linear,
     {2, 70, 0, 0, 40, 64, 0, 0, ACT_RELU},
     .layout = DENSE},
    {"linear of aligned rows, bias",
     run_linear,
     {3, 2, 40, 0, 72, 64, 1, 1, ACT_NONE},
     .layout = DENSE},
    {"linear of huge values",
     run_linear,
     {2, 9, 0, 0, 64, 64, 0, 0, ACT_NONE},
     .layout = DENSE,
     .scale = 1e15},
    {"linear of tiny values",
     run_linear,
     {2, 9, 0, 0, 64, 64, 0, 0, ACT_NONE},
     .layout = DENSE,
     .scale = 1e-15},
    {"linear of several large tiles",
     run_linear,
     {2, 260, 0, 0, 72, 264, 1, 1, ACT_GELU_TANH},
     .layout = DENSE},
    {"linear of large tiles between windows",
     run_linear,
     {3, 2, 130, 0, 40, 140, 1, 1, ACT_SILU},
     .layout = WINDOW},
    {"linear, int8 weight, of one row",
     run_linear,
     {2, 1, 0, 0, 37, 71, 3, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, int8 weight, of one number",
     run_linear,
     {2, 1, 0, 0, 1, 1, 3, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, int8 weight, of four rows in whole panels",
     run_linear,
     {2, 4, 0, 0, 288, 192, 3, 1, ACT_SILU},
     .layout = WINDOW},
    {"linear, int8 weight, of three rows, several chunks",
     run_linear,
     {2, 3, 0, 0, 321, 130, 3, 0, ACT_NONE},
     .layout = DENSE},
    {"linear, int8 weight, with odd inputs",
     run_linear,
     {2, 67, 0, 0, 61, 129, 3, 1, ACT_GELU_TANH},
     .layout = DENSE},
    {"linear, int8 weight, in whole panels",
     run_linear,
     {2, 130, 0, 0, 192, 128, 3, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, int8 weight, in whole panels, a part of a group",
     run_linear,
     {2, 70, 0, 0, 96, 64, 3, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, int8 weight, over several strips between windows",
     run_linear,
     {3, 2, 530, 0, 130, 200, 3, 1, ACT_RELU},
     .layout = WINDOW},
    {"linear, fp8 weight, of one row",
     run_linear,
     {2, 1, 0, 0, 37, 71, 4, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, fp8 weight, of one number",
     run_linear,
     {2, 1, 0, 0, 1, 1, 4, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, fp8 weight, of four rows in whole panels",
     run_linear,
     {2, 4, 0, 0, 288, 192, 4, 1, ACT_SILU},
     .layout = WINDOW},
    {"linear, fp8 weight, of three rows, several chunks",
     run_linear,
     {2, 3, 0, 0, 321, 130, 4, 0, ACT_NONE},
     .layout = DENSE},
    {"linear, fp8 weight, with odd inputs",
     run_linear,
     {2, 67, 0, 0, 61, 129, 4, 1, ACT_GELU_TANH},
     .layout = DENSE},
    {"linear, fp8 weight, in whole panels",
     run_linear,
     {2, 130, 0, 0, 192, 128, 4, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, fp8 weight, in whole panels, a part of a group",
     run_linear,
     {2, 70, 0, 0, 96, 64, 4, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, fp8 weight, over several strips between windows",
     run_linear,
     {3, 2, 530, 0, 130, 200, 4, 1, ACT_RELU},
     .layout = WINDOW},
    {"linear, int8 weight and inputs, of four rows",
     run_linear_rounded,
     {2, 4, 0, 0, 64, 70, 3, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, int8 weight and inputs, of five numbers",
     run_linear_rounded,
     {2, 5, 0, 0, 1, 1, 3, 0, ACT_NONE},
     .layout = DENSE},
    {"linear, int8 weight and inputs, with odd inputs",
     run_linear_rounded,
     {2, 67, 0, 0, 61, 129, 3, 1, ACT_GELU_TANH},
     .layout = DENSE},
    {"linear, int8 weight and inputs, whole tiles",
     run_linear_rounded,
     {2, 64, 0, 0, 192, 128, 3, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, int8 weight and inputs, between windows",
     run_linear_rounded,
     {3, 3, 30, 0, 2100, 72, 3, 1, ACT_RELU},
     .layout = WINDOW},
    {"linear, int8 weight and inputs, large tiles",
     run_linear_rounded,
     {2, 260, 0, 0, 72, 264, 3, 0, ACT_NONE},
     .layout = DENSE},
    {"linear, int8 weight and inputs, tiny values",
     run_linear_rounded,
     {2, 6, 0, 0, 48, 16, 3, 0, ACT_NONE},
     .layout = DENSE,
     .scale = 1e-33},
    {"linear, fp8 weight and inputs, of four rows",
     run_linear_rounded,
     {2, 4, 0, 0, 64, 70, 4, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, fp8 weight and inputs, of five numbers",
     run_linear_rounded,
     {2, 5, 0, 0, 1, 1, 4, 0, ACT_NONE},
     .layout = DENSE},
    {"linear, fp8 weight and inputs, with odd inputs",
     run_linear_rounded,
     {2, 67, 0, 0, 61, 129, 4, 1, ACT_GELU_TANH},
     .layout = DENSE},
    {"linear, fp8 weight and inputs, whole tiles",
     run_linear_rounded,
     {2, 64, 0, 0, 192, 128, 4, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, fp8 weight and inputs, between windows",
     run_linear_rounded,
     {3, 3, 30, 0, 2100, 72, 4, 1, ACT_RELU},
     .layout = WINDOW},
    {"linear, fp8 weight and inputs, large tiles",
     run_linear_rounded,
     {2, 260, 0, 0, 72, 264, 4, 0, ACT_NONE},
     .layout = DENSE},
    {"linear, fp8 weight and inputs, tiny values",
     run_linear_rounded,
     {2, 6, 0, 0, 48, 16, 4, 0, ACT_NONE},
     .layout = DENSE,
     .scale = 1e-33},
    {"linear, q4 weight, of one row",
     run_linear,
     {2, 1, 0, 0, 37, 71, 5, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, q4 weight, of one number",
     run_linear,
     {2, 1, 0, 0, 1, 1, 5, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, q4 weight, of four rows in whole panels",
     run_linear,
     {2, 4, 0, 0, 288, 192, 5, 1, ACT_SILU},
     .layout = WINDOW},
    {"linear, q4 weight, of three rows, several chunks",
     run_linear,
     {2, 3, 0, 0, 321, 130, 5, 0, ACT_NONE},
     .layout = DENSE},
    {"linear, q4 weight, with odd inputs",
     run_linear,
     {2, 67, 0, 0, 61, 129, 5, 1, ACT_GELU_TANH},
     .layout = DENSE},
    {"linear, q4 weight, in whole panels",
     run_linear,
     {2, 130, 0, 0, 192, 128, 5, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, q4 weight, in whole panels, a part of a group",
     run_linear,
     {2, 70, 0, 0, 96, 64, 5, 1, ACT_NONE},
     .layout = DENSE},
    {"linear, q4 weight, over several strips between windows",
     run_linear,
     {3, 2, 530, 0, 130, 200, 5, 1, ACT_RELU},
     .layout = WINDOW},
    /* B, Y, X, I, O, kernel, stride, pad before, pad after, weight type */
    {"conv 3x3", run_conv, {1, 9, 7, 16, 64, 3, 1, 1, 1, 0}, .layout = DENSE},
    {"conv 3x3 of a batch, odd channels",
     run_conv,
     {2, 5, 6, 5, 7, 3, 1, 1, 1, 0},
     .layout = DENSE},
    {"conv 3x3 to three channels", run_conv, {1, 12, 11, 32, 3, 3, 1, 1, 1, 1}, .layout = DENSE},
    {"conv 3x3 over several strips", run_conv, {1, 23, 31, 8, 72, 3, 1, 1, 1, 1}, .layout = DENSE},
    {"conv 3x3 by stride 2, padded below and right",
     run_conv,
     {2, 8, 10, 6, 9, 3, 2, 0, 1, 0},
     .layout = DENSE},
    {"conv 3x3 by stride 2, padded around",
     run_conv,
     {1, 9, 9, 4, 4, 3, 2, 1, 1, 2},
     .layout = DENSE},
    {"conv 1x1", run_conv, {2, 6, 5, 24, 33, 1, 1, 0, 0, 1}, .layout = DENSE},
    {"conv 2x2 by stride 2", run_conv, {1, 8, 6, 3, 20, 2, 2, 0, 0, 0}, .layout = DENSE},
    {"conv 5x5 larger than the picture", run_conv, {1, 3, 2, 4, 8, 5, 1, 2, 2, 0}, .layout = DENSE},
    {"conv 3x3 of a batch in bands", run_conv, {2, 41, 24, 16, 64, 3, 1, 1, 1, 1}, .layout = DENSE},
    {"conv 3x3 in bands, outputs in two panels",
     run_conv,
     {1, 30, 33, 16, 96, 3, 1, 1, 1, 0},
     .layout = DENSE},
    {"conv 3x3 by stride 2 in bands",
     run_conv,
     {1, 64, 50, 16, 32, 3, 2, 0, 1, 2},
     .layout = DENSE},
    {"conv 5x5 in bands", run_conv, {1, 40, 30, 16, 48, 5, 1, 2, 2, 0}, .layout = DENSE},
    {"conv 3x3 of large tiles", run_conv, {1, 24, 22, 16, 72, 3, 1, 1, 1, 1}, .layout = DENSE},
    {"conv 3x3 of large tiles, odd channels",
     run_conv,
     {1, 24, 25, 9, 140, 3, 2, 0, 1, 1},
     .layout = DENSE},
    {"conv of one pixel", run_conv, {1, 1, 1, 8, 8, 3, 1, 1, 1, 0}, .layout = DENSE},
    {"conv 3x3, upsampled", run_conv_upsampled, {1, 5, 4, 16, 40, 3, 1, 1, 1, 1}, .layout = DENSE},
    {"conv 3x3 of a batch, upsampled, odd channels",
     run_conv_upsampled,
     {2, 3, 5, 5, 7, 3, 1, 1, 1, 0},
     .layout = DENSE},
    {"conv 3x3 in bands, upsampled",
     run_conv_upsampled,
     {2, 21, 13, 16, 64, 3, 1, 1, 1, 1},
     .layout = DENSE},
    {"conv 3x3 of one pixel, upsampled",
     run_conv_upsampled,
     {1, 1, 1, 8, 8, 3, 1, 1, 1, 0},
     .layout = DENSE},
    {"conv 3x3 by stride 2, upsampled, padded below and right",
     run_conv_upsampled,
     {1, 4, 5, 8, 9, 3, 2, 0, 1, 2},
     .layout = DENSE},
    {"conv 2x2, upsampled, without padding",
     run_conv_upsampled,
     {1, 4, 3, 3, 20, 2, 1, 0, 0, 0},
     .layout = DENSE},
    /* B, Lq, Lk, H, Dh, bias, is causal */
    {"attention", run_attention, {2, 33, 33, 3, 32, BIAS_NONE, 0}, .layout = DENSE},
    {"attention of one token", run_attention, {1, 1, 1, 2, 16, BIAS_NONE, 0}, .layout = DENSE},
    {"attention of one query", run_attention, {1, 1, 130, 1, 64, BIAS_NONE, 0}, .layout = DENSE},
    {"attention with odd width", run_attention, {1, 20, 21, 2, 13, BIAS_NONE, 0}, .layout = WINDOW},
    {"attention between windows",
     run_attention,
     {2, 17, 40, 2, 24, BIAS_NONE, 0},
     .layout = WINDOW},
    {"attention of width 128", run_attention, {1, 140, 90, 2, 128, BIAS_NONE, 0}, .layout = DENSE},
    {"attention of width 96 over blocks of keys",
     run_attention,
     {1, 130, 1100, 1, 96, BIAS_NONE, 0},
     .layout = DENSE},
    {"causal attention", run_attention, {2, 77, 77, 2, 16, BIAS_NONE, 1}, .layout = DENSE},
    {"causal attention over blocks",
     run_attention,
     {1, 600, 600, 1, 32, BIAS_NONE, 1},
     .layout = DENSE},
    {"attention with a bias", run_attention, {2, 19, 23, 3, 16, BIAS_FULL, 0}, .layout = DENSE},
    {"attention with a repeated bias",
     run_attention,
     {1, 19, 65, 2, 16, BIAS_REPEATED, 0},
     .layout = DENSE},
    {"causal attention with a bias",
     run_attention,
     {1, 40, 40, 2, 16, BIAS_FULL, 1},
     .layout = DENSE},
    {"attention with masked blocks",
     run_attention,
     {1, 6, 1300, 2, 16, BIAS_MASK, 0},
     .layout = DENSE},
    {"attention with sharp scores",
     run_attention,
     {1, 50, 50, 2, 32, BIAS_NONE, 0},
     .layout = DENSE,
     .scale = 6,
     .bounds = {1e-11, 1e-5}},
    {"attention of huge scores",
     run_attention,
     {1, 20, 30, 1, 16, BIAS_NONE, 0},
     .layout = DENSE,
     .scale = 1000,
     .bounds = {1e-8, 1e-5}},
    {"causal attention of width 64",
     run_attention,
     {1, 77, 77, 2, 64, BIAS_NONE, 1},
     .layout = DENSE},
    {"causal attention of width 64 with a bias",
     run_attention,
     {1, 77, 77, 2, 64, BIAS_FULL, 1},
     .layout = DENSE},
    {"attention of width 64 over blocks of queries",
     run_attention,
     {1, 260, 70, 3, 64, BIAS_NONE, 0},
     .layout = DENSE},
    {"causal attention of width 128",
     run_attention,
     {1, 140, 140, 4, 128, BIAS_NONE, 1},
     .layout = DENSE},
    {"attention of width 128 with masked blocks",
     run_attention,
     {2, 15, 350, 2, 128, BIAS_MASK, 0},
     .layout = DENSE},
    {"attention of width 512", run_attention, {1, 37, 101, 2, 512, BIAS_NONE, 0}, .layout = DENSE},
    {"attention inside one buffer", run_attention_fused, {2, 21, 21, 3, 16}, .layout = SPECIAL},
};

int main(void) { return lab_main(CASES, sizeof CASES / sizeof CASES[0]); }
