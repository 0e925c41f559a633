/* Norms, rotations, element-wise operations, copies, embedding and pixels on every back end. */
#include <math.h>
#include <stdlib.h>

#include "tests/ops/harness.h"
#include "tests/ops/reference.h"

/* Types by number in a case's parameters. */
static const enum dtype TYPES[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};

/* Where a result goes: a new operand, or the input itself. */
static struct operand *result_for(struct lab *lab, struct operand *x, struct shape shape,
                                  bool is_in_place)
{
    return is_in_place ? x : operand_output(lab, lab->dtype, shape, lab->op_case->layout);
}

static const double *values_of(const struct operand *o) { return o ? o->values : NULL; }

static struct tensor tensor_of(const struct operand *o) { return o ? o->t : tensor_none(); }

/* p: B, L, D, has weight, has bias, has scale and shift, in place, offset of all values */
static void run_layer_norm(struct lab *lab, const int64_t *p)
{
    struct shape shape = SHAPE(p[0], p[1], p[2]);
    int64_t n = p[0] * p[1] * p[2];
    double *values = reference_new(n), *expected = reference_new(n);
    for (int64_t i = 0; i < n; i++)
        values[i] = lab_normal(lab) + (double)p[7];
    struct operand *x = operand_from(lab, lab->dtype, shape, lab->op_case->layout, values);
    struct operand *weight =
        p[3] ? operand_weight(lab, DTYPE_F32, SHAPE(p[2]), WEIGHT_VECTOR) : NULL;
    struct operand *bias =
        p[4] ? operand_weight(lab, DTYPE_BF16, SHAPE(p[2]), WEIGHT_VECTOR) : NULL;
    /* scale and shift are windows of one modulation vector */
    struct operand *scale = NULL, *shift = NULL;
    if (p[5]) {
        scale = operand_random(lab, lab->dtype, SHAPE(p[0], p[2]), WINDOW);
        shift = operand_random(lab, lab->dtype, SHAPE(p[0], p[2]), WINDOW);
    }
    struct operand *out = result_for(lab, x, shape, p[6] != 0);
    op_layer_norm(lab->backend, out->t, x->t, tensor_of(weight), tensor_of(bias), tensor_of(scale),
                  tensor_of(shift), 1e-6f);
    reference_layer_norm(expected, x->values, values_of(weight), values_of(bias), values_of(scale),
                         values_of(shift), p[0], p[1], p[2], 1e-6);
    operand_check(lab, out, expected);
    free(values);
    free(expected);
}

/* p: rank, dims, in place. The last axis is normalised. */
static void run_rms_norm(struct lab *lab, const int64_t *p)
{
    struct shape shape = {.rank = (int)p[0]};
    int64_t rows = 1, d = p[p[0]];
    for (int a = 0; a < shape.rank; a++)
        shape.dims[a] = p[1 + a];
    for (int a = 0; a + 1 < shape.rank; a++)
        rows *= shape.dims[a];
    struct operand *x = operand_random(lab, lab->dtype, shape, lab->op_case->layout);
    struct operand *weight = operand_weight(lab, DTYPE_F16, SHAPE(d), WEIGHT_VECTOR);
    struct operand *out = result_for(lab, x, shape, p[5] != 0);
    op_rms_norm(lab->backend, out->t, x->t, weight->t, 1e-6f);
    double *expected = reference_new(rows * d);
    reference_rms_norm(expected, x->values, weight->values, rows, d, 1e-6);
    operand_check(lab, out, expected);
    free(expected);
}

