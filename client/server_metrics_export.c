/* The files of server_metrics.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "client/server_metrics.h"

/* In the order of STATS_RANKS. */
static const char *const RANKS[STATS_PERCENTILES] = {"p1",  "p5",  "p10", "p25", "p50",
                                                     "p75", "p90", "p95", "p99"};

static bool is_dimension(const struct prometheus_label *label, enum prometheus_type type)
{
    bool has_parts = type == PROMETHEUS_HISTOGRAM || type == PROMETHEUS_SUMMARY;
    return !has_parts || (strcmp(label->name, "le") != 0 && strcmp(label->name, "quantile") != 0);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static struct json *level_of(const struct timeline_level *level)
{
    struct json *o = json_new_object();
    json_set_known(o, "avg", level->stats.avg);
    json_set_known(o, "min", level->stats.min);
    json_set_known(o, "max", level->stats.max);
    json_set_known(o, "std", level->stats.std);
    for (size_t i = 0; i < STATS_PERCENTILES; i++)
        json_set_known(o, RANKS[i], level->stats.p[i]);
    json_set_known(o, "last", level->last);
    return o;
}

static struct json *stats_of(const struct server_metric *m)
{
    struct json *o = json_new_object();
    switch (m->type) {
    case PROMETHEUS_COUNTER:
        json_set_known(o, "total", m->rise);
        json_set_known(o, "rate", m->rise / m->seconds);
        return o;
    case PROMETHEUS_HISTOGRAM:
    case PROMETHEUS_SUMMARY:
        json_set_known(o, "count", m->count);
        json_set_known(o, "sum", m->sum);
        json_set_known(o, "avg", m->count > 0 ? m->sum / m->count : NAN);
        json_set_known(o, "count_rate", m->count / m->seconds);
        json_set_known(o, "sum_rate", m->sum / m->seconds);
        for (size_t i = 0; i < STATS_PERCENTILES; i++) {
            char key[24];
            snprintf(key, sizeof key, "%s_estimate", RANKS[i]);
            json_set_known(o, key, m->estimates[i]);
        }
        return o;
    default:
        json_free(o);
        return level_of(&m->level);
    }
}

static struct json *series_of(const struct server_metric *m)
{
    struct json *series = json_new_object();
    json_set(series, "endpoint_url", json_new_string(m->source->url));
    struct json *labels = json_new_object();
    for (size_t i = 0; i < m->n_labels; i++) {
        if (is_dimension(&m->labels[i], m->type))
            json_set(labels, m->labels[i].name, json_new_string(m->labels[i].value));
    }
    if (json_size(labels) > 0)
        json_set(series, "labels", labels);
    else
        json_free(labels);
    json_set(series, "stats", stats_of(m));
    if (m->n_buckets > 0) {
        struct json *buckets = json_new_object();
        for (size_t i = 0; i < m->n_buckets; i++)
            json_set_known(buckets, m->buckets[i].le, m->buckets[i].count);
        json_set(series, "buckets", buckets);
    }
    return series;
}

static struct json *metrics_of(const struct server_metrics *list)
{
    struct json *metrics = json_new_object(), *last = NULL;
    for (size_t i = 0; i < list->n; i++) {
        const struct server_metric *m = &list->items[i];
        /* series of a family mostly follow each other, which saves a search through all */
        struct json *metric = i > 0 && strcmp(m->name, list->items[i - 1].name) == 0
                                  ? last
                                  : (struct json *)json_get(metrics, m->name);
        if (!metric) {
            const char *unit = server_metrics_unit(m->name);
            metric = json_new_object();
            json_set(metric, "type", json_new_string(PROMETHEUS_TYPE_NAME[m->type]));
            json_set(metric, "description", json_new_string(m->help));
            json_set(metric, "unit", unit ? json_new_string(unit) : json_new_null());
            json_set(metric, "series", json_new_array());
            json_set(metrics, m->name, metric);
        }
        json_push((struct json *)json_get(metric, "series"), series_of(m));
        last = metric;
    }
    return metrics;
}

static struct json *info_of(const struct telemetry_source *s, int64_t offset_ns)
{
    struct json *o = json_new_object();
    double n_gaps = (double)(s->n_updates - 1);
    json_set(o, "total_fetches", json_new_int(s->n_looks));
    json_set(o, "first_fetch_ns", json_new_int(s->first_ns + offset_ns));
    json_set(o, "last_fetch_ns", json_new_int(s->last_ns + offset_ns));
    json_set_known(o, "avg_fetch_latency_ms",
                   clock_seconds(s->latency_ns) * 1000 / (double)s->n_looks);
    json_set(o, "unique_updates", json_new_int(s->n_updates));
    json_set(o, "first_update_ns", json_new_int(s->first_update_ns + offset_ns));
    json_set(o, "last_update_ns", json_new_int(s->last_update_ns + offset_ns));
    json_set_known(o, "duration_seconds", clock_seconds(s->last_ns - s->first_ns));
    json_set_known(
        o, "avg_update_interval_ms",
        n_gaps > 0 ? clock_seconds(s->last_update_ns - s->first_update_ns) * 1000 / n_gaps : 0);
    return o;
}

static struct json *summary_of(const struct report *r, const char *start, const char *end)
{
    struct json *o = json_new_object(), *configured = json_new_array();
    struct json *successful = json_new_array(), *info = json_new_object();
    for (size_t i = 0; i < r->telemetry->n_sources; i++) {
        const struct telemetry_source *s = &r->telemetry->sources[i];
        if (s->kind != TELEMETRY_SERVER)
            continue;
        json_push(configured, json_new_string(s->url));
        if (s->n_looks == 0)
            continue;
        json_push(successful, json_new_string(s->url));
        json_set(info, s->url, info_of(s, r->unix_offset_ns));
    }
    json_set(o, "endpoints_configured", configured);
    json_set(o, "endpoints_successful", successful);
    json_set(o, "start_time", json_new_string(start));
    json_set(o, "end_time", json_new_string(end));
    json_set(o, "endpoint_info", info);
    return o;
}

void server_metrics_json(struct buf *out, const struct server_metrics *m, const struct report *r)
{
    const struct load_result *load = &report_main_phase(r)->load;
    char start[REPORT_DATE_SIZE], end[REPORT_DATE_SIZE];
    report_date(start, load->start_ns + r->unix_offset_ns);
    report_date(end, load->end_ns + r->unix_offset_ns);
    struct json *root = json_new_object();
    json_set(root, "schema_version", json_new_string(SERVER_METRICS_SCHEMA_VERSION));
    json_set(root, "aiperf_version", json_new_string(FLUXBENCH_VERSION "+fluxperf"));
    json_set(root, "benchmark_id", json_new_string(r->benchmark_id));
    json_set(root, "summary", summary_of(r, start, end));
    json_set(root, "metrics_phase", json_new_string("profiling"));
    json_set(root, "metrics", metrics_of(m));
    json_print(out, root, 2);
    json_free(root);
}

/* ---- CSV ------------------------------------------------------------------------------------ */

#define MAX_LABEL_COLUMNS 64

struct section {
    enum prometheus_type type;
    const char *const *stats; /* NULL at the end */
};

static const char *const GAUGE_STATS[] = {"avg", "min", "max", "std", "p1",  "p5",  "p10",
                                          "p25", "p50", "p75", "p90", "p95", "p99", NULL};
static const char *const COUNTER_STATS[] = {"total", "rate", NULL};
static const char *const HISTOGRAM_STATS[] = {
    "count",        "count_rate",   "sum",          "sum_rate",     "avg",
    "p1_estimate",  "p5_estimate",  "p10_estimate", "p25_estimate", "p50_estimate",
    "p75_estimate", "p90_estimate", "p95_estimate", "p99_estimate", NULL};
static const struct section SECTIONS[] = {
    {PROMETHEUS_GAUGE, GAUGE_STATS},         {PROMETHEUS_COUNTER, COUNTER_STATS},
    {PROMETHEUS_HISTOGRAM, HISTOGRAM_STATS}, {PROMETHEUS_SUMMARY, HISTOGRAM_STATS},
    {PROMETHEUS_UNKNOWN, GAUGE_STATS},
};

/* The labels that the metrics of a section have, in the order of their first appearance. */
static size_t gather_labels(const struct server_metrics *list, enum prometheus_type type,
                            const char *names[MAX_LABEL_COLUMNS])
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct server_metric *m = &list->items[i];
        for (size_t k = 0; m->type == type && k < m->n_labels; k++) {
            size_t at = 0;
            while (at < n && strcmp(names[at], m->labels[k].name) != 0)
                at++;
            if (at == n && n < MAX_LABEL_COLUMNS && is_dimension(&m->labels[k], type))
                names[n++] = m->labels[k].name;
        }
    }
    return n;
}

