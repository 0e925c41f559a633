/* The writers of client/report on a made-up run, and the progress line. */
#include "client/report.h"

#include "base/json.h"
#include "client/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/client/run_fixture.h"

static void must_have(const struct buf *text, const char *part)
{
    if (!strstr(text->data, part))
        fail_msg("no '%s' in:\n%s", part, text->data);
}

static void console_has_aiperfs_form(void **state)
{
    (void)state;
    struct run_fixture f;
    struct buf out = {0};
    run_fixture_init(&f);
    f.records[2].end_ns += 12345 * FIXTURE_MS;
    metrics_free(&f.report.phases[0].metrics);
    free(f.report.phases[0].chosen);
    free(f.report.phases[0].failures);
    f.report.phases[0].chosen = NULL;
    f.report.phases[0].failures = NULL;
    f.report.phases[0].n_records = f.report.phases[0].n_failures = 0;
    f.report.phases[0].n_flights = 0;
    report_phase_fill(&f.report.phases[0], 0, f.all, 4, false);
    report_console(&out, &f.report);
    must_have(&out, "┃ Code ┃                Type ┃ Message          ┃ Count ┃\n"
                    "┡━━━━━━╇━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━┩\n"
                    "│  503 │ Service Unavailable │ {\"error\":\"busy\"} │     1 │\n"
                    "└──────┴─────────────────────┴──────────────────┴───────┘\n");
    must_have(&out, "│                 Request Latency (ms) │ 4,315.00 │ 100.00 │ 12,645.00 │");
    must_have(&out, "│    Request Throughput (requests/sec) │     3.00 │    N/A │       N/A │");
    must_have(&out, "│ Completed Requests (Success + Error) │     4.00 │");
    must_have(&out, "│                           (requests) │          │        │           │");
    must_have(&out, "│     Request Latency (error-adjusted) │      N/A │ 100.00 │");
    must_have(&out, "│      Images Returned (images) │");
    must_have(&out, "│ Response Time (from due) (ms) │");
    must_have(&out, "│         p1 │         n<368 │");
    assert_memory_equal(out.data, "\n\n   ", 5);
    buf_free(&out);
    run_fixture_free(&f);
}

static void control_characters_stay_off_the_terminal(void **state)
{
    (void)state;
    struct buf out = {0};
    report_clean_text(&out, "a\x1b[31m\n\xc2\x9bz\xc3\xa9!", 9);
    assert_string_equal(out.data, "a [31m  z...");
    buf_free(&out);
}

static void csv_is_sorted_by_tag_with_two_decimals(void **state)
{
    (void)state;
    struct run_fixture f;
    struct buf out = {0};
    run_fixture_init(&f);
    report_csv(&out, &f.report.phases[0].metrics);
    assert_memory_equal(out.data,
                        "Metric,avg,min,max,sum,p1,p5,p10,p25,p50,p75,p90,p95,p99,std\r\n"
                        "Active Decode Throughput (tokens/sec),0.00,",
                        100);
    must_have(&out, "\r\nEffective Concurrency,0.65,0.00,1.00,,,,,,1.00,,1.00,1.00,1.00,0.48\r\n");
    must_have(&out, "\r\nRequest Latency (ms),200.00,100.00,300.00,600.00,102.00,110.00,120.00,"
                    "150.00,200.00,250.00,280.00,290.00,298.00,81.65\r\n");
    must_have(&out, "\r\nRequest Latency (error-adjusted) (ms),,100.00,,,100.00,");
    must_have(&out, "\r\n\r\nMetric,Value\r\nBenchmark Duration (sec),0.60\r\n");
    must_have(&out, "\r\nRequest Error Rate (%),25.00\r\n");
    buf_free(&out);
    run_fixture_free(&f);
}

static void json_is_well_formed_and_leaves_out_what_is_absent(void **state)
{
    (void)state;
    struct run_fixture f;
    struct buf out = {0};
    struct error err = {0};
    run_fixture_init(&f);
    report_json(&out, &f.report, &f.report.phases[0]);
    must_have(&out,
              "\n  \"request_count\": {\n    \"unit\": \"requests\",\n    \"avg\": 3.0\n  },");
    must_have(&out, "\n  \"adj_request_latency\": {\n    \"unit\": \"ms\",\n    \"p1\": 100.0,");
    struct json *tree = json_parse(out.data, out.size, &err);
    if (!tree)
        fail_msg("%s", err.text);
    assert_null(json_get(json_get(tree, "adj_request_latency"), "max"));
    const struct json *p99 =
        json_get(json_get(json_get(tree, "percentile_intervals"), "response_time"), "p99");
    assert_int_equal(json_number(json_get(p99, "count_needed")), 368);
    assert_true(json_number(json_get(p99, "value")) > 300);
    assert_int_equal(json_size(json_get(tree, "error_summary")), 1);
    json_free(tree);
    buf_free(&out);
    run_fixture_free(&f);
}

static void manifest_and_slices_are_well_formed(void **state)
{
    (void)state;
    struct run_fixture f;
    struct buf a = {0}, b = {0};
    run_fixture_init(&f);
    assert_true(report_make_slices(&f.report, 250 * FIXTURE_MS, NULL));
    report_json_manifest(&a, &f.report);
    report_slices_json(&b, &f.report);
    struct json *manifest = json_parse(a.data, a.size, NULL),
                *slices = json_parse(b.data, b.size, NULL);
    assert_non_null(manifest);
    assert_non_null(slices);
    assert_int_equal(json_size(json_get(slices, "timeslices")), 3);
    json_free(manifest);
    json_free(slices);
    buf_free(&a);
    buf_free(&b);
    run_fixture_free(&f);
}

static void check_progress(struct progress p, const char *want)
{
    struct buf out = {0};
    progress_print(&out, &p);
    assert_string_equal(out.data, want);
    buf_free(&out);
}

static void progress_tells_what_is_left(void **state)
{
    (void)state;
    check_progress(
        (struct progress){
            .phase = "profiling", .n_done = 25, .n_in_flight = 2, .n_wanted = 100, .elapsed_s = 50},
        "profiling  25/100 done  2 in flight  0.50 req/s  ETA 2:30");
    check_progress(
        (struct progress){
            .phase = "warmup", .n_done = 5, .n_failed = 1, .elapsed_s = 10, .duration_s = 4000},
        "warmup  5 done  0 in flight  1 failed  0.50 req/s  ETA 1:06:30");
    check_progress((struct progress){.phase = "profiling", .n_wanted = 3},
                   "profiling  0/3 done  0 in flight  ETA -");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(console_has_aiperfs_form),
        cmocka_unit_test(control_characters_stay_off_the_terminal),
        cmocka_unit_test(csv_is_sorted_by_tag_with_two_decimals),
        cmocka_unit_test(json_is_well_formed_and_leaves_out_what_is_absent),
        cmocka_unit_test(manifest_and_slices_are_well_formed),
        cmocka_unit_test(progress_tells_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