/* p: B, Y, X, C, groups, is SiLU, in place, mean of the channels in units of their deviation */
static void run_group_norm(struct lab *lab, const int64_t *p)
{
    struct shape shape = SHAPE(p[0], p[1], p[2], p[3]);
    int64_t pixels = p[1] * p[2], n = p[0] * pixels * p[3];
    double *values = reference_new(n), *expected = reference_new(n);
    for (int64_t i = 0; i < n; i++)
        values[i] = lab_normal(lab) + (double)p[7];
    struct operand *x = operand_from(lab, lab->dtype, shape, DENSE, values);
    struct operand *weight = operand_weight(lab, DTYPE_F32, SHAPE(p[3]), WEIGHT_VECTOR);
    struct operand *bias = operand_weight(lab, DTYPE_F32, SHAPE(p[3]), WEIGHT_VECTOR);
    struct operand *out = result_for(lab, x, shape, p[6] != 0);
    op_group_norm(lab->backend, out->t, x->t, weight->t, bias->t, (int)p[4], 1e-6f,
                  p[5] ? ACT_SILU : ACT_NONE);
    reference_group_norm(expected, x->values, weight->values, bias->values, p[0], pixels, p[3],
                         p[4], 1e-6);
    reference_activate(expected, expected, n, p[5] ? ACT_SILU : ACT_NONE);
    operand_check(lab, out, expected);
    free(values);
    free(expected);
}

/* p: B, L, H, Dh */
static void run_rms_norm_rope(struct lab *lab, const int64_t *p)
{
    struct shape shape = SHAPE(p[0], p[1], p[2], p[3]);
    struct operand *x = operand_random(lab, lab->dtype, shape, lab->op_case->layout);
    struct operand *cosine = operand_random(lab, DTYPE_F32, SHAPE(p[1], p[3] / 2), DENSE);
    struct operand *sine = operand_random(lab, DTYPE_F32, SHAPE(p[1], p[3] / 2), DENSE);
    struct operand *weight = operand_weight(lab, DTYPE_F32, SHAPE(p[3]), WEIGHT_VECTOR);
    op_rms_norm_rope(lab->backend, x->t, weight->t, 1e-6f, cosine->t, sine->t);
    int64_t rows = p[0] * p[1] * p[2];
    reference_rms_norm(x->values, x->values, weight->values, rows, p[3], 1e-6);
    for (int64_t i = 0; i < rows * p[3]; i++)
        x->values[i] = lab_round(lab->dtype, x->values[i]);
    reference_rope(x->values, cosine->values, sine->values, p[0], p[1], p[2], p[3]);
    /* Rounded here too, so that the bound can tell one rounding from two. */
    for (int64_t i = 0; i < rows * p[3]; i++)
        x->values[i] = lab_round(lab->dtype, x->values[i]);
    operand_check(lab, x, x->values);
}

/* p: activation, n, in place */
static void run_activate(struct lab *lab, const int64_t *p)
{
    struct shape shape = SHAPE(3, p[1]);
    double *values = reference_new(3 * p[1]);
    /* A sweep that ends well outside the range where the exponential matters. */
    for (int64_t i = 0; i < 3 * p[1]; i++)
        values[i] = lab->op_case->scale * (2.0 * (double)i / (double)(3 * p[1] - 1) - 1.0);
    struct operand *x = operand_from(lab, lab->dtype, shape, lab->op_case->layout, values);
    struct operand *out = result_for(lab, x, shape, p[2] != 0);
    op_activate(lab->backend, out->t, x->t, (enum activation)p[0]);
    double *expected = reference_new(3 * p[1]);
    reference_activate(expected, x->values, 3 * p[1], (enum activation)p[0]);
    operand_check(lab, out, expected);
    free(values);
    free(expected);
}

enum { DO_ADD, DO_MUL };

