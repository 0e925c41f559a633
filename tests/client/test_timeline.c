/* client/prometheus, client/timeline and client/server_metrics: texts of servers, and what follows
 * from two and more of them. */
#include "client/server_metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S INT64_C(1000000000)

static void near(double got, double want)
{
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) < 1e-9))
        fail_msg("got %.17g, want %.17g", got, want);
}

static size_t scrape(struct timeline *t, int64_t at_s, const char *text)
{
    return timeline_scrape(t, at_s * S, text, strlen(text));
}

static double last(const struct timeline *t, const char *name, const char *label, const char *text)
{
    const struct timeline_series *s = timeline_find(t, name, label, text);
    assert_non_null(s);
    return s->values[t->n_columns - 1];
}

/* ---- the format ----------------------------------------------------------------------------- */

static void lines_of_the_format_are_read(void **state)
{
    (void)state;
    struct timeline t = {0};
    assert_int_equal(
        scrape(&t, 1,
               "# HELP http_total Requests\\nso \\\\ far.\n# TYPE http_total counter\n"
               "http_total{code=\"2\\\"0\\\\0\\n\",path=\"/{x}\",} 1027 1395066363000\r\n"
               "  plain   12.5e-1  \n\n# a comment\n#EOF\n# TYPE odd untyped\n# EOF\n"
               "a:b{ x = \"1\" , y=\"\"} +Inf\n"
               "h_bucket{le=\"1\"} 3 # {trace=\"q\"} 0.5 12.0\nnan NaN\nno_newline 4"),
        0);
    near(last(&t, "http_total", "code", "2\"0\\0\n"), 1027);
    assert_string_equal(timeline_label(timeline_find(&t, "http_total", NULL, NULL), "path"),
                        "/{x}");
    near(last(&t, "plain", NULL, NULL), 1.25);
    near(last(&t, "h_bucket", "le", "1"), 3);
    near(last(&t, "no_newline", NULL, NULL), 4);
    near(last(&t, "a:b", "y", ""), NAN); /* infinite is as good as absent */
    const struct timeline_family *f = timeline_family_of(&t, "http_total");
    assert_int_equal(f->type, PROMETHEUS_COUNTER);
    assert_string_equal(f->help, "Requests\nso \\ far.");
    timeline_free(&t);
}

static void malformed_lines_are_counted_and_left_out(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "name",        "name ",          "name{} ",     "{} 1",          "1name 2",
        "a{b} 1",      "a{b=} 1",        "a{b=\"} 1",   "a{b=\"\\\"} 1", "a{b=\"c\" d=\"e\"} 1",
        "a{b=\"c\" 1", "a 1x",           "a 1 2 3",     "a 1 x",         "a{b='c'} 1",
        "# TYPE a",    "# TYPE 1 gauge", "# HELP",      "a-b 1",         "a{\"c\"} 1",
        "<html>",      "{\"a\": 1}",     "a{=\"c\"} 1", "a,b 1",         "\x80\xff 1",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct timeline t = {0};
        char text[128];
        snprintf(text, sizeof text, "good 1\n%s\nbetter 2\n", BAD[i]);
        if (scrape(&t, 1, text) != 1)
            fail_msg("'%s' was understood", BAD[i]);
        assert_int_equal(t.n_series, 2);
        timeline_free(&t);
    }
    struct timeline t = {0};
    assert_int_equal(timeline_scrape(&t, S, "a 1\0b 2\nc 3\n", 12), 1); /* a NUL inside */
    assert_int_equal(t.n_series, 1);
    struct buf long_line = {0};
    buf_puts(&long_line, "x{l=\"");
    memset(buf_reserve(&long_line, PROMETHEUS_MAX_LINE), 'y', PROMETHEUS_MAX_LINE);
    long_line.size += PROMETHEUS_MAX_LINE;
    buf_puts(&long_line, "\"} 1");
    assert_int_equal(timeline_scrape(&t, 2 * S, long_line.data, long_line.size), 1);
    buf_free(&long_line);
    timeline_free(&t);
}

