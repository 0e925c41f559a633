/* Quantised matrices: sizes, exact cases, errors no larger than half a step, bad input. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dtype.h"
#include "tensor/plan.h"
#include "tensor/quant.h"

#include <cmocka.h> /* last: it defines fail */

enum { MAX_K = 200 };

static const enum dtype TYPES[] = {DTYPE_INT8, DTYPE_FP8, DTYPE_Q4};
enum { N_TYPES = sizeof TYPES / sizeof TYPES[0] };

/* A row of k floats there and back. */
static void round_trip(enum dtype dtype, const float *x, int64_t k, float *back)
{
    unsigned char codes[MAX_K];
    float scales[MAX_K];
    struct tensor to = tensor_make(codes, dtype, SHAPE(1, k));
    to.scales = scales;
    double error_2 = 0, power = 0, error = 0;
    assert_true(quant_row(to, tensor_make((void *)x, DTYPE_F32, SHAPE(1, k)), 0, &error_2, &power));
    quant_load_row(back, to, 0);
    for (int64_t i = 0; i < k; i++)
        error += ((double)back[i] - (double)x[i]) * ((double)back[i] - (double)x[i]);
    assert_true(fabs(error - error_2) <= 1e-6 * error);
}

/* Normal enough: a sum of four uniform numbers. */
static void random_row(float *x, int64_t k, uint32_t seed)
{
    for (int64_t i = 0; i < k; i++) {
        x[i] = 0;
        for (int j = 0; j < 4; j++) {
            seed = seed * 1664525u + 1013904223u;
            x[i] += (float)(seed >> 8) * 0x1p-24f - 0.5f;
        }
    }
}

static void every_e4m3_survives_and_others_go_to_the_nearest(void **state)
{
    (void)state;
    for (int q = 0; q < 256; q++) {
        float x = f8_to_float((uint8_t)q);
        assert_true((q & 0x7f) == 0x7f ? isnan(x) : f8_from_float(x) == q);
    }
    assert_true(f8_to_float(0x7e) == 448.0f && f8_to_float(0x01) == 0x1p-9f);
    assert_true(f8_from_float(1e9f) == 0x7e && f8_from_float(-INFINITY) == 0xfe);
    assert_true(isnan(f8_to_float(f8_from_float(NAN))));
    float x = 0x1p-11f;
    for (int i = 0; i < 1000 && x < 448.0f; i++) {
        float got = f8_to_float(f8_from_float(x)), best = INFINITY;
        for (int q = 0; q < 0x7f; q++)
            best = fminf(best, fabsf(f8_to_float((uint8_t)q) - x));
        assert_true(fabsf(got - x) == best);
        x *= 1.015f;
    }
    assert_true(f8_from_float(1.0625f) == f8_from_float(1.0f)); /* ties to even */
    assert_true(f8_from_float(1.1875f) == f8_from_float(1.25f));
}

static void sizes_are_as_tight_as_their_bits(void **state)
{
    (void)state;
    struct tensor m = tensor_make(NULL, DTYPE_INT8, SHAPE(5, 130));
    assert_int_equal(tensor_bytes(m), 5 * 130 + 5 * 4);
    m.dtype = DTYPE_FP8;
    assert_int_equal(tensor_bytes(m), 5 * 130 + 5 * 4);
    m.dtype = DTYPE_Q4;
    assert_int_equal(tensor_bytes(m), 5 * 65 + 5 * 3 * 2);
    m = tensor_make(NULL, DTYPE_Q4, SHAPE(5, 129));
    assert_int_equal(tensor_bytes(m), 5 * 65 + 5 * 3 * 2);
}

static void a_plan_knows_the_sizes(void **state)
{
    (void)state;
    for (int t = 0; t < N_TYPES; t++) {
        struct plan plan;
        struct tensor w, host = tensor_make(NULL, TYPES[t], SHAPE(6, 128));
        plan_init(&plan, DTYPE_F32);
        assert_true(backend_adopt(&plan.backend, host, WEIGHT_MATRIX, &w, NULL));
        assert_int_equal(plan.weight_bytes, tensor_bytes(host));
        assert_int_equal(plan.n_weights, 6 * 128);
    }
}

static void errors_are_those_of_the_table(void **state)
{
    (void)state;
    static const double LARGEST[] = {0.008, 0.03, 0.1}; /* a little less normal than normal */
    for (int t = 0; t < N_TYPES; t++) {
        float x[MAX_K], back[MAX_K];
        double error = 0, power = 0;
        for (uint32_t seed = 0; seed < 100; seed++) {
            random_row(x, MAX_K, seed);
            round_trip(TYPES[t], x, MAX_K, back);
            for (int i = 0; i < MAX_K; i++) {
                error += ((double)back[i] - (double)x[i]) * ((double)back[i] - (double)x[i]);
                power += (double)x[i] * (double)x[i];
            }
        }
        double relative = sqrt(error / power);
        assert_true(relative < LARGEST[t] && relative > LARGEST[t] / 2);
    }
}

