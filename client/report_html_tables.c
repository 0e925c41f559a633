#include "client/report_html_tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/report.h"
#include "client/report_html_chart.h"

/* ---- reading -------------------------------------------------------------------------------- */

/* NaN when the object has no such number. */
static double number_of(const struct json *object, const char *key)
{
    const struct json *value = json_get(object, key);
    return value && json_type(value) == JSON_NUMBER ? json_number(value) : NAN;
}

static void read_quantiles(struct metric_value *v, const struct json *intervals)
{
    char key[16];
    v->has_quantiles = intervals && json_type(intervals) == JSON_OBJECT;
    for (size_t i = 0; i < N_QUANTILES && v->has_quantiles; i++) {
        snprintf(key, sizeof key, "p%g", QUANTILE_RANKS[i]);
        const struct json *q = json_get(intervals, key);
        v->quantiles[i] = (struct quantile){.value = number_of(q, "value"),
                                            .low = number_of(q, "low"),
                                            .high = number_of(q, "high")};
    }
}

static bool read_metric(struct metric_value *v, const struct metric *m, const struct json *summary)
{
    char key[16];
    const struct json *object = json_get(summary, m->tag);
    if (!object || json_type(object) != JSON_OBJECT)
        return false;
    double count = number_of(object, "count");
    *v = (struct metric_value){.metric = m};
    v->stats = (struct stats){.count = count > 0 ? (size_t)count : 0,
                              .sum = number_of(object, "sum"),
                              .avg = number_of(object, "avg"),
                              .min = number_of(object, "min"),
                              .max = number_of(object, "max"),
                              .std = number_of(object, "std")};
    for (size_t i = 0; i < STATS_PERCENTILES; i++) {
        snprintf(key, sizeof key, "p%g", STATS_RANKS[i]);
        v->stats.p[i] = number_of(object, key);
    }
    read_quantiles(v, json_get(json_get(summary, "percentile_intervals"), m->tag));
    return true;
}

void report_html_read_metrics(struct metrics *out, const struct json *summary)
{
    *out = (struct metrics){.values = xcalloc(N_METRICS, sizeof *out->values)};
    for (size_t i = 0; i < N_METRICS; i++)
        out->n_values += read_metric(&out->values[out->n_values], &METRICS[i], summary);
}

/* ---- tiles ---------------------------------------------------------------------------------- */

/* A figure and, small below it, its interval or what it is. index: of QUANTILE_RANKS, or -1 for the
 * only value of the metric. */
struct tile {
    const char *tag, *title, *unit;
    int index;
};

static const struct tile TILES[] = {
    {"request_throughput", "Throughput", "requests/s", -1},
    {"image_throughput", "Images", "images/s", -1},
    {"goodput", "Goodput", "requests/s", -1},
    {"response_time", "Response p50", "ms", 4},
    {"response_time", "Response p95", "ms", 7},
    {"response_time", "Response p99", "ms", 8},
};

static void put_tile(struct buf *out, const struct tile *tile, const struct metric_value *v)
{
    const struct quantile *q = tile->index >= 0 ? &v->quantiles[tile->index] : NULL;
    buf_printf(out, "<div class=\"tile\"><span>%s</span><b>", tile->title);
    if (q && (isnan(q->low) || isnan(q->high))) {
        buf_printf(out, "n&lt;%zu</b><small>too few requests</small></div>\n",
                   quantile_needs(QUANTILE_RANKS[tile->index]));
        return;
    }
    report_html_number(out, q ? q->value : v->stats.avg);
    buf_printf(out, " <em>%s</em></b><small>", tile->unit);
    if (q) {
        buf_puts(out, "95 %: ");
        report_html_number(out, q->low);
        buf_puts(out, " – ");
        report_html_number(out, q->high);
    } else {
        buf_puts(out, "over the whole run");
    }
    buf_puts(out, "</small></div>\n");
}

void report_html_tiles(struct buf *out, const struct metrics *m)
{
    buf_puts(out, "<section class=\"tiles\">\n");
    for (size_t i = 0; i < sizeof TILES / sizeof TILES[0]; i++) {
        const struct metric_value *v = metrics_get(m, TILES[i].tag);
        if (v && (TILES[i].index < 0 || v->has_quantiles))
            put_tile(out, &TILES[i], v);
    }
    buf_puts(out, "</section>\n");
}

/* ---- tables --------------------------------------------------------------------------------- */

static const struct {
    enum metric_table table;
    const char *title;
} SECTIONS[] = {
    {TABLE_MAIN, "Image generation"}, {TABLE_TIMING, "Response and service time"},
    {TABLE_STAGES, "Server stages"},  {TABLE_IMAGES, "Images"},
    {TABLE_EFFECTIVE, "Effective"},   {TABLE_USAGE, "Usage"},
};
static const char *const COLUMNS[] = {"avg", "min", "p50", "p90", "p95", "p99", "max", "std"};
#define N_COLUMNS (sizeof COLUMNS / sizeof COLUMNS[0])