/* p: what, B, L, D, y repeats over L, in place */
static void run_pair(struct lab *lab, const int64_t *p)
{
    struct shape shape = SHAPE(p[1], p[2], p[3]);
    struct shape y_shape = p[4] ? SHAPE(p[1], 1, p[3]) : shape;
    int64_t n = p[1] * p[2] * p[3];
    struct operand *x = operand_random(lab, lab->dtype, shape, lab->op_case->layout);
    struct operand *y = operand_random(lab, lab->dtype, y_shape, lab->op_case->layout);
    struct operand *out = result_for(lab, x, shape, p[5] != 0);
    struct tensor y_window = p[4] ? tensor_repeat(y->t, 1, p[2]) : y->t;
    if (p[0] == DO_ADD)
        op_add(lab->backend, out->t, x->t, y_window);
    else
        op_mul(lab->backend, out->t, x->t, y_window);
    double *expected = reference_new(n);
    for (int64_t i = 0; i < n; i++) {
        double yv = y->values[p[4] ? i / (p[2] * p[3]) * p[3] + i % p[3] : i];
        expected[i] = p[0] == DO_ADD ? x->values[i] + yv : x->values[i] * yv;
    }
    operand_check(lab, out, expected);
    free(expected);
}

enum { DO_GATED_ADD, DO_AXPY, DO_AFFINE };

/* p: what, B, L, D */
static void run_update(struct lab *lab, const int64_t *p)
{
    struct shape shape = SHAPE(p[1], p[2], p[3]);
    int64_t n = p[1] * p[2] * p[3];
    struct operand *x = operand_random(lab, lab->dtype, shape, lab->op_case->layout);
    struct operand *out = operand_random(lab, lab->dtype, shape, lab->op_case->layout);
    struct operand *gate = operand_random(lab, lab->dtype, SHAPE(p[1], p[3]), WINDOW);
    double *expected = reference_new(n);
    for (int64_t i = 0; i < n; i++) {
        double g = gate->values[i / (p[2] * p[3]) * p[3] + i % p[3]], xv = x->values[i];
        expected[i] = p[0] == DO_GATED_ADD ? out->values[i] + g * xv
                      : p[0] == DO_AXPY    ? out->values[i] - 0.375 * xv
                                           : xv * 0.75 + 0.125;
    }
    if (p[0] == DO_GATED_ADD)
        op_gated_add(lab->backend, out->t, gate->t, x->t);
    else if (p[0] == DO_AXPY)
        op_axpy(lab->backend, out->t, -0.375f, x->t);
    else
        op_affine(lab->backend, out->t, x->t, 0.75f, 0.125f);
    operand_check(lab, out, expected);
    free(expected);
}

/* p: rows, D, n ids, table type */
static void run_embed(struct lab *lab, const int64_t *p)
{
    struct operand *table = operand_weight(lab, TYPES[p[3]], SHAPE(p[0], p[1]), WEIGHT_TABLE);
    struct operand *ids = operand_indices(lab, p[2], p[0]);
    struct operand *out = operand_output(lab, lab->dtype, SHAPE(p[2], p[1]), lab->op_case->layout);
    op_embed(lab->backend, out->t, table->t, ids->t);
    double *expected = reference_new(p[2] * p[1]);
    for (int64_t i = 0; i < p[2] * p[1]; i++) {
        int64_t row = (int64_t)ids->values[i / p[1]];
        expected[i] = lab_round(lab->dtype, table->values[row * p[1] + i % p[1]]);
    }
    operand_check_exactly(lab, out, expected);
    free(expected);
}

/* p: from type, to type, B, L, D, swap the axes a and b (both 0: no) */
static void run_copy(struct lab *lab, const int64_t *p)
{
    enum dtype from = TYPES[p[0]], to = TYPES[p[1]];
    struct shape shape = SHAPE(p[2], p[3], p[4]);
    int64_t n = p[2] * p[3] * p[4];
    struct operand *x = operand_random(lab, from, shape, lab->op_case->layout);
    int a = (int)p[5], b = (int)p[6];
    struct tensor window = a == b ? x->t : tensor_swap(x->t, a, b);
    struct shape out_shape = {.rank = 3, .dims = {window.dims[0], window.dims[1], window.dims[2]}};
    struct operand *out = operand_output(lab, to, out_shape, lab->op_case->layout);
    op_copy(lab->backend, out->t, window);
    double *expected = reference_new(n);
    int64_t steps[3] = {p[3] * p[4], p[4], 1}, s = steps[a];
    steps[a] = steps[b];
    steps[b] = s;
    for (int64_t i = 0; i < n; i++) {
        int64_t l = i / out_shape.dims[2], d = i % out_shape.dims[2];
        int64_t at = l / out_shape.dims[1] * steps[0] + l % out_shape.dims[1] * steps[1];
        expected[i] = lab_round(to, x->values[at + d * steps[2]]);
    }
    operand_check_exactly(lab, out, expected);
    free(expected);
}