static const char *label_of(const struct server_metric *m, const char *name)
{
    for (size_t i = 0; i < m->n_labels; i++) {
        if (strcmp(m->labels[i].name, name) == 0)
            return m->labels[i].value;
    }
    return "";
}

static void put_row(struct buf *out, const struct server_metric *m, const struct section *section,
                    const char *const *names, size_t n_names)
{
    struct buf endpoint = {0}, number = {0};
    const char *unit = server_metrics_unit(m->name);
    struct json *stats = stats_of(m);
    server_metrics_put_endpoint(&endpoint, m->source->url);
    report_csv_cell(out, endpoint.data ? endpoint.data : "");
    buf_printf(out, ",%s,%s,%s", PROMETHEUS_TYPE_NAME[m->type], m->name, unit ? unit : "");
    for (size_t i = 0; section->stats[i]; i++) {
        const struct json *value = json_get(stats, section->stats[i]);
        buf_putc(out, ',');
        if (value) { /* a tree that was built tells its numbers as text only */
            buf_clear(&number);
            json_print(&number, value, 0);
            buf_printf(out, "%.4f", strtod(number.data, NULL));
        }
    }
    for (size_t i = 0; i < n_names; i++) {
        buf_putc(out, ',');
        report_csv_cell(out, label_of(m, names[i]));
    }
    buf_putc(out, ',');
    report_csv_cell(out, m->help);
    if (section->type == PROMETHEUS_HISTOGRAM) {
        buf_putc(out, ',');
        for (size_t i = 0; i < m->n_buckets; i++)
            buf_printf(out, "%s%s=%.0f", i ? ";" : "", m->buckets[i].le, m->buckets[i].count);
    }
    buf_puts(out, "\r\n");
    json_free(stats);
    buf_free(&endpoint);
    buf_free(&number);
}

