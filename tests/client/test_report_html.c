/* The page of a run: escaping, decimation, band, pictures, and that its numbers are the summary's.
 */
#include "client/report_html.h"

#include "base/base64.h"
#include "client/report_html_chart.h"
#include "client/report_html_charts.h"
#include "client/report_html_tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/client/run_fixture.h"

#define MANY 100000

static void must_have(const struct buf *text, const char *part)
{
    if (!strstr(text->data, part))
        fail_msg("no '%s'", part);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void markup_is_escaped(void **state)
{
    (void)state;
    struct buf out = {0};
    report_html_escape(&out, "<a b=\"c\" d='e'>&amp;\n\x01\xc2\x9b\xff\xc3\xa9");
    assert_string_equal(out.data, "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;amp;   "
                                  "\xef\xbf\xbd\xc3\xa9");
    buf_free(&out);
}

static void numbers_have_four_figures_at_most(void **state)
{
    static const struct {
        double value;
        const char *want;
    } CASES[] = {{0, "0"},         {0.12345, "0.123"},     {12.3456, "12.3"},
                 {123.4, "123.4"}, {1234567, "1,234,567"}, {NAN, "–"}};
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf out = {0};
        report_html_number(&out, CASES[i].value);
        assert_string_equal(out.data, CASES[i].want);
        buf_free(&out);
    }
}

/* ---- decimation ----------------------------------------------------------------------------- */

/* Requests of a made-up run of 100 s with a queue, stages and some failures. */
static struct report_html_point *make_points(size_t n)
{
    struct report_html_point *points = xcalloc(n, sizeof *points);
    uint64_t random = 7;
    for (size_t i = 0; i < n; i++) {
        struct report_html_point *p = &points[i];
        p->due_s = 100.0 * (double)i / (double)n;
        p->start_s = p->due_s + (double)(next_random(&random) % 1000) / 1e4;
        p->end_s = p->start_s + (double)(1 + next_random(&random) % 1000) / 1e4;
        p->succeeded = next_random(&random) % 100 != 0;
        p->ms[REPORT_HTML_RESPONSE] = (p->end_s - p->due_s) * 1000;
        p->ms[REPORT_HTML_LATENCY] = (p->end_s - p->start_s) * 1000;
        p->has_parts = true;
        for (size_t k = 0; k < REPORT_HTML_PARTS; k++)
            p->part_ms[k] = (double)(k + 1); /* whole numbers: sums do not depend on the order */
    }
    return points;
}

static void shuffle(struct report_html_point *points, size_t n)
{
    uint64_t random = 3;
    for (size_t i = n; i > 1; i--) {
        size_t k = next_random(&random) % i;
        struct report_html_point p = points[i - 1];
        points[i - 1] = points[k];
        points[k] = p;
    }
}

static struct report_html_data *gather(const struct report_html_point *points, size_t n)
{
    struct report_html_data *d = xcalloc(1, sizeof *d);
    report_html_data_begin(d, 0, 101);
    for (size_t i = 0; i < n; i++)
        report_html_data_add(d, &points[i]);
    report_html_data_finish(d);
    return d;
}

