/* client/metrics: every formula on a made-up run. */
#include "client/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/client/run_fixture.h"

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * fmax(1, fabs(want))))
        fail_msg("got %.17g, want %.17g", got, want);
}

static const struct stats *get(const struct run_fixture *f, const char *tag)
{
    const struct metric_value *v = metrics_get(&f->report.phases[0].metrics, tag);
    if (!v)
        fail_msg("no %s", tag);
    return &v->stats;
}

static void scalars_follow_their_formulas(void **state)
{
    (void)state;
    struct run_fixture f;
    run_fixture_init(&f);
    near(get(&f, "request_count")->avg, 3);
    near(get(&f, "completed_request_count")->avg, 4);
    near(get(&f, "error_request_count")->avg, 1);
    near(get(&f, "request_error_rate")->avg, 25);
    near(get(&f, "request_throughput")->avg, 3); /* window 1 s */
    near(get(&f, "input_token_throughput")->avg, 20);
    near(get(&f, "total_isl")->avg, 20);
    near(get(&f, "total_error_isl")->avg, 6);
    near(get(&f, "benchmark_duration")->avg, 0.6); /* successes: 1.0 to 1.6 s */
    near(get(&f, "images_returned")->avg, 3);
    near(get(&f, "images_decoded")->avg, 3);
    near(get(&f, "image_throughput")->avg, 3);
    near(get(&f, "total_usage_prompt_tokens")->avg, 24);
    assert_null(metrics_get(&f.report.phases[0].metrics, "usage_completion_tokens"));
    run_fixture_free(&f);
}

static void request_values_follow_their_formulas(void **state)
{
    (void)state;
    struct run_fixture f;
    run_fixture_init(&f);
    near(get(&f, "request_latency")->avg, 200);
    near(get(&f, "request_latency")->max, 300);
    assert_int_equal(get(&f, "request_latency")->count, 3);
    near(get(&f, "effective_latency")->avg, (110 + 210 + 310 + 60) / 4.0); /* from the due time */
    near(get(&f, "credit_to_start_latency")->avg, 10);
    near(get(&f, "response_time")->avg, (110 + 210 + 310) / 3.0);
    near(get(&f, "service_time")->avg, (94 + 194 + 294) / 3.0); /* sent 6 ms after the start */
    near(get(&f, "send_lag")->avg, 16);
    near(get(&f, "late_request_count")->avg, 4);
    near(get(&f, "unsent_request_count")->avg, 0);
    near(get(&f, "http_req_blocked")->avg, 1);
    near(get(&f, "http_req_dns_lookup")->avg, 2);
    near(get(&f, "http_req_connecting")->avg, 3);
    near(get(&f, "http_req_sending")->avg, 4);
    near(get(&f, "http_req_receiving")->avg, 5);
    near(get(&f, "http_req_waiting")->avg, 200 - 15);
    near(get(&f, "http_req_connection_overhead")->avg, 6);
    near(get(&f, "http_req_duration")->avg, 194);
    near(get(&f, "http_req_total")->avg, 200);
    near(get(&f, "http_req_data_sent")->avg, 1);
    near(get(&f, "http_req_data_received")->avg, 2);
    near(get(&f, "image_latency")->avg, 200);
    near(get(&f, "image_file_size")->avg, 0.5);
    near(get(&f, "input_sequence_length")->avg, 20.0 / 3);
    near(get(&f, "error_isl")->avg, 6);
    near(get(&f, "usage_prompt_tokens")->avg, 8);
    near(get(&f, "usage_prompt_tokens_diff_pct")->max, 100.0 / 3); /* 8 for 6 */
    run_fixture_free(&f);
}