/* ---- windows -------------------------------------------------------------------------------- */

static void levels_are_those_of_the_window(void **state)
{
    (void)state;
    struct timeline t = {0};
    for (int i = 0; i < 10; i++) {
        char text[64];
        snprintf(text, sizeof text, "g %d\n", i * i);
        scrape(&t, i, i == 5 ? "other 1\n" : text);
    }
    struct timeline_level level;
    const struct timeline_series *g = timeline_find(&t, "g", NULL, NULL);
    assert_true(timeline_level(&t, g, 3 * S, 6 * S, &level)); /* 9, 16, 36 */
    near(level.stats.avg, 61.0 / 3);
    near(level.stats.min, 9);
    near(level.stats.max, 36);
    near(level.last, 36);
    near(level.stats.std,
         sqrt(((9 - 61.0 / 3) * (9 - 61.0 / 3) + (16 - 61.0 / 3) * (16 - 61.0 / 3) +
               (36 - 61.0 / 3) * (36 - 61.0 / 3)) /
              2));
    assert_true(timeline_level(&t, g, 6 * S + 1, 6 * S + 2, &level)); /* the value before holds */
    near(level.stats.avg, 36);
    assert_false(timeline_level(&t, timeline_find(&t, "other", NULL, NULL), 0, 4 * S, &level));
    timeline_free(&t);
}

static void counters_rise_over_the_window_and_restarts_start_at_zero(void **state)
{
    (void)state;
    static const int VALUES[] = {100, 110, 130, 5, 25};
    struct timeline t = {0};
    for (int i = 0; i < 5; i++) {
        char text[64];
        snprintf(text, sizeof text, "c_total %d\n", VALUES[i]);
        scrape(&t, 2 * i, text);
    }
    const struct timeline_series *c = timeline_find(&t, "c_total", NULL, NULL);
    double rise, seconds;
    assert_true(timeline_rise(&t, c, 1 * S, 3 * S, &rise, &seconds)); /* looks at 0 and 4 s */
    near(rise, 30);
    near(seconds, 4);
    assert_true(timeline_rise(&t, c, 2 * S, 8 * S, &rise, &seconds));
    near(rise, 20 + 5 + 20);
    near(seconds, 6);
    assert_false(timeline_rise(&t, c, 20 * S, 30 * S, &rise, &seconds)); /* nothing afterwards */
    timeline_free(&t);
}

static void long_runs_are_thinned(void **state)
{
    (void)state;
    struct timeline t = {0};
    for (int i = 0; i < 3 * TIMELINE_MAX_COLUMNS; i++) {
        timeline_begin(&t, i * S);
        timeline_put_one(&t, "c", NULL, NULL, i);
        assert_true(t.n_columns <= TIMELINE_MAX_COLUMNS);
    }
    assert_true(t.stride > 1);
    near(t.series[0].values[t.n_columns - 1], 3 * TIMELINE_MAX_COLUMNS - 1);
    for (size_t i = 0; i < t.n_columns; i++) {
        int64_t second = t.at_ns[i] / S;
        near(t.series[0].values[i], (double)second);
    }
    timeline_free(&t);
}

static void too_many_series_are_counted(void **state)
{
    (void)state;
    struct timeline t = {0};
    timeline_begin(&t, S);
    for (int i = 0; i < TIMELINE_MAX_SERIES + 3; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        timeline_put_one(&t, "c", "i", text, i);
    }
    assert_int_equal(t.n_series, TIMELINE_MAX_SERIES);
    assert_int_equal(t.n_refused, 3);
    timeline_free(&t);
}

/* ---- servers -------------------------------------------------------------------------------- */

static const struct server_metric *metric(const struct server_metrics *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->items[i].name, name) == 0)
            return &m->items[i];
    }
    fail_msg("there is no %s", name);
    return NULL;
}

