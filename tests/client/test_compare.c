/* client/compare_stats on made-up runs, and the paths that client/manifest tells apart. */
#include "client/compare_stats.h"

#include "client/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/random.h"
#include "client/stats.h"

#define N_RUNS 6
#define N_REQUESTS 200

struct made {
    double values[N_RUNS][N_REQUESTS];
    struct compare_run runs[N_RUNS];
};

/* Runs around 100 ms times factor; between_std and within_std are relative. */
static struct compare_side make_side(struct made *m, struct random *random, double factor,
                                     double between_std, double within_std)
{
    for (size_t i = 0; i < N_RUNS; i++) {
        double mean = 100 * factor * (1 + random_gauss(random, 0, between_std));
        for (size_t k = 0; k < N_REQUESTS; k++)
            m->values[i][k] = mean * (1 + random_gauss(random, 0, within_std));
        stats_compute(m->values[i], N_REQUESTS); /* sorts */
        m->runs[i] = (struct compare_run){m->values[i], N_REQUESTS};
    }
    return (struct compare_side){m->runs, N_RUNS};
}

static struct compare_result compare_made(struct random *random, double factor, double between_std,
                                          double within_std, double tolerance)
{
    static struct made a, b;
    struct compare_settings settings = {.tolerance = tolerance, .n_metrics = 1};
    struct compare_side base = make_side(&a, random, 1, between_std, within_std);
    struct compare_side new = make_side(&b, random, factor, between_std, within_std);
    struct compare_result r;
    compare_measure(&r, base, new, &settings);
    compare_adjust(&r, 1);
    r.verdict = compare_judge(&r, tolerance, false);
    return r;
}

static void near(double got, double want)
{
    if (!(fabs(got - want) < 1e-12))
        fail_msg("got %.17g, want %.17g", got, want);
}

static void rank_test_counts_all_ways_to_deal_out_the_runs(void **state)
{
    (void)state;
    near(compare_rank_test((double[]){1, 2, 3, 4}, 4, (double[]){5, 6, 7, 8}, 4), 2 / 70.0);
    near(compare_rank_test((double[]){1, 2, 3, 5}, 4, (double[]){4, 6, 7, 8}, 4), 4 / 70.0);
    near(compare_rank_test((double[]){1, 1, 2}, 3, (double[]){1, 2, 2, 3}, 4), 0.4);
    near(compare_rank_test((double[]){3, 1, 4, 1, 5}, 5, (double[]){9, 2, 6, 5, 3}, 5),
         0.23015873015873015);
    near(compare_rank_test((double[]){7, 7}, 2, (double[]){7, 7}, 2), 1);
}

/* The 20 comparisons of a version with itself: no change may be seen in more than one. */
static void same_against_same_raises_no_alarm(void **state)
{
    (void)state;
    struct random random;
    int n_alarms = 0;
    random_init_seed(&random, 1);
    for (int i = 0; i < 20; i++) {
        struct compare_result r = compare_made(&random, 1, 0.01, 0.1, 0);
        n_alarms += r.verdict == VERDICT_REGRESSED || r.verdict == VERDICT_IMPROVED;
    }
    assert_true(n_alarms <= 1);
}

static void slowdown_is_caught_when_it_is_detectable(void **state)
{
    (void)state;
    struct random random;
    int n_caught = 0;
    random_init_seed(&random, 2);
    for (int i = 0; i < 20; i++) {
        struct compare_result r = compare_made(&random, 1.03, 0.003, 0.05, 0);
        assert_true(r.detectable < 0.03);
        n_caught += r.verdict == VERDICT_REGRESSED;
    }
    assert_int_equal(n_caught, 20);
}

static void slowdown_below_the_noise_is_inconclusive(void **state)
{
    (void)state;
    struct random random;
    int n_inconclusive = 0;
    random_init_seed(&random, 3);
    for (int i = 0; i < 20; i++) {
        struct compare_result r = compare_made(&random, 1.03, 0.05, 0.1, 0);
        assert_true(r.detectable > 0.03);
        n_inconclusive += r.verdict == VERDICT_INCONCLUSIVE;
    }
    assert_true(n_inconclusive >= 17);
}

static void change_within_the_tolerance_passes(void **state)
{
    (void)state;
    struct random random;
    random_init_seed(&random, 4);
    assert_int_equal(compare_made(&random, 1.01, 0.002, 0.05, 0.05).verdict, VERDICT_PASS);
    assert_int_equal(compare_made(&random, 1.2, 0.002, 0.05, 0.05).verdict, VERDICT_REGRESSED);
    assert_int_equal(compare_made(&random, 0.8, 0.002, 0.05, 0.05).verdict, VERDICT_IMPROVED);
}

static void same_seed_gives_the_same_interval(void **state)
{
    (void)state;
    static struct made a, b;
    struct random random;
    struct compare_settings settings = {.tolerance = 0.05, .n_metrics = 1, .seed = 7};
    struct compare_result first, second;
    random_init_seed(&random, 5);
    struct compare_side base = make_side(&a, &random, 1, 0.01, 0.1);
    struct compare_side new = make_side(&b, &random, 1, 0.01, 0.1);
    compare_measure(&first, base, new, &settings);
    compare_measure(&second, base, new, &settings);
    assert_true(first.ratio_low == second.ratio_low && first.ratio_high == second.ratio_high);
    assert_true(first.ratio_low < first.ratio && first.ratio < first.ratio_high);
    settings.n_metrics = 5; /* more questions, more caution */
    compare_measure(&second, base, new, &settings);
    assert_true(second.ratio_low < first.ratio_low && second.ratio_high > first.ratio_high);
}