static void server_stages_leave_an_unexplained_rest(void **state)
{
    (void)state;
    struct run_fixture f;
    run_fixture_init(&f);
    const struct metrics *m = &f.report.phases[0].metrics;
    assert_null(metrics_get(m, "server_total_time")); /* not told */
    assert_null(metrics_get(m, "denoising_step_throughput"));
    near(get(&f, "megapixel_throughput")->avg, 3 * 64 / 1e6); /* 8x8 each */
    int64_t bytes = 0;
    for (size_t i = 0; i < f.report.phases[0].n_records; i++)
        bytes += f.report.phases[0].records[i]->bytes_received;
    assert_true(bytes >= 3 * 2000);
    near(get(&f, "response_byte_throughput")->avg, (double)bytes / 1e6);
    struct stages stages = {
        .ms = {1, 2, 60, NAN, 4, 5, 72}, .n_steps = 4, .inference_s = 0.07, .peak_memory_mib = 100};
    f.records[0].stages = f.records[1].stages = &stages;
    report_free(&f.report);
    f.report.phases = xcalloc(1, sizeof *f.report.phases);
    f.report.phases[0].load.start_ns = 1000 * FIXTURE_MS;
    f.report.phases[0].load.end_ns = 2000 * FIXTURE_MS;
    report_phase_fill(&f.report.phases[0], 0, f.all, 4, false);
    near(get(&f, "server_total_time")->avg, 72);
    assert_int_equal(get(&f, "server_total_time")->count, 2);
    assert_null(metrics_get(&f.report.phases[0].metrics, "server_vae_time"));
    near(get(&f, "unexplained_time")->min, 85 - 72); /* waiting is latency less 15 ms */
    near(get(&f, "unexplained_time")->max, 185 - 72);
    near(get(&f, "denoising_step_time")->avg, 15);
    near(get(&f, "denoising_step_throughput")->avg, 8);
    near(get(&f, "inference_time")->avg, 0.07);
    near(get(&f, "peak_memory_mb")->avg, 100);
    run_fixture_free(&f);
}

static void concurrency_is_weighted_by_time(void **state)
{
    (void)state;
    struct run_fixture f;
    run_fixture_init(&f);
    const struct stats *s = get(&f, "effective_concurrency");
    near(s->avg, 0.65); /* 650 of 1000 ms had one in flight */
    near(s->max, 1);
    near(s->p[P50], 1);
    near(s->min, 0);
    run_fixture_free(&f);
}

static void canceled_requests_are_in_flight_and_nothing_else(void **state)
{
    (void)state;
    struct run_fixture f;
    run_fixture_init(&f);
    f.records[3].transfer = TRANSFER_CANCELED;
    report_free(&f.report);
    f.report.phases = xcalloc(1, sizeof *f.report.phases);
    f.report.phases[0] = (struct report_phase){.name = "profiling",
                                               .load = {.start_ns = 1000 * FIXTURE_MS,
                                                        .end_ns = 2000 * FIXTURE_MS,
                                                        .n_canceled = 1,
                                                        .n_unsent = 5,
                                                        .n_held = 2,
                                                        .held_ns = 1500 * FIXTURE_MS}};
    report_phase_fill(&f.report.phases[0], 0, f.all, 4, false);
    near(get(&f, "effective_concurrency")->avg, 0.65);
    near(get(&f, "completed_request_count")->avg, 3);
    near(get(&f, "canceled_request_count")->avg, 1);
    near(get(&f, "unsent_request_count")->avg, 5);
    near(get(&f, "late_request_count")->avg, 4);
    near(get(&f, "sending_held_count")->avg, 2);
    near(get(&f, "sending_held_time")->avg, 1.5);
    assert_null(metrics_get(&f.report.phases[0].metrics, "error_request_count"));
    assert_int_equal(f.report.phases[0].n_failures, 0);
    run_fixture_free(&f);
}

static void failures_count_as_infinite_in_the_adjusted_latency(void **state)
{
    (void)state;
    struct run_fixture f;
    run_fixture_init(&f);
    const struct stats *s = get(&f, "adj_request_latency");
    near(s->min, 100);
    near(s->p[P50], 300); /* rank 1.5 of 0..3 goes to the even one, 2 */
    assert_true(isnan(s->max) && isnan(s->avg));
    run_fixture_free(&f);
}