static void kinds_of_metrics_are_summarised(void **state)
{
    (void)state;
    struct telemetry_source source = {.kind = TELEMETRY_SERVER, .url = "http://h:1/metrics"};
    struct telemetry t = {.sources = &source, .n_sources = 1};
    static const char HEAD[] = "# TYPE c_total counter\n# TYPE g gauge\n# TYPE h histogram\n"
                               "# TYPE s summary\n# TYPE om counter\n";
    struct buf text = {0};
    for (int i = 0; i < 2; i++) {
        buf_clear(&text);
        buf_printf(&text, "%sc_total{a=\"x\"} %d\ng %d\nuntyped %d\nom_total %d\n", HEAD,
                   10 + 30 * i, i, i, 7 * i);
        /* 10 below 1, 30 from 1 to 2, none above, within the window */
        buf_printf(&text, "h_bucket{m=\"z\",le=\"2\"} %d\nh_bucket{m=\"z\",le=\"1\"} %d\n",
                   5 + 40 * i, 5 + 10 * i);
        buf_printf(&text, "h_bucket{m=\"z\",le=\"+Inf\"} %d\nh_sum{m=\"z\"} %d\n", 5 + 40 * i,
                   50 * i);
        buf_printf(&text, "h_count{m=\"z\"} %d\ns{quantile=\"0.5\"} 3\ns_sum %d\ns_count %d\n",
                   5 + 40 * i, 8 * i, 4 * i);
        assert_int_equal(timeline_scrape(&source.values, 10 * i * S, text.data, text.size), 0);
    }
    struct server_metrics m;
    server_metrics_compute(&m, &t, 0, 10 * S);
    assert_int_equal(m.n, 6);
    near(metric(&m, "c")->rise / metric(&m, "c")->seconds, 3);
    near(metric(&m, "om")->rise, 7);
    assert_int_equal(metric(&m, "om")->type, PROMETHEUS_COUNTER);
    near(metric(&m, "g")->level.last, 1);
    assert_int_equal(metric(&m, "untyped")->type, PROMETHEUS_UNKNOWN);
    const struct server_metric *h = metric(&m, "h");
    near(h->count, 40);
    near(h->sum, 50);
    assert_int_equal(h->n_buckets, 3);
    near(h->estimates[P25], 1); /* the 10th of 40 */
    near(h->estimates[P50], 1 + 10. / 30);
    near(h->estimates[P10], 0.4);
    near(metric(&m, "s")->sum / metric(&m, "s")->count, 2);
    near(metric(&m, "s")->estimates[P50], NAN);
    server_metrics_free(&m);
    timeline_free(&source.values);
    buf_free(&text);
}

static void quantiles_of_buckets_follow_prometheus(void **state)
{
    (void)state;
    const struct server_metric_bucket buckets[] = {
        {"-1", -1, 2}, {"0", 0, 2}, {"4", 4, 6}, {"+Inf", INFINITY, 10}};
    near(server_metrics_quantile(buckets, 4, 0.1), -1); /* the lowest one has no lower end */
    near(server_metrics_quantile(buckets, 4, 0.4), 2);
    near(server_metrics_quantile(buckets, 4, 0.9), 4); /* beyond the last bound */
    near(server_metrics_quantile(buckets, 2, 0.5), -1);
    near(server_metrics_quantile(buckets, 0, 0.5), NAN);
    near(server_metrics_quantile(&(struct server_metric_bucket){"1", 1, 0}, 1, 0.5), NAN);
    near(server_metrics_quantile(&buckets[3], 1, 0.5), NAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_the_format_are_read),
        cmocka_unit_test(malformed_lines_are_counted_and_left_out),
        cmocka_unit_test(levels_are_those_of_the_window),
        cmocka_unit_test(counters_rise_over_the_window_and_restarts_start_at_zero),
        cmocka_unit_test(long_runs_are_thinned),
        cmocka_unit_test(too_many_series_are_counted),
        cmocka_unit_test(kinds_of_metrics_are_summarised),
        cmocka_unit_test(quantiles_of_buckets_follow_prometheus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