static void release(struct report_html_data *d)
{
    report_html_data_free(d);
    free(d);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void columns_hold_least_middle_and_greatest(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct report_html_point *points = make_points(N);
    struct report_html_data *d = gather(points, N);
    double *values = xcalloc(N, sizeof *values), width_s = 101.0 / REPORT_HTML_COLUMNS;
    size_t n_all = 0;
    for (size_t i = 0; i < REPORT_HTML_COLUMNS; i++) {
        const struct report_html_column *c = &d->columns[i];
        size_t n = 0;
        for (size_t k = 0; k < N; k++) {
            if (points[k].succeeded && (size_t)(points[k].due_s / width_s) == i)
                values[n++] = points[k].ms[REPORT_HTML_RESPONSE];
        }
        assert_int_equal(c->n, n);
        n_all += n;
        if (n == 0)
            continue;
        qsort(values, n, sizeof *values, compare_doubles);
        assert_float_equal(c->min_ms[0], values[0], 1e-4);
        assert_float_equal(c->max_ms[0], values[n - 1], 1e-4);
        assert_float_equal(c->median_ms[0], (values[n / 2] + values[(n - 1) / 2]) / 2, 1e-4);
    }
    assert_int_equal(n_all, d->n_samples);
    assert_int_equal(n_all + d->n_failed, N);
    release(d);
    free(values);
    free(points);
}

static void order_does_not_change_the_charts(void **state)
{
    (void)state;
    struct buf a = {0}, b = {0};
    struct report_html_point *points = make_points(5000);
    struct report_html_data *d = gather(points, 5000);
    report_html_charts(&a, d);
    release(d);
    shuffle(points, 5000);
    d = gather(points, 5000);
    report_html_charts(&b, d);
    release(d);
    assert_string_equal(a.data, b.data);
    must_have(&a, "Where the time goes");
    must_have(&a, "failed or canceled");
    buf_free(&a);
    buf_free(&b);
    free(points);
}

static void charts_of_many_requests_stay_small(void **state)
{
    (void)state;
    struct buf out = {0};
    struct report_html_point *points = make_points(MANY);
    struct report_html_data *d = gather(points, MANY);
    report_html_charts(&out, d);
    assert_in_range(out.size, 10000, 300000);
    assert_null(strstr(out.data, "nan"));
    assert_null(strstr(out.data, "inf"));
    release(d);
    buf_free(&out);
    free(points);
}

static void few_requests_are_dots(void **state)
{
    (void)state;
    struct buf out = {0};
    struct report_html_point *points = make_points(300);
    struct report_html_data *d = gather(points, 300);
    size_t n = 0;
    report_html_charts(&out, d);
    for (const char *at = out.data; (at = strstr(at, "<circle")); at++)
        n++;
    size_t n_late = 0;
    for (size_t i = 0; i < d->n_samples; i++)
        n_late +=
            d->samples[i].ms[REPORT_HTML_RESPONSE] - d->samples[i].ms[REPORT_HTML_LATENCY] > 1;
    assert_in_range(n_late, 1, d->n_samples - 1);
    assert_int_equal(n, d->n_samples + n_late); /* two dots where the series differ */
    release(d);
    buf_free(&out);
    free(points);
}

static void levels_are_means_over_time(void **state)
{
    (void)state;
    double width_s = 240.0 / REPORT_HTML_COLUMNS;
    struct report_html_point p = {.due_s = 10 * width_s,
                                  .start_s = 20.25 * width_s,
                                  .end_s = 30.5 * width_s,
                                  .succeeded = true,
                                  .has_parts = true};
    p.part_ms[2] = 2.5 * width_s * 1000; /* the server's queue */
    struct report_html_data *d = xcalloc(1, sizeof *d);
    report_html_data_begin(d, 0, 240);
    report_html_data_add(d, &p);
    report_html_data_finish(d);
    const struct report_html_column *c = d->columns;
    assert_float_equal(c[9].waiting, 0, 1e-9);
    assert_float_equal(c[10].waiting, 1, 1e-9);
    assert_float_equal(c[20].waiting, 0.25, 1e-9);
    assert_float_equal(c[20].in_flight, 0.75, 1e-9);
    assert_float_equal(c[29].in_flight, 1, 1e-9);
    assert_float_equal(c[30].in_flight, 0.5, 1e-9);
    assert_float_equal(c[31].in_flight, 0, 1e-9);
    assert_float_equal(c[21].queued, 1, 1e-9);
    assert_float_equal(c[22].queued, 0.75, 1e-9);
    assert_true(d->is_late);
    release(d);
}

static void what_the_server_does_not_name_is_other(void **state)
{
    (void)state;
    struct report_html_point p = {.part_ms = {[0] = 50, [2] = 1, [4] = 2}};
    report_html_data_close_parts(&p, 10);
    assert_float_equal(p.part_ms[7], 7, 1e-9);
    report_html_data_close_parts(&p, 9);
    assert_float_equal(p.part_ms[7], 7, 1e-9);
}

/* ---- band ----------------------------------------------------------------------------------- */

static void band_has_the_ends_of_order_statistics(void **state)
{
    (void)state;
    double sorted[100];
    for (size_t i = 0; i < 100; i++)
        sorted[i] = (double)i + 1;
    /* P(B(100, 1/2) < 40) = 0.0176, < 41 = 0.0284 */
    assert_float_equal(report_html_band(sorted, 100, 50, false), 40, 0);
    assert_float_equal(report_html_band(sorted, 100, 50, true), 61, 0);
    assert_true(isnan(report_html_band(sorted, 100, 99, true)));
    assert_true(!isnan(report_html_band(sorted, 100, 99, false)));
    assert_true(isnan(report_html_band(sorted, 5, 50, false)));
    assert_true(!isnan(report_html_band(sorted, 6, 50, false)));
}

static void band_is_missing_where_the_sample_is_too_small(void **state)
{
    (void)state;
    for (size_t n = 5; n <= 6; n++) {
        struct buf out = {0};
        struct report_html_point *points = make_points(n);
        struct report_html_data *d = gather(points, n);
        assert_int_equal(d->n_samples, n);
        report_html_cdf(&out, d);
        assert_true((strstr(out.data, "class=\"band") != NULL) == (n == 6));
        assert_true((strstr(out.data, "too few requests") != NULL) == (n == 5));
        release(d);
        buf_free(&out);
        free(points);
    }
}

/* ---- pictures ------------------------------------------------------------------------------- */

/* A picture of noise, which no format makes small. */
static void make_picture(struct image *pixels, struct buf *file, int width, int height)
{
    uint64_t random = 11;
    size_t n = (size_t)width * (size_t)height * 3;
    *pixels = (struct image){width, height, xmalloc(n)};
    for (size_t i = 0; i < n; i++)
        pixels->rgb[i] = (uint8_t)next_random(&random);
    assert_true(image_encode(file, pixels, IMAGE_PNG, 100, NULL));
}

static void pictures_are_bounded_in_number_and_bytes(void **state)
{
    static const struct {
        int side;
        bool fills_bytes;
    } CASES[] = {{8, false}, {205, true}}; /* of 205^2 * 3 = 126 KB: just below the limit */
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct report_html_images images = {0};
        struct image pixels;
        struct buf file = {0}, out = {0};
        make_picture(&pixels, &file, CASES[i].side, CASES[i].side);
        assert_true(file.size < REPORT_HTML_SMALL_FILE);
        for (int k = 0; k < 100; k++)
            report_html_images_add(&images, file.data, file.size, &pixels, "a <fox>", 12);
        assert_true(images.is_full);
        assert_true(images.text_bytes <= REPORT_HTML_MAX_IMAGE_TEXT);
        assert_int_equal(images.n_items < REPORT_HTML_MAX_IMAGES, CASES[i].fills_bytes);
        report_html_images_print(&out, &images, 100);
        must_have(&out, "a &lt;fox&gt;");
        char *told = xasprintf("The first %zu of 100 images; %zu are left out.", images.n_items,
                               100 - images.n_items);
        must_have(&out, told);
        free(told);
        report_html_images_free(&images);
        image_free(&pixels);
        buf_free(&file);
        buf_free(&out);
    }
}

