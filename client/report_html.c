#include "client/report_html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/report_html_chart.h"
#include "client/report_html_charts.h"
#include "client/report_html_page.h"
#include "client/report_html_tables.h"
#include "client/report_html_telemetry.h"

#define MAX_FAILURES 50
#define MAX_MESSAGE 1200 /* characters */

/* ---- reading the summary -------------------------------------------------------------------- */

/* The member at a path of keys; a number goes into an array. NULL: there is none. */
static const struct json *find(const struct json *node, const char *const *path)
{
    for (; node && *path; path++) {
        if (json_type(node) == JSON_ARRAY)
            node = json_first(node); /* only first items are ever asked for */
        else
            node = json_get(node, *path);
    }
    return node;
}

static const char *text_at(const struct json *node, const char *const *path)
{
    const struct json *found = find(node, path);
    return found && json_type(found) == JSON_STRING ? json_string(found) : NULL;
}

#define TEXT(node, ...) text_at(node, (const char *const[]){__VA_ARGS__, NULL})

static double value_of(const struct metrics *m, const char *tag)
{
    const struct metric_value *v = metrics_get(m, tag);
    return v && !isnan(v->stats.avg) ? v->stats.avg : 0;
}

/* ---- head ----------------------------------------------------------------------------------- */

static void put_fact(struct buf *out, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    buf_printf(out, "<span>%s <b>", name);
    report_html_escape(out, text);
    buf_puts(out, "</b></span>\n");
}

/* All addresses in one text. */
static void put_urls(struct buf *out, const struct json *summary)
{
    static const char *const PATH[] = {"input_config", "endpoint", "urls", NULL};
    const struct json *urls = find(summary, PATH);
    struct buf text = {0};
    for (const struct json *url = json_first(urls); url; url = json_next(url)) {
        if (json_type(url) == JSON_STRING)
            buf_printf(&text, "%s%s", text.size ? ", " : "", json_string(url));
    }
    put_fact(out, "URL", text.data);
    buf_free(&text);
}

/* 2026-01-31T12:00:00.123456 as 2026-01-31 12:00:00. */
static void put_start(struct buf *out, const char *start)
{
    char text[20] = {0};
    if (!start)
        return;
    strncpy(text, start, sizeof text - 1);
    if (strlen(text) > 10 && text[10] == 'T')
        text[10] = ' ';
    put_fact(out, "Started", text);
}

static void put_header(struct buf *out, const struct json *summary, const struct json *manifest)
{
    const char *model = TEXT(summary, "input_config", "models", "items", "0", "name");
    const char *command = TEXT(summary, "run_info", "cli_command");
    buf_puts(out, "<header>\n<div class=\"brand\">fluxperf report</div>\n<h1>");
    report_html_escape(out, model ? model : "unnamed model");
    buf_puts(out, "</h1>\n<div class=\"facts\">\n");
    put_urls(out, summary);
    put_start(out, TEXT(summary, "start_time"));
    put_fact(out, "Server", TEXT(manifest, "server", "build"));
    put_fact(out, "Client CPU", TEXT(manifest, "host", "cpu"));
    buf_puts(out, "</div>\n");
    if (command) {
        buf_puts(out, "<pre>");
        report_html_escape(out, command);
        buf_puts(out, "</pre>\n");
    }
    buf_puts(out, "</header>\n");
}

/* ---- verdict -------------------------------------------------------------------------------- */

static void put_count(struct buf *out, double n, const char *what)
{
    buf_puts(out, "<span><b>");
    report_html_number(out, n);
    buf_printf(out, "</b> %s</span>\n", what);
}

static void put_verdict(struct buf *out, const struct json *summary, const struct metrics *m)
{
    double n_dropped = value_of(m, "request_cancellation_count"); /* on purpose: no failure */
    double n_failed = value_of(m, "error_request_count") - n_dropped;
    double n_late = value_of(m, "late_request_count");
    double n_unsent = value_of(m, "unsent_request_count");
    double n_canceled = value_of(m, "canceled_request_count");
    double n_all = n_failed + value_of(m, "request_count");
    bool is_empty = n_all + n_dropped == 0;
    const char *why = TEXT(summary, "incomplete_reason");
    bool is_bad = n_failed > 0 || why || is_empty;
    bool is_warning = n_late + n_unsent + n_canceled > 0;
    buf_printf(out, "<section class=\"verdict %s\">\n<b>",
               is_bad       ? "bad"
               : is_warning ? "warn"
                            : "good");
    if (n_all == 0) {
        buf_puts(out, is_empty ? "No request was completed" : "All were canceled on purpose");
    } else if (n_failed > 0) {
        report_html_number(out, n_failed);
        buf_puts(out, " of ");
        report_html_number(out, n_all);
        buf_puts(out, " requests failed");
    } else {
        buf_puts(out, n_all == 1 ? "The only request succeeded" : "All ");
        if (n_all != 1) {
            report_html_number(out, n_all);
            buf_puts(out, " requests succeeded");
        }
    }
    if (why) {
        buf_puts(out, "; the run is incomplete: ");
        report_html_escape(out, why);
    }
    buf_puts(out, "</b>\n");
    put_count(out, n_failed, "errors");
    if (metrics_get(m, "late_request_count")) /* other programs' summaries don't tell */
        put_count(out, n_late, "late");
    if (metrics_get(m, "unsent_request_count"))
        put_count(out, n_unsent, "unsent");
    if (n_dropped > 0)
        put_count(out, n_dropped, "canceled on purpose");
    if (n_canceled > 0)
        put_count(out, n_canceled, "canceled");
    buf_puts(out, "</section>\n");
}