/* Every second column of [B, L, D] becomes a dense tensor: the last axis has a stride.
 * p: type, B, L, D */
static void run_copy_every_second(struct lab *lab, const int64_t *p)
{
    enum dtype dtype = TYPES[p[0]];
    struct operand *x = operand_random(lab, dtype, SHAPE(p[1], p[2], p[3]), DENSE);
    struct tensor window = tensor_every(x->t, 2, 1, 2);
    struct operand *out = operand_output(lab, dtype, SHAPE(p[1], p[2], window.dims[2]), DENSE);
    op_copy(lab->backend, out->t, window);
    int64_t n = p[1] * p[2] * window.dims[2];
    double *expected = reference_new(n);
    for (int64_t i = 0; i < n; i++)
        expected[i] = x->values[i / window.dims[2] * p[3] + 1 + 2 * (i % window.dims[2])];
    operand_check_exactly(lab, out, expected);
    free(expected);
}

/* Values around every rounding boundary and outside the range. p: Y, X */
static void run_to_rgb8(struct lab *lab, const int64_t *p)
{
    int64_t n = p[0] * p[1] * 3;
    double *values = reference_new(n), *expected = reference_new(n);
    for (int64_t i = 0; i < n; i++)
        values[i] = -1.1 + 2.2 * (double)i / (double)(n - 1);
    struct operand *x = operand_from(lab, lab->dtype, SHAPE(p[0], p[1], 3), DENSE, values);
    struct operand *out = operand_output(lab, DTYPE_U8, SHAPE(p[0], p[1], 3), DENSE);
    op_to_rgb8(lab->backend, out->t, x->t);
    for (int64_t i = 0; i < n; i++) {
        double half = lab_round(lab->dtype, x->values[i] / 2.0);
        double unit = fmin(fmax(lab_round(lab->dtype, half + 0.5), 0.0), 1.0);
        expected[i] = nearbyint(lab_round(DTYPE_F32, 255.0 * unit));
    }
    operand_check_exactly(lab, out, expected);
    free(values);
    free(expected);
}