static void large_pictures_are_shown_shrunk(void **state)
{
    (void)state;
    struct report_html_images images = {0};
    struct image pixels;
    struct buf file = {0}, shown = {0};
    int width, height;
    make_picture(&pixels, &file, 600, 300);
    assert_true(file.size > REPORT_HTML_SMALL_FILE);
    report_html_images_add(&images, file.data, file.size, &pixels, NULL, 12);
    assert_int_equal(images.n_items, 1);
    assert_string_equal(images.items[0].mime, "image/jpeg");
    assert_true(base64_decode(&shown, images.items[0].text.data, images.items[0].text.size, NULL));
    assert_true(image_probe(shown.data, shown.size, &width, &height, NULL));
    assert_int_equal(width, 256);
    assert_int_equal(height, 128);
    assert_int_equal(images.items[0].width_px, 600); /* the caption tells the true size */
    report_html_images_free(&images);
    image_free(&pixels);
    buf_free(&file);
    buf_free(&shown);
}

/* ---- the page ------------------------------------------------------------------------------- */

static void same_number(double a, double b)
{
    if (!(a == b || (isnan(a) && isnan(b))))
        fail_msg("%.17g is not %.17g", a, b);
}

static void metrics_survive_the_way_through_the_summary(void **state)
{
    (void)state;
    struct run_fixture f;
    struct buf text = {0};
    struct metrics m;
    run_fixture_init(&f);
    const struct metrics *want = &f.report.phases[0].metrics;
    report_json(&text, &f.report, &f.report.phases[0]);
    struct json *summary = json_parse(text.data, text.size, NULL);
    report_html_read_metrics(&m, summary);
    assert_int_equal(m.n_values, want->n_values);
    for (size_t i = 0; i < m.n_values; i++) {
        const struct metric_value *a = &m.values[i], *b = &want->values[i];
        assert_ptr_equal(a->metric, b->metric);
        for (const char *const *name = REPORT_STATS; *name; name++)
            same_number(report_stat(a, *name), report_stat(b, *name));
        assert_int_equal(a->has_quantiles, b->has_quantiles);
        for (size_t k = 0; k < N_QUANTILES && a->has_quantiles; k++) {
            same_number(a->quantiles[k].value, b->quantiles[k].value);
            same_number(a->quantiles[k].low, b->quantiles[k].low);
            same_number(a->quantiles[k].high, b->quantiles[k].high);
        }
    }
    metrics_free(&m);
    json_free(summary);
    buf_free(&text);
    run_fixture_free(&f);
}