static void rows_about_failures_need_a_failure(void **state)
{
    (void)state;
    struct run_fixture f;
    struct metrics m;
    run_fixture_init(&f);
    struct metrics_input in = {.records = f.all,
                               .n_records = 3,
                               .flights = f.all,
                               .n_flights = 3,
                               .start_ns = 1000 * FIXTURE_MS,
                               .end_ns = 2000 * FIXTURE_MS};
    metrics_compute(&m, &in);
    const char *const absent[] = {"error_request_count",    "error_isl", "adj_request_latency",
                                  "context_overflow_count", "goodput",   "canceled_request_count"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        assert_null(metrics_get(&m, absent[i]));
    metrics_free(&m);
    run_fixture_free(&f);
}

static void slices_leave_out_what_needs_the_whole_run(void **state)
{
    (void)state;
    struct run_fixture f;
    run_fixture_init(&f);
    assert_true(report_make_slices(&f.report, 250 * FIXTURE_MS, NULL));
    assert_int_equal(f.report.n_slices, 3); /* 1000..1650 ms */
    assert_false(f.report.slices[2].is_complete);
    assert_int_equal(f.report.slices[2].end_ns, 1650 * FIXTURE_MS);
    const struct metrics *second = &f.report.slices[1].metrics;
    near(metrics_get(second, "request_count")->stats.avg, 1);
    near(metrics_get(second, "request_throughput")->stats.avg, 4);
    /* the second request reaches into it until 1300, the third fills the rest */
    near(metrics_get(second, "effective_concurrency")->stats.avg, 1);
    assert_null(metrics_get(second, "effective_latency"));
    run_fixture_free(&f);
}

static void too_many_slices_are_refused(void **state)
{
    (void)state;
    struct run_fixture f;
    struct error err = {0};
    run_fixture_init(&f);
    assert_false(report_make_slices(&f.report, 1000, &err));
    assert_string_equal(err.field, "--slice-duration");
    assert_int_equal(f.report.n_slices, 0);
    run_fixture_free(&f);
}

static void goodput_wants_every_objective(void **state)
{
    (void)state;
    struct run_fixture f;
    struct metrics_objective *o;
    struct error err = {0};
    size_t n;
    run_fixture_init(&f);
    assert_true(metrics_parse_goodput("request_latency:200 num_images_decoded:1", &o, &n, &err));
    assert_int_equal(n, 2);
    assert_true(metrics_is_good(&f.records[0], o, n));
    assert_true(metrics_is_good(&f.records[1], o, n)); /* exactly at the limit */
    assert_false(metrics_is_good(&f.records[2], o, n));
    assert_false(metrics_is_good(&f.records[3], o, n)); /* failed */
    f.records[0].n_decoded = 0;
    assert_false(metrics_is_good(&f.records[0], o, n));
    free(o);
    run_fixture_free(&f);
}

static void bad_objectives_are_named(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               "x:1",
                               "request_count:1",
                               "request_latency",
                               "request_latency:",
                               "request_latency:fast",
                               "request_latency:inf"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct metrics_objective *o;
        struct error err = {0};
        size_t n;
        assert_false(metrics_parse_goodput(bad[i], &o, &n, &err));
        assert_string_equal(err.field, "--goodput");
    }
}

static void tags_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_METRICS; i++) {
        assert_ptr_equal(metric_find(METRICS[i].tag), &METRICS[i]);
        assert_true((METRICS[i].get != NULL) != (METRICS[i].compute != NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_follow_their_formulas),
        cmocka_unit_test(request_values_follow_their_formulas),
        cmocka_unit_test(server_stages_leave_an_unexplained_rest),
        cmocka_unit_test(concurrency_is_weighted_by_time),
        cmocka_unit_test(canceled_requests_are_in_flight_and_nothing_else),
        cmocka_unit_test(failures_count_as_infinite_in_the_adjusted_latency),
        cmocka_unit_test(rows_about_failures_need_a_failure),
        cmocka_unit_test(slices_leave_out_what_needs_the_whole_run),
        cmocka_unit_test(too_many_slices_are_refused),
        cmocka_unit_test(goodput_wants_every_objective),
        cmocka_unit_test(bad_objectives_are_named),
        cmocka_unit_test(tags_are_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