void server_metrics_csv(struct buf *out, const struct server_metrics *list, const struct report *r)
{
    bool is_first = true;
    buf_printf(out,
               "# AIPerf Server Metrics Export (CSV)\n# aiperf_version: %s\n"
               "# schema_version: 1.0\n# benchmark_id: %s\n#\n",
               FLUXBENCH_VERSION "+fluxperf", r->benchmark_id);
    for (size_t s = 0; s < sizeof SECTIONS / sizeof SECTIONS[0]; s++) {
        const char *names[MAX_LABEL_COLUMNS];
        size_t n_names = gather_labels(list, SECTIONS[s].type, names), n = 0;
        for (size_t i = 0; i < list->n; i++) {
            if (list->items[i].type != SECTIONS[s].type)
                continue;
            if (n++ == 0) {
                buf_printf(out, "%sEndpoint,Type,Metric,Unit", is_first ? "" : "\r\n");
                for (size_t k = 0; SECTIONS[s].stats[k]; k++)
                    buf_printf(out, ",%s", SECTIONS[s].stats[k]);
                for (size_t k = 0; k < n_names; k++) {
                    buf_putc(out, ',');
                    report_csv_cell(out, names[k]);
                }
                buf_printf(out, ",Description%s\r\n",
                           SECTIONS[s].type == PROMETHEUS_HISTOGRAM ? ",buckets" : "");
            }
            put_row(out, &list->items[i], &SECTIONS[s], names, n_names);
            is_first = false;
        }
    }
}