static void few_runs_have_no_rank_test(void **state)
{
    (void)state;
    static struct made a, b;
    struct random random;
    struct compare_settings settings = {.n_metrics = 1};
    struct compare_result r;
    random_init_seed(&random, 6);
    struct compare_side base = make_side(&a, &random, 1, 0, 0.02);
    struct compare_side new = make_side(&b, &random, 1.1, 0, 0.02);
    base.n_runs = new.n_runs = 3; /* the least p is 0.1 */
    compare_measure(&r, base, new, &settings);
    compare_adjust(&r, 1);
    assert_true(isnan(r.p_value) && isnan(r.p_adjusted));
    assert_int_equal(compare_judge(&r, 0, false), VERDICT_REGRESSED); /* by the interval */
    assert_int_equal(compare_judge(&r, 0, true), VERDICT_IMPROVED);
    r.p_adjusted = 0.2;
    assert_int_equal(compare_judge(&r, 0, false), VERDICT_INCONCLUSIVE);
}

static void holm_multiplies_the_least_p_by_the_number_of_questions(void **state)
{
    (void)state;
    struct compare_result r[4] = {
        {.p_value = 0.04}, {.p_value = 0.01}, {.p_value = NAN}, {.p_value = 0.03}};
    compare_adjust(r, 4);
    near(r[1].p_adjusted, 0.03);
    near(r[3].p_adjusted, 0.06);
    near(r[0].p_adjusted, 0.06); /* never below a smaller one's */
    assert_true(isnan(r[2].p_adjusted));
}

static double failure_p(size_t n_base, size_t base_failed, size_t n_new, size_t new_failed)
{
    return compare_failure_test((struct compare_requests){n_base, base_failed},
                                (struct compare_requests){n_new, new_failed});
}

/* By hand: C(10, 5) of the C(20, 5) ways to deal out 5 failures give all of them to one side. */
static void failure_test_counts_all_ways_to_deal_out_the_failures(void **state)
{
    (void)state;
    near(failure_p(10, 0, 10, 5), 252.0 / 15504);
    near(failure_p(4, 1, 4, 3), 17.0 / 70);
    near(failure_p(4, 3, 4, 1), 69.0 / 70);
    near(failure_p(3, 3, 5, 5), 1); /* all failed: there is no other way */
    near(failure_p(10, 0, 10, 0), 1);
    near(failure_p(100, 5, 20, 0), 1); /* fewer on the new side are no regression */
    assert_true(failure_p(100000, 0, 100000, 100000) < 1e-300);
    near(failure_p(100000, 100000, 100000, 0), 1);
    assert_int_equal(compare_judge_failures(0.0499), VERDICT_REGRESSED);
    assert_int_equal(compare_judge_failures(0.0501), VERDICT_PASS);
}

static void note(void *self, const char *path, const char *a, const char *b)
{
    buf_printf(self, "%s %s %s;", path, a ? a : "-", b ? b : "-");
}

static void manifests_differ_by_what_matters(void **state)
{
    (void)state;
    static const char A[] =
        "{\"start_time\":\"x\",\"seed\":1,\"host\":{\"name\":\"a\",\"cores\":2},"
        "\"config\":{\"artifacts\":{\"dir\":\"a\"},\"phases\":[1]},\"old\":1}";
    static const char B[] =
        "{\"start_time\":\"y\",\"seed\":2,\"host\":{\"name\":\"b\",\"cores\":2},"
        "\"config\":{\"artifacts\":{\"dir\":\"b\"},\"phases\":[1,2]},\"new\":2}";
    struct json *a = json_parse(A, sizeof A - 1, NULL), *b = json_parse(B, sizeof B - 1, NULL);
    struct buf text = {0};
    manifest_compare(a, b, note, &text);
    assert_true(manifest_has(a, "seed") && manifest_has(a, "host") &&
                manifest_has(a, "host.cores"));
    assert_false(manifest_has(a, "hos") || manifest_has(a, "host.core") || manifest_has(a, "new") ||
                 manifest_has(a, "seed.x") || manifest_has(NULL, "seed"));
    assert_string_equal(text.data, "seed 1 2;config.phases [1] [1,2];old 1 -;new - 2;");
    json_free(a);
    json_free(b);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_test_counts_all_ways_to_deal_out_the_runs),
        cmocka_unit_test(same_against_same_raises_no_alarm),
        cmocka_unit_test(slowdown_is_caught_when_it_is_detectable),
        cmocka_unit_test(slowdown_below_the_noise_is_inconclusive),
        cmocka_unit_test(change_within_the_tolerance_passes),
        cmocka_unit_test(same_seed_gives_the_same_interval),
        cmocka_unit_test(few_runs_have_no_rank_test),
        cmocka_unit_test(holm_multiplies_the_least_p_by_the_number_of_questions),
        cmocka_unit_test(failure_test_counts_all_ways_to_deal_out_the_failures),
        cmocka_unit_test(manifests_differ_by_what_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
