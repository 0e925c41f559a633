/* client/capacity_search and client/capacity_slo against made-up servers. */
#include "client/capacity_search.h"

#include "client/capacity_slo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "client/random.h"

#define MANY 200 /* more runs than any search may take */

/* A server whose verdict depends on the load alone. */
struct curve {
    double holds_to, fails_from; /* between them: uncertain */
};

static enum capacity_verdict verdict_of(const struct curve *c, double load)
{
    return load <= c->holds_to     ? CAPACITY_HOLDS
           : load >= c->fails_from ? CAPACITY_FAILS
                                   : CAPACITY_UNCERTAIN;
}

/* Run the search to its end; the loads it asks for, each with a blank, go to trail. */
static struct capacity_search search(const struct capacity_settings *settings,
                                     const struct curve *curve, struct buf *trail)
{
    struct capacity_search s;
    double load;
    int n = 0;
    buf_clear(trail);
    capacity_search_init(&s, settings);
    while (capacity_search_next(&s, &load)) {
        assert_true(load >= settings->least && load <= settings->most && n++ < MANY);
        buf_printf(trail, "%g ", load);
        capacity_search_take(&s, verdict_of(curve, load));
    }
    return s;
}

static const struct capacity_settings CONCURRENCY = {
    .start = 1, .least = 1, .most = 64, .is_integer = true, .resolution = 0.05, .max_runs = 2};
static const struct capacity_settings RATE = {
    .start = 1, .least = 1.0 / 1024, .most = 100, .resolution = 0.05, .max_runs = 2};

static void doubles_then_bisects_to_neighbours(void **state)
{
    (void)state;
    struct buf trail = {0};
    struct capacity_search s = search(&CONCURRENCY, &(struct curve){4.5, 4.5}, &trail);
    assert_string_equal(trail.data, "1 2 4 8 6 5 ");
    assert_true(s.holds == 4 && s.fails == 5 && s.uncertain_from == 0);
    buf_free(&trail);
}

static void every_whole_capacity_is_found(void **state)
{
    (void)state;
    struct buf trail = {0};
    struct capacity_settings exact = CONCURRENCY;
    exact.resolution = 0.001;
    for (int i = 1; i < 64; i++) {
        struct capacity_search s = search(&exact, &(struct curve){i, i + 0.5}, &trail);
        assert_true(s.holds == i && s.fails == i + 1);
    }
    buf_free(&trail);
}

static void rate_below_the_first_one_is_found_by_halving(void **state)
{
    (void)state;
    struct buf trail = {0};
    struct capacity_search s = search(&RATE, &(struct curve){0.21, 0.21}, &trail);
    assert_int_equal(strncmp(trail.data, "1 0.5 0.25 0.125 0.1875 ", 24), 0);
    assert_true(s.holds <= 0.21 && 0.21 < s.fails && s.fails <= s.holds * 1.05);
    buf_free(&trail);
}

static void bounds_end_the_search(void **state)
{
    (void)state;
    struct buf trail = {0};
    struct capacity_settings o = CONCURRENCY;
    o.most = 50;
    struct capacity_search s = search(&o, &(struct curve){1e9, 1e9}, &trail);
    assert_string_equal(trail.data, "1 2 4 8 16 32 50 ");
    assert_true(s.holds == 50 && s.fails == 0);
    o.start = o.least = 8;
    s = search(&o, &(struct curve){3, 3}, &trail);
    assert_string_equal(trail.data, "8 ");
    assert_true(s.holds == 0 && s.fails == 8);
    o.start = o.least = o.most = 8;
    s = search(&o, &(struct curve){9, 9}, &trail);
    assert_string_equal(trail.data, "8 ");
    assert_true(s.holds == 8 && s.fails == 0);
    buf_free(&trail);
}

static void uncertain_loads_are_repeated_and_bracketed(void **state)
{
    (void)state;
    struct buf trail = {0};
    struct capacity_search s = search(&CONCURRENCY, &(struct curve){6, 11}, &trail);
    assert_string_equal(trail.data, "1 2 4 8 8 16 6 7 7 12 10 10 11 ");
    assert_true(s.holds == 6 && s.uncertain_from == 7 && s.uncertain_to == 10 && s.fails == 11);
    s = search(&CONCURRENCY, &(struct curve){0, 1e9}, &trail); /* nothing is ever clear */
    assert_true(s.holds == 0 && s.fails == 0 && s.uncertain_from == 1 && s.uncertain_to == 64);
    buf_free(&trail);
}