/* ---- failures ------------------------------------------------------------------------------- */

static void put_text_cell(struct buf *out, const char *class, const char *text)
{
    struct buf clean = {0};
    report_clean_text(&clean, text ? text : "", MAX_MESSAGE);
    buf_printf(out, "<td class=\"%s\">", class);
    report_html_escape(out, clean.data ? clean.data : "");
    buf_puts(out, "</td>");
    buf_free(&clean);
}

static void put_failures(struct buf *out, const struct json *summary)
{
    const struct json *failure = json_first(json_get(summary, "error_summary"));
    if (!failure)
        return;
    buf_puts(out, "<h2>Failures</h2>\n<div class=\"scroll\"><table><thead><tr><th>Type</th>"
                  "<th>Code</th><th style=\"text-align:left\">Message</th><th>Count</th></tr>"
                  "</thead><tbody>\n");
    size_t n = 0, n_all = json_size(json_get(summary, "error_summary"));
    for (; failure && n < MAX_FAILURES; failure = json_next(failure), n++) {
        const struct json *details = json_get(failure, "error_details");
        const struct json *code = json_get(details, "code"), *count = json_get(failure, "count");
        buf_puts(out, "<tr>");
        put_text_cell(out, "name", TEXT(details, "type"));
        buf_puts(out, "<td>");
        if (code && json_type(code) == JSON_NUMBER)
            buf_printf(out, "%g", json_number(code));
        buf_puts(out, "</td>");
        put_text_cell(out, "text", TEXT(details, "message"));
        buf_puts(out, "<td>");
        if (count && json_type(count) == JSON_NUMBER)
            report_html_number(out, json_number(count));
        buf_puts(out, "</td></tr>\n");
    }
    buf_puts(out, "</tbody></table></div>\n");
    if (n < n_all)
        buf_printf(out, "<p class=\"about\">%zu other failures are in the summary.</p>\n",
                   n_all - n);
}

/* ---- the page ------------------------------------------------------------------------------- */

void report_html_print(struct buf *out, const struct json *summary, const struct json *manifest,
                       const struct json *series, const struct report_html_data *data,
                       const struct report_html_images *images)
{
    struct metrics m;
    report_html_read_metrics(&m, summary);
    const char *model = TEXT(summary, "input_config", "models", "items", "0", "name");
    report_html_page_begin(out, model ? model : "report");
    put_header(out, summary, manifest);
    put_verdict(out, summary, &m);
    report_html_insight(out, summary);
    report_html_tiles(out, &m);
    buf_puts(out, "<section class=\"charts\">\n");
    report_html_charts(out, data);
    buf_puts(out, "</section>\n");
    report_html_telemetry(out, series);
    put_failures(out, summary);
    report_html_tables(out, &m);
    report_html_images_print(out, images, (size_t)value_of(&m, "images_decoded"));
    buf_puts(out, "<footer>");
    report_html_escape(out, TEXT(summary, "generator") ? TEXT(summary, "generator") : "fluxperf");
    buf_puts(out, " · run ");
    report_html_escape(out,
                       TEXT(summary, "benchmark_id") ? TEXT(summary, "benchmark_id") : "unnamed");
    buf_puts(out, "</footer>\n");
    report_html_page_end(out);
    metrics_free(&m);
}

bool report_html(struct buf *out, const struct report *r, const struct buf *summary,
                 const struct buf *manifest, const struct buf *series,
                 const struct report_html_images *images, struct error *err)
{
    struct json *tree = json_parse(summary->data, summary->size, err);
    struct json *made = tree ? json_parse(manifest->data, manifest->size, err) : NULL;
    struct json *charts =
        made && series->size > 0 ? json_parse(series->data, series->size, err) : NULL;
    bool ok = made && (charts || series->size == 0);
    if (ok) {
        struct report_html_data *data = xcalloc(1, sizeof *data);
        report_html_data_fill(data, report_main_phase(r));
        report_html_print(out, tree, made, charts, data, images);
        report_html_data_free(data);
        free(data);
    }
    json_free(tree);
    json_free(made);
    json_free(charts);
    return ok || error_prefix(err, REPORT_HTML_FILE);
}
