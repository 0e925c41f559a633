/* client/quantiles against binomial sums in exact fractions. */
#include "client/quantiles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

static void ends_are_those_of_exact_arithmetic(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        double rank;
        size_t low, high;
    } cases[] = {
        {1, 50, 0, 2},
        {5, 50, 0, 6},
        {6, 50, 1, 6},
        {100, 50, 40, 61},
        {100, 90, 84, 96},
        {367, 99, 359, 368},
        {368, 99, 360, 368},
        {368, 1, 1, 9},
        {1000, 95, 936, 964},
        {1000, 99.9, 997, 1001},
        {3687, 99.9, 3679, 3688},
        {3688, 99.9, 3680, 3688},
        {2000, 25, 462, 539},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t low, high;
        quantile_ends(cases[i].n, cases[i].rank, &low, &high);
        if (low != cases[i].low || high != cases[i].high)
            fail_msg("n %zu, p%g: got %zu..%zu, want %zu..%zu", cases[i].n, cases[i].rank, low,
                     high, cases[i].low, cases[i].high);
    }
}

static void count_needed_is_the_least_with_both_ends(void **state)
{
    (void)state;
    assert_int_equal(quantile_needs(99), 368);
    for (size_t i = 0; i < N_QUANTILES; i++) {
        size_t n = quantile_needs(QUANTILE_RANKS[i]), low, high;
        quantile_ends(n, QUANTILE_RANKS[i], &low, &high);
        assert_true(low >= 1 && high <= n);
        quantile_ends(n - 1, QUANTILE_RANKS[i], &low, &high);
        assert_true(low == 0 || high == n);
    }
}

static void ends_stay_around_the_percentile_at_any_size(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 10000000; n = n * 3 + 1) {
        for (size_t i = 0; i < N_QUANTILES; i++) {
            size_t low, high;
            double mean = (double)n * QUANTILE_RANKS[i] / 100, sigma = sqrt(mean);
            quantile_ends(n, QUANTILE_RANKS[i], &low, &high);
            assert_true((double)low <= mean + 1 && (double)high >= mean);
            assert_true((double)low >= mean - 3 * sigma - 3);
        }
    }
}

static void values_come_from_the_sorted_list(void **state)
{
    (void)state;
    double values[100];
    struct quantile q[N_QUANTILES];
    for (int i = 0; i < 100; i++)
        values[i] = i + 1;
    quantiles_compute(q, values, 100);
    assert_true(fabs(q[4].value - 50.5) < 1e-12); /* p50 */
    assert_true(q[4].low == 40 && q[4].high == 61);
    assert_true(isnan(q[8].high) && !isnan(q[8].low)); /* p99 of 100 values has no upper end */
    assert_true(isnan(q[0].low) && !isnan(q[0].high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_are_those_of_exact_arithmetic),
        cmocka_unit_test(count_needed_is_the_least_with_both_ends),
        cmocka_unit_test(ends_stay_around_the_percentile_at_any_size),
        cmocka_unit_test(values_come_from_the_sorted_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