/* One unclear answer is asked for again, and the clear one that follows counts. */
static void repeated_run_decides(void **state)
{
    (void)state;
    struct capacity_search s;
    double load;
    capacity_search_init(&s, &CONCURRENCY);
    assert_true(capacity_search_next(&s, &load) && load == 1);
    capacity_search_take(&s, CAPACITY_UNCERTAIN);
    assert_true(capacity_search_next(&s, &load) && load == 1);
    assert_true(capacity_search_next(&s, &load) && load == 1); /* asking changes nothing */
    capacity_search_take(&s, CAPACITY_HOLDS);
    assert_true(capacity_search_next(&s, &load) && load == 2);
    assert_true(s.holds == 1 && s.uncertain_from == 0);
}

static void clear_verdict_beats_uncertain_ones_on_its_side(void **state)
{
    (void)state;
    struct capacity_settings o = CONCURRENCY;
    struct capacity_search s;
    double load;
    o.max_runs = 1;
    capacity_search_init(&s, &o);
    static const enum capacity_verdict ANSWERS[] = {CAPACITY_UNCERTAIN, CAPACITY_UNCERTAIN,
                                                    CAPACITY_HOLDS}; /* at 1, 2, 4 */
    for (int i = 0; i < 3; i++) {
        assert_true(capacity_search_next(&s, &load));
        capacity_search_take(&s, ANSWERS[i]);
    }
    assert_true(s.holds == 4 && s.uncertain_from == 0 && s.uncertain_to == 0);
}

/* ---- with noise ----------------------------------------------------------------------------- */

#define LIMIT_MS 1000

/* Request times scatter by a factor around a median that grows with the load: at TRUE_LOAD the 95th
 * percentile is the limit. */
#define TRUE_LOAD 20.0
#define SCATTER 0.2
#define Z95 1.6448536269514722

static void sample_load(struct capacity_sample *sample, struct random *random, double load)
{
    double values[200];
    double median = LIMIT_MS * exp(-Z95 * SCATTER) * pow(load / TRUE_LOAD, 1.5);
    for (size_t i = 0; i < 200; i++)
        values[i] = median * exp(SCATTER * random_gauss(random, 0, 1));
    capacity_sample_add(sample, values, 200, 0);
}

static void noise_is_answered_by_an_interval_that_has_the_truth(void **state)
{
    (void)state;
    struct capacity_slo slo;
    int n_right = 0, n_runs = 0;
    assert_true(capacity_slo_parse(&slo, "request_latency_p95:1000", false, NULL));
    for (int seed = 0; seed < 100; seed++) {
        struct capacity_settings o = RATE;
        struct capacity_search s;
        struct capacity_sample sample = {0};
        struct random random;
        double load, last = 0;
        o.max_runs = 3;
        random_init_seed(&random, (uint64_t)seed);
        capacity_search_init(&s, &o);
        while (capacity_search_next(&s, &load)) {
            if (load != last)
                capacity_sample_free(&sample);
            last = load;
            sample_load(&sample, &random, load);
            capacity_search_take(&s, capacity_slo_judge(&slo, &sample).verdict);
            assert_true(n_runs++ < MANY * 100);
        }
        n_right += s.holds <= TRUE_LOAD && TRUE_LOAD <= s.fails;
        assert_true(s.holds > 0.8 * TRUE_LOAD && s.fails < 1.25 * TRUE_LOAD);
        capacity_sample_free(&sample);
    }
    assert_true(n_right >= 85); /* some ten verdicts a search, each wrong in at most 2.5 % */
    assert_true(n_runs < 100 * 40);
}

/* ---- objectives ----------------------------------------------------------------------------- */