static void zeros_and_extremes_are_exact(void **state)
{
    (void)state;
    for (int t = 0; t < N_TYPES; t++) {
        float zeros[67] = {0}, x[67] = {0}, back[67];
        round_trip(TYPES[t], zeros, 67, back);
        assert_memory_equal(zeros, back, sizeof zeros);
        x[5] = -4.0f; /* a power of two, whatever the largest code */
        x[66] = 8.0f; /* q4: in a group of its own */
        round_trip(TYPES[t], x, 67, back);
        assert_true(back[66] == 8.0f && back[0] == 0.0f);
        assert_true(fabsf(back[5] + 4.0f) < 0.04f);
    }
}

static void a_group_does_not_spoil_another(void **state)
{
    (void)state;
    float x[192], back[192];
    random_row(x, 192, 3);
    x[100] = 1000.0f;
    round_trip(DTYPE_Q4, x, 192, back);
    for (int i = 0; i < 192; i++) {
        if (i / QUANT_GROUP != 1)
            assert_true(fabsf(back[i] - x[i]) < 0.25f);
    }
    assert_true(fabsf(back[100] - 1000.0f) < 4.0f);
}

static void tiny_and_huge_rows_stay_finite(void **state)
{
    (void)state;
    static const float SIZES[] = {1e-38f, 1e-25f, 1e-6f, 1e30f, 3e38f};
    for (size_t i = 0; i < N_TYPES * sizeof SIZES / sizeof SIZES[0]; i++) {
        float size = SIZES[i / N_TYPES], x[MAX_K], back[MAX_K];
        random_row(x, MAX_K, 9);
        for (int k = 0; k < MAX_K; k++)
            x[k] *= size / 2;
        round_trip(TYPES[i % N_TYPES], x, MAX_K, back);
        for (int k = 0; k < MAX_K; k++)
            assert_true(fabsf(back[k] - x[k]) < 0.2f * size + 1e-30f); /* below: zeros */
    }
}

static void what_is_not_finite_is_refused(void **state)
{
    (void)state;
    static const float BAD[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3 * N_TYPES; i++) {
        unsigned char codes[70];
        float x[70] = {0}, scales[2];
        x[69] = BAD[i / N_TYPES];
        struct tensor to = tensor_make(codes, TYPES[i % N_TYPES], SHAPE(1, 70));
        to.scales = scales;
        assert_false(quant_row(to, tensor_make(x, DTYPE_F32, SHAPE(1, 70)), 0, NULL, NULL));
    }
}

static void names_and_types_go_together(void **state)
{
    (void)state;
    for (int t = 0; t < N_TYPES; t++) {
        assert_int_equal(quant_dtype(quant_of_dtype(TYPES[t])), TYPES[t]);
        assert_int_equal(quant_parse(dtype_name(TYPES[t])), quant_of_dtype(TYPES[t]));
    }
    assert_int_equal(quant_of_dtype(DTYPE_U8), QUANT_NONE);
    assert_int_equal(quant_parse("q5"), QUANT_NONE);
}

/* What products do with rows of their inputs. */
static void inputs_are_rounded_as_rows_of_matrices_are(void **state)
{
    (void)state;
    float x[] = {-3.0f, 0.0f, 0.1f, 1e-4f, 2.9f}, out[5];
    enum { N = sizeof x / sizeof x[0] };
    for (enum dtype dtype = DTYPE_INT8; dtype <= DTYPE_FP8; dtype++) {
        uint8_t codes[N];
        float scales[1], row[N];
        struct tensor to = tensor_make(codes, dtype, SHAPE(1, N));
        to.scales = scales;
        assert_true(quant_row(to, tensor_make(x, DTYPE_F32, SHAPE(1, N)), 0, NULL, NULL));
        quant_load_row(row, to, 0);
        float scale = quant_scale(dtype, quant_largest_bits(x, N));
        quant_round(out, x, dtype, N, scale);
        assert_true(scale == scales[0]);
        for (int i = 0; i < N; i++)
            assert_true(out[i] * scale == row[i]);
    }
}

static void inputs_that_are_no_numbers_stay_so(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        float x[2] = {1.0f, bad[i]}, out[2];
        float scale = quant_scale(DTYPE_INT8, quant_largest_bits(x, 2));
        quant_round(out, x, DTYPE_INT8, 2, scale);
        assert_true(isnan(out[0] * scale) && isnan(out[1] * scale));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_e4m3_survives_and_others_go_to_the_nearest),
        cmocka_unit_test(sizes_are_as_tight_as_their_bits),
        cmocka_unit_test(a_plan_knows_the_sizes),
        cmocka_unit_test(errors_are_those_of_the_table),
        cmocka_unit_test(zeros_and_extremes_are_exact),
        cmocka_unit_test(a_group_does_not_spoil_another),
        cmocka_unit_test(tiny_and_huge_rows_stay_finite),
        cmocka_unit_test(what_is_not_finite_is_refused),
        cmocka_unit_test(names_and_types_go_together),
        cmocka_unit_test(inputs_are_rounded_as_rows_of_matrices_are),
        cmocka_unit_test(inputs_that_are_no_numbers_stay_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