static const struct op_case CASES[] = {
    /* B, L, D, weight, bias, scale and shift, in place, offset */
    {"layer_norm, plain", run_layer_norm, {2, 5, 37, 0, 0, 0, 0, 0}, .layout = DENSE},
    {"layer_norm, weight and bias", run_layer_norm, {2, 5, 96, 1, 1, 0, 0, 0}, .layout = WINDOW},
    {"layer_norm, modulated", run_layer_norm, {3, 7, 64, 0, 0, 1, 0, 0}, .layout = WINDOW},
    {"layer_norm, everything, in place",
     run_layer_norm,
     {2, 3, 130, 1, 1, 1, 1, 0},
     .layout = WINDOW},
    {"layer_norm of long rows", run_layer_norm, {1, 9, 3072, 0, 0, 1, 1, 0}, .layout = DENSE},
    {"layer_norm of one element",
     run_layer_norm,
     {1, 2, 1, 1, 1, 0, 0, 0},
     .layout = DENSE,
     .bounds = {1e-8, 1e-5}},
    {"layer_norm far from zero",
     run_layer_norm,
     {1, 9, 1500, 1, 1, 0, 0, 50},
     .layout = DENSE,
     .bounds = {1e-11, 1e-5}},
    {"layer_norm of one row of a batch",
     run_layer_norm,
     {4, 1, 50, 0, 0, 1, 0, 0},
     .layout = DENSE},
    /* rank, dims, in place */
    {"rms_norm of a row", run_rms_norm, {2, 1, 33, 0, 0, 0}, .layout = DENSE},
    {"rms_norm of a vector", run_rms_norm, {1, 100, 0, 0, 0, 0}, .layout = DENSE},
    {"rms_norm of heads, in place", run_rms_norm, {4, 2, 11, 3, 128, 1}, .layout = WINDOW},
    {"rms_norm of long rows", run_rms_norm, {3, 2, 5, 4096, 0, 0}, .layout = WINDOW},
    {"rms_norm of huge values", run_rms_norm, {2, 5, 99, 0, 0, 0}, .layout = DENSE, .scale = 1e15},
    {"rms_norm of tiny values", run_rms_norm, {2, 5, 99, 0, 0, 0}, .layout = DENSE, .scale = 1e-4},
    /* B, Y, X, C, groups, is SiLU, in place, mean */
    {"group_norm", run_group_norm, {1, 6, 5, 32, 8, 0, 0, 0}, .layout = DENSE},
    {"group_norm and SiLU of a batch", run_group_norm, {3, 7, 3, 24, 4, 1, 0, 0}, .layout = DENSE},
    {"group_norm in place", run_group_norm, {2, 4, 4, 64, 32, 1, 1, 0}, .layout = DENSE},
    {"group_norm of one group", run_group_norm, {1, 3, 3, 7, 1, 0, 0, 0}, .layout = DENSE},
    {"group_norm of single channels", run_group_norm, {1, 9, 9, 5, 5, 0, 0, 0}, .layout = DENSE},
    {"group_norm over many pixels far from zero",
     run_group_norm,
     {1, 61, 67, 20, 5, 1, 0, 30},
     .layout = DENSE,
     .bounds = {1e-11, 1e-5}},
    /* B, L, H, Dh */
    {"rms_norm_rope", run_rms_norm_rope, {2, 9, 3, 16}, .layout = DENSE, .bounds = {0, 2e-7}},
    {"rms_norm_rope in a window",
     run_rms_norm_rope,
     {2, 7, 2, 128},
     .layout = WINDOW,
     .bounds = {0, 2e-7}},
    {"rms_norm_rope of one pair", run_rms_norm_rope, {1, 1, 1, 2}, .layout = DENSE},
    /* activation, n, in place; scale is the end of the sweep */
    {"activate none", run_activate, {ACT_NONE, 50, 0}, .layout = DENSE, .scale = 10},
    {"activate SiLU", run_activate, {ACT_SILU, 2001, 0}, .layout = DENSE, .scale = 120},
    {"activate SiLU near zero", run_activate, {ACT_SILU, 501, 1}, .layout = WINDOW, .scale = 1e-3},
    {"activate GELU", run_activate, {ACT_GELU, 2001, 1}, .layout = DENSE, .scale = 6},
    {"activate GELU far out", run_activate, {ACT_GELU, 2001, 0}, .layout = WINDOW, .scale = 200},
    {"activate GELU, negative side", run_activate, {ACT_GELU, 401, 0}, .layout = DENSE, .scale = 1},
    {"activate GELU by tanh", run_activate, {ACT_GELU_TANH, 2001, 0}, .layout = DENSE, .scale = 6},
    {"activate GELU by tanh far out",
     run_activate,
     {ACT_GELU_TANH, 801, 0},
     .layout = DENSE,
     .scale = 300},
    {"activate quick GELU", run_activate, {ACT_QUICK_GELU, 2001, 0}, .layout = WINDOW, .scale = 40},
    {"activate ReLU", run_activate, {ACT_RELU, 77, 1}, .layout = DENSE, .scale = 2},
    /* what, B, L, D, y repeats, in place */
    {"add", run_pair, {DO_ADD, 2, 3, 41, 0, 0}, .layout = DENSE},
    {"add repeated, in place", run_pair, {DO_ADD, 2, 5, 33, 1, 1}, .layout = WINDOW},
    {"add of many", run_pair, {DO_ADD, 1, 50, 1111, 0, 0}, .layout = DENSE},
    {"mul", run_pair, {DO_MUL, 3, 4, 17, 0, 1}, .layout = WINDOW},
    {"mul repeated", run_pair, {DO_MUL, 2, 6, 1030, 1, 0}, .layout = DENSE},
    {"mul of columns", run_pair, {DO_MUL, 2, 9, 1, 0, 0}, .layout = WINDOW},
    /* what, B, L, D */
    {"gated_add", run_update, {DO_GATED_ADD, 2, 5, 70}, .layout = WINDOW},
    {"gated_add of long rows", run_update, {DO_GATED_ADD, 1, 20, 3000}, .layout = DENSE},
    {"axpy", run_update, {DO_AXPY, 2, 9, 64}, .layout = DENSE},
    {"axpy between windows", run_update, {DO_AXPY, 2, 3, 19}, .layout = WINDOW},
    {"affine", run_update, {DO_AFFINE, 1, 30, 1200}, .layout = WINDOW},
    /* rows, D, n ids, table type */
    {"embed from f32", run_embed, {50, 33, 20, 0}, .layout = DENSE},
    {"embed from bf16", run_embed, {9, 2050, 77, 1}, .layout = WINDOW},
    {"embed from f16", run_embed, {300, 64, 5, 2}, .layout = DENSE},
    /* from, to, B, L, D, swapped axes */
    {"copy f32", run_copy, {0, 0, 2, 3, 50, 0, 0}, .layout = WINDOW},
    {"copy bf16 to f32", run_copy, {1, 0, 2, 3, 50, 0, 0}, .layout = WINDOW},
    {"copy f32 to bf16", run_copy, {0, 1, 1, 40, 900, 0, 0}, .layout = DENSE},
    {"copy f32 to f16", run_copy, {0, 2, 2, 7, 31, 0, 0}, .layout = DENSE},
    {"copy f32 to f16, subnormal",
     run_copy,
     {0, 2, 1, 9, 100, 0, 0},
     .layout = DENSE,
     .scale = 1e-6},
    {"copy f16 to f32", run_copy, {2, 0, 2, 7, 31, 0, 0}, .layout = DENSE},
    {"copy f16 to f32, subnormal",
     run_copy,
     {2, 0, 1, 9, 100, 0, 0},
     .layout = DENSE,
     .scale = 1e-6},
    {"copy f16 to bf16", run_copy, {2, 1, 2, 7, 31, 0, 0}, .layout = WINDOW},
    {"copy f16 to bf16 in whole runs", run_copy, {2, 1, 2, 7, 32, 0, 0}, .layout = DENSE},
    {"copy bf16 in whole runs", run_copy, {1, 1, 2, 7, 32, 0, 0}, .layout = DENSE},
    {"copy exchanging outer axes", run_copy, {0, 0, 4, 5, 12, 0, 1}, .layout = DENSE},
    {"copy transposing", run_copy, {0, 1, 3, 17, 29, 1, 2}, .layout = WINDOW},
    {"copy transposing f16", run_copy, {2, 2, 2, 17, 29, 0, 2}, .layout = WINDOW},
    {"copy every second, f32", run_copy_every_second, {0, 2, 7, 30}, .layout = DENSE},
    {"copy every second, bf16", run_copy_every_second, {1, 2, 7, 31}, .layout = DENSE},
    /* Y, X */
    {"to_rgb8", run_to_rgb8, {31, 33}, .layout = DENSE},
    {"to_rgb8 of wide rows", run_to_rgb8, {2, 700}, .layout = DENSE},
};

int main(void) { return lab_main(CASES, sizeof CASES / sizeof CASES[0]); }