static void objectives_are_read(void **state)
{
    (void)state;
    struct capacity_slo slo;
    assert_true(capacity_slo_parse(&slo, "request_latency_p99.9:1.5", false, NULL));
    assert_string_equal(slo.metric->tag, "request_latency");
    assert_true(slo.rank == 99.9 && slo.limit == 1.5);
    assert_int_equal(capacity_slo_needs(&slo), 2 * 3688);
    assert_true(capacity_slo_parse(&slo, "request_latency_p50:10", true, NULL));
    assert_string_equal(slo.metric->tag, "response_time"); /* from due, with a rate */
    assert_true(capacity_slo_parse(&slo, "service_time_p50:10", true, NULL));
    assert_string_equal(slo.metric->tag, "service_time");
    static const char *const BAD[] = {"request_latency",         "request_latency:5",
                                      "request_latency_p95:",    "request_latency_p95:x",
                                      "request_latency_p95:0",   "request_latency_p0:5",
                                      "request_latency_p100:5",  "request_latency_pxx:5",
                                      "nonsense_p95:5",          "request_count_p95:5",
                                      "num_images_decoded_p5:1", "_p95:5"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct error err = {0};
        if (capacity_slo_parse(&slo, BAD[i], false, &err) || !strstr(err.text, BAD[i]))
            fail_msg("%s: %s", BAD[i], err.text);
    }
}

static struct capacity_estimate judge(const struct capacity_slo *slo, size_t n, double from,
                                      size_t n_lost)
{
    struct capacity_sample sample = {0};
    double *values = xcalloc(n + 1, sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = from + (double)(n - i); /* from + 1 ... from + n, not in order */
    capacity_sample_add(&sample, values, n, n_lost);
    struct capacity_estimate e = capacity_slo_judge(slo, &sample);
    capacity_sample_free(&sample);
    free(values);
    return e;
}

static void verdict_needs_the_whole_interval(void **state)
{
    (void)state;
    struct capacity_slo slo;
    assert_true(capacity_slo_parse(&slo, "request_latency_p90:100", false, NULL));
    assert_int_equal(judge(&slo, 100, 0, 0).verdict, CAPACITY_HOLDS);      /* 83 .. 96 */
    assert_int_equal(judge(&slo, 100, 10, 0).verdict, CAPACITY_UNCERTAIN); /* 93 .. 106 */
    assert_int_equal(judge(&slo, 100, 30, 0).verdict, CAPACITY_FAILS);
    assert_int_equal(judge(&slo, 20, 0, 0).verdict, CAPACITY_UNCERTAIN); /* too few */
    assert_int_equal(judge(&slo, 0, 0, 0).verdict, CAPACITY_UNCERTAIN);
    struct capacity_estimate e = judge(&slo, 100, 0, 0);
    assert_true(e.value == 90 && e.low < 90 && e.high > 90 && e.high <= 100);
}

static void lost_requests_are_infinitely_slow(void **state)
{
    (void)state;
    struct capacity_slo slo;
    assert_true(capacity_slo_parse(&slo, "request_latency_p90:1000", false, NULL));
    assert_int_equal(judge(&slo, 98, 0, 2).verdict, CAPACITY_HOLDS);
    struct capacity_estimate e = judge(&slo, 90, 0, 10);
    assert_true(e.verdict == CAPACITY_UNCERTAIN && isinf(e.high) && e.value == 90);
    e = judge(&slo, 70, 0, 30);
    assert_true(e.verdict == CAPACITY_FAILS && isinf(e.low) && isinf(e.value));
    assert_int_equal(judge(&slo, 0, 0, 100).verdict, CAPACITY_FAILS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_then_bisects_to_neighbours),
        cmocka_unit_test(every_whole_capacity_is_found),
        cmocka_unit_test(rate_below_the_first_one_is_found_by_halving),
        cmocka_unit_test(bounds_end_the_search),
        cmocka_unit_test(uncertain_loads_are_repeated_and_bracketed),
        cmocka_unit_test(repeated_run_decides),
        cmocka_unit_test(clear_verdict_beats_uncertain_ones_on_its_side),
        cmocka_unit_test(noise_is_answered_by_an_interval_that_has_the_truth),
        cmocka_unit_test(objectives_are_read),
        cmocka_unit_test(verdict_needs_the_whole_interval),
        cmocka_unit_test(lost_requests_are_infinitely_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