static void page_has_the_run_and_no_markup_of_others(void **state)
{
    (void)state;
    struct run_fixture f;
    struct buf summary = {0}, manifest = {0}, page = {0};
    struct report_html_images images = {0};
    struct error err = {0};
    run_fixture_init(&f);
    f.options.model = "</title><script>alert(1)</script>";
    f.options.cli_command = "fluxperf profile --model '<script>'";
    report_json(&summary, &f.report, &f.report.phases[0]);
    buf_puts(&manifest, "{\"server\": {\"build\": \"<i>server</i>\"}}");
    if (!report_html(&page, &f.report, &summary, &manifest, &(struct buf){0}, &images, &err))
        fail_msg("%s", err.text);
    assert_null(strstr(page.data, "<script"));
    assert_null(strstr(page.data, "<i>server"));
    must_have(&page, "<h1>&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;</h1>");
    must_have(&page, "1 of 4 requests failed");
    must_have(&page, "{&quot;error&quot;:&quot;busy&quot;}");
    must_have(&page, "&lt;i&gt;server&lt;/i&gt;");
    must_have(&page, "<th>Request Latency <small>ms</small></th><td>200.00</td><td>100.00</td>");
    must_have(&page, "n&lt;368");
    must_have(&page, "Latency over time");
    buf_free(&summary);
    buf_free(&manifest);
    buf_free(&page);
    run_fixture_free(&f);
}

static void malformed_summary_is_named(void **state)
{
    (void)state;
    struct run_fixture f;
    struct buf summary = {0}, page = {0};
    struct report_html_images images = {0};
    struct error err = {0};
    run_fixture_init(&f);
    buf_puts(&summary, "{");
    assert_false(
        report_html(&page, &f.report, &summary, &summary, &(struct buf){0}, &images, &err));
    assert_memory_equal(err.text, "report.html: ", 13);
    buf_free(&summary);
    buf_free(&page);
    run_fixture_free(&f);
}

static void page_without_requests_says_so(void **state)
{
    (void)state;
    struct buf page = {0};
    struct report_html_images images = {0};
    struct json *summary = json_new_object();
    struct report_html_data *d = gather(NULL, 0);
    report_html_print(&page, summary, NULL, NULL, d, &images);
    must_have(&page, "No request was completed");
    assert_null(strstr(page.data, "<svg"));
    release(d);
    json_free(summary);
    buf_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markup_is_escaped),
        cmocka_unit_test(numbers_have_four_figures_at_most),
        cmocka_unit_test(columns_hold_least_middle_and_greatest),
        cmocka_unit_test(order_does_not_change_the_charts),
        cmocka_unit_test(charts_of_many_requests_stay_small),
        cmocka_unit_test(few_requests_are_dots),
        cmocka_unit_test(levels_are_means_over_time),
        cmocka_unit_test(what_the_server_does_not_name_is_other),
        cmocka_unit_test(band_has_the_ends_of_order_statistics),
        cmocka_unit_test(band_is_missing_where_the_sample_is_too_small),
        cmocka_unit_test(pictures_are_bounded_in_number_and_bytes),
        cmocka_unit_test(large_pictures_are_shown_shrunk),
        cmocka_unit_test(metrics_survive_the_way_through_the_summary),
        cmocka_unit_test(page_has_the_run_and_no_markup_of_others),
        cmocka_unit_test(malformed_summary_is_named),
        cmocka_unit_test(page_without_requests_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
