/* client/spread against tables of Student's distribution and hand-made samples. */
#include "client/spread.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("got %.12g, want %.12g", got, want);
}

/* From scipy.stats.t.ppf((1 + c) / 2, n). */
static void t_is_that_of_the_tables(void **state)
{
    (void)state;
    near(spread_t(1, 0.95), 12.706204736432095, 1e-9);
    near(spread_t(2, 0.95), 4.302652729696142, 1e-9);
    near(spread_t(4, 0.95), 2.7764451051977987, 1e-9);
    near(spread_t(9, 0.95), 2.2621571627409915, 1e-9);
    near(spread_t(9, 0.99), 3.2498355440153697, 1e-9);
    near(spread_t(30, 0.95), 2.0422724563012373, 1e-9);
    near(spread_t(9998, 0.95), 1.9602014298850747, 1e-7);
    near(spread_t(1, 0.5), 1, 1e-9);
}

static void sample_is_described(void **state)
{
    (void)state;
    struct spread s = spread_compute((double[]){10, 12, 9, 11, 13}, 5);
    assert_int_equal(s.n, 5);
    near(s.mean, 11, 1e-12);
    near(s.min, 9, 1e-12);
    near(s.max, 13, 1e-12);
    near(s.std, 1.5811388300841898, 1e-12); /* sqrt(10 / 4) */
    near(s.cv, 1.5811388300841898 / 11, 1e-12);
    near(s.low, 11 - 2.7764451051977987 * 1.5811388300841898 / sqrt(5), 1e-9);
    near(s.high, 11 + 2.7764451051977987 * 1.5811388300841898 / sqrt(5), 1e-9);
}

static void one_value_has_no_scatter(void **state)
{
    (void)state;
    struct spread s = spread_compute((double[]){7}, 1);
    near(s.mean, 7, 1e-12);
    assert_true(isnan(s.std) && isnan(s.cv) && isnan(s.low) && isnan(s.high));
    s = spread_compute(NULL, 0);
    assert_true(s.n == 0 && isnan(s.mean) && isnan(s.min) && isnan(s.max));
}

static void equal_values_have_no_scatter(void **state)
{
    (void)state;
    struct spread s =
        spread_compute((double[]){0.1, 0.1, 0.1}, 3); /* a sum of 0.30000000000000004 */
    assert_true(s.mean == 0.1 && s.std == 0 && s.low == 0.1 && s.high == 0.1);
}

static void zero_mean_has_no_coefficient_of_variation(void **state)
{
    (void)state;
    struct spread s = spread_compute((double[]){-1, 1}, 2);
    assert_true(isnan(s.cv) && s.std > 1.4);
    near(spread_compute((double[]){-2, -2, -2}, 3).cv, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t_is_that_of_the_tables),
        cmocka_unit_test(sample_is_described),
        cmocka_unit_test(one_value_has_no_scatter),
        cmocka_unit_test(equal_values_have_no_scatter),
        cmocka_unit_test(zero_mean_has_no_coefficient_of_variation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
