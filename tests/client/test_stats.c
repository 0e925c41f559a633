/* client/stats against values computed with numpy 2. */
#include "client/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

static void near(double got, double want)
{
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= 1e-12 * fmax(1, fabs(want))))
        fail_msg("got %.17g, want %.17g", got, want);
}

static void percentiles_interpolate_linearly(void **state)
{
    (void)state;
    double values[] = {7, 6, 7}; /* tokens of the tutorial's prompts */
    struct stats s = stats_compute(values, 3);
    const double want[] = {6.02, 6.1, 6.2, 6.5, 7, 7, 7, 7, 7};
    for (size_t i = 0; i < STATS_PERCENTILES; i++)
        near(s.p[i], want[i]);
    near(s.avg, 20.0 / 3);
    near(s.std, 0.47140452079103168);
    near(s.sum, 20);
    near(s.min, 6);
    near(s.max, 7);
    assert_int_equal(s.count, 3);
}

static void unsorted_values_give_numpys_numbers(void **state)
{
    (void)state;
    double values[] = {37.6, 24.3, 31.7, 28.6, 26.6, 32.2, 30.1, 29.9, 25.5, 40.2};
    struct stats s = stats_compute(values, 10);
    near(s.p[P1], 24.408);
    near(s.p[P25], 27.1);
    near(s.p[P50], 30.0);
    near(s.p[P75], 32.075);
    near(s.p[P90], 37.86);
    near(s.p[P99], 39.966);
    near(s.avg, 30.67);
    near(s.std, 4.809584181610715);
}

static void one_value_has_no_deviation(void **state)
{
    (void)state;
    double value = 12.5;
    struct stats s = stats_compute(&value, 1);
    near(s.std, 0);
    near(s.p[P1], 12.5);
    near(s.p[P99], 12.5);
}

static void no_values_give_no_numbers(void **state)
{
    (void)state;
    struct stats s = stats_compute(NULL, 0);
    assert_int_equal(s.count, 0);
    near(s.avg, NAN);
    near(s.p[P50], NAN);
}

/* The numbers of a real AIPerf run with three failures among nine requests. */
static void infinite_values_take_the_nearest_rank(void **state)
{
    (void)state;
    double values[] = {INFINITY,  24.295928, 26.577662, INFINITY, 28.635767,
                       31.685322, 32.213819, 37.637882, INFINITY};
    struct stats s = stats_compute_nearest(values, 9);
    near(s.p[P1], 24.295928);
    near(s.p[P5], 24.295928);
    near(s.p[P10], 26.577662);
    near(s.p[P25], 28.635767);
    near(s.p[P50], 32.213819);
    near(s.p[P75], NAN);
    near(s.min, 24.295928);
    near(s.max, NAN);
    near(s.avg, NAN);
    near(s.std, NAN);
    assert_int_equal(s.count, 9);
}

static void levels_are_weighted_by_time(void **state)
{
    (void)state;
    /* 0 for 10, 1 for 60, 2 for 30 */
    const double time[] = {10, 60, 30};
    struct stats s = stats_compute_levels(time, 3, 5);
    assert_int_equal(s.count, 5);
    near(s.avg, 1.2);
    near(s.std, sqrt(0.1 * 1.44 + 0.6 * 0.04 + 0.3 * 0.64));
    near(s.p[P1], 0);
    near(s.p[P10], 0);
    near(s.p[P25], 1);
    near(s.p[P50], 1);
    near(s.p[P75], 2);
    near(s.p[P99], 2);
    near(s.min, 0);
    near(s.max, 2);
    near(s.sum, NAN);
}

static void levels_of_no_duration_do_not_count(void **state)
{
    (void)state;
    const double time[] = {0, 10, 0, 0};
    struct stats s = stats_compute_levels(time, 4, 1);
    near(s.min, 1);
    near(s.max, 1);
    near(s.avg, 1);
    near(s.p[P1], 1);
    s = stats_compute_levels(time, 1, 0);
    assert_int_equal(s.count, 0);
    near(s.avg, NAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_interpolate_linearly),
        cmocka_unit_test(unsorted_values_give_numpys_numbers),
        cmocka_unit_test(one_value_has_no_deviation),
        cmocka_unit_test(no_values_give_no_numbers),
        cmocka_unit_test(infinite_values_take_the_nearest_rank),
        cmocka_unit_test(levels_are_weighted_by_time),
        cmocka_unit_test(levels_of_no_duration_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