static void put_cell(struct buf *out, double value)
{
    char *text = isnan(value) ? xstrdup("") : report_format_number(value);
    buf_printf(out, "<td>%s</td>", text);
    free(text);
}

/* As put_cell, but counts without a fraction. */
static void put_stat(struct buf *out, const struct metric_value *v, double value)
{
    char *text = isnan(value) ? xstrdup("") : report_format_number(value);
    if (v->metric->kind == METRIC_SCALAR && value == floor(value))
        text[strcspn(text, ".")] = '\0';
    buf_printf(out, "<td>%s</td>", text);
    free(text);
}

static void put_row(struct buf *out, const struct metric_value *v)
{
    buf_puts(out, "<tr><th>");
    report_html_escape(out, v->metric->name);
    buf_puts(out, " <small>");
    report_html_escape(out, v->metric->unit);
    buf_puts(out, "</small></th>");
    for (size_t k = 0; k < N_COLUMNS; k++)
        put_stat(out, v, report_stat(v, COLUMNS[k]));
    buf_puts(out, "</tr>\n");
}

static bool has_section(const struct metrics *m, enum metric_table table)
{
    for (size_t i = 0; i < m->n_values; i++) {
        if (m->values[i].metric->table == table)
            return true;
    }
    return false;
}

static void put_metric_table(struct buf *out, const struct metrics *m)
{
    buf_puts(out, "<div class=\"scroll\"><table><thead><tr><th>Metric</th>");
    for (size_t k = 0; k < N_COLUMNS; k++)
        buf_printf(out, "<th>%s</th>", COLUMNS[k]);
    buf_puts(out, "</tr></thead>\n");
    for (size_t s = 0; s < sizeof SECTIONS / sizeof SECTIONS[0]; s++) {
        if (!has_section(m, SECTIONS[s].table))
            continue;
        buf_printf(out, "<tbody><tr class=\"section\"><th colspan=\"%zu\">%s</th></tr>\n",
                   N_COLUMNS + 1, SECTIONS[s].title);
        for (size_t i = 0; i < m->n_values; i++) {
            if (m->values[i].metric->table == SECTIONS[s].table)
                put_row(out, &m->values[i]);
        }
        buf_puts(out, "</tbody>\n");
    }
    buf_puts(out, "</table></div>\n");
}

static const char *const SHOWN[] = {"response_time", "service_time", "request_latency"};
#define N_SHOWN (sizeof SHOWN / sizeof SHOWN[0])

static void put_interval(struct buf *out, const struct metric_value *v, size_t index)
{
    const struct quantile *q = v ? &v->quantiles[index] : NULL;
    if (!q) {
        buf_puts(out, "<td></td><td></td>");
    } else if (isnan(q->low) || isnan(q->high)) {
        buf_printf(out, "<td class=\"weak\">n&lt;%zu</td><td></td>",
                   quantile_needs(QUANTILE_RANKS[index]));
    } else {
        char *low = report_format_number(q->low), *high = report_format_number(q->high);
        put_cell(out, q->value);
        buf_printf(out, "<td class=\"weak\">%s – %s</td>", low, high);
        free(low);
        free(high);
    }
}

static void put_percentiles(struct buf *out, const struct metrics *m)
{
    const struct metric_value *values[N_SHOWN];
    bool is_any = false;
    for (size_t k = 0; k < N_SHOWN; k++) {
        values[k] = metrics_get(m, SHOWN[k]);
        if (values[k] && !values[k]->has_quantiles)
            values[k] = NULL;
        is_any |= values[k] != NULL;
    }
    if (!is_any)
        return;
    buf_puts(out, "<h2>Percentiles with 95 % intervals</h2>\n<p class=\"about\">n&lt;N: it takes N "
                  "requests to know.</p>\n<div class=\"scroll\"><table><thead><tr><th></th>");
    for (size_t k = 0; k < N_SHOWN; k++)
        buf_printf(out, "<th>%s <small>ms</small></th><th>95 %% interval</th>",
                   metric_find(SHOWN[k])->name);
    buf_puts(out, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < N_QUANTILES; i++) {
        buf_printf(out, "<tr><th>p%g</th>", QUANTILE_RANKS[i]);
        for (size_t k = 0; k < N_SHOWN; k++)
            put_interval(out, values[k], i);
        buf_puts(out, "</tr>\n");
    }
    buf_puts(out, "</tbody></table></div>\n");
}

void report_html_tables(struct buf *out, const struct metrics *m)
{
    buf_puts(out, "<h2>Metrics</h2>\n");
    put_metric_table(out, m);
    put_percentiles(out, m);
}
