#include "client/server_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---------------------------------------------------------------------------------- */

static bool ends_in(const char *name, const char *tail)
{
    size_t n = strlen(name), k = strlen(tail);
    return n > k && strcmp(name + n - k, tail) == 0;
}

const char *server_metrics_unit(const char *name)
{
    static const struct {
        const char *tail, *unit;
    } UNITS[] = {
        {"_seconds", "seconds"},   {"_milliseconds", "milliseconds"},
        {"_ms", "milliseconds"},   {"_nanoseconds", "nanoseconds"},
        {"_ns", "nanoseconds"},    {"_bytes", "bytes"},
        {"_requests", "requests"}, {"_tokens", "tokens"},
        {"_errors", "errors"},     {"_ratio", "ratio"},
        {"_percent", "percent"},   {"_celsius", "celsius"},
        {"_joules", "joules"},     {"_watts", "watts"},
        {"_count", "count"},
    };
    for (size_t i = 0; i < sizeof UNITS / sizeof UNITS[0]; i++) {
        if (ends_in(name, UNITS[i].tail))
            return UNITS[i].unit;
    }
    return NULL;
}

void server_metrics_put_endpoint(struct buf *out, const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t n = strcspn(host, "?");
    if (n >= 8 && memcmp(host + n - 8, "/metrics", 8) == 0)
        n -= 8;
    buf_append(out, host, n);
}

/* ---- histograms ----------------------------------------------------------------------------- */

static int compare_bounds(const void *a, const void *b)
{
    double x = ((const struct server_metric_bucket *)a)->bound;
    double y = ((const struct server_metric_bucket *)b)->bound;
    return (x > y) - (x < y);
}

double server_metrics_quantile(const struct server_metric_bucket *buckets, size_t n, double share)
{
    double total = n > 0 ? buckets[n - 1].count : 0;
    if (!(total > 0))
        return NAN;
    double rank = share * total;
    size_t i = 0;
    while (i + 1 < n && buckets[i].count < rank)
        i++;
    double low = i > 0 ? buckets[i - 1].bound : fmin(buckets[0].bound, 0);
    double below = i > 0 ? buckets[i - 1].count : 0;
    if (isinf(buckets[i].bound))
        return i > 0 ? low : NAN;
    double inside = buckets[i].count - below;
    return inside > 0 ? low + (buckets[i].bound - low) * (rank - below) / inside : low;
}

/* The same labels but for le. */
static bool is_same_histogram(const struct server_metric *m, const struct timeline_series *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_labels; i++) {
        if (strcmp(s->labels[i].name, "le") == 0)
            continue;
        bool is_found = false;
        for (size_t k = 0; k < m->n_labels && !is_found; k++)
            is_found = strcmp(m->labels[k].name, s->labels[i].name) == 0 &&
                       strcmp(m->labels[k].value, s->labels[i].value) == 0;
        if (!is_found)
            return false;
        n++;
    }
    size_t n_own = 0;
    for (size_t k = 0; k < m->n_labels; k++)
        n_own += strcmp(m->labels[k].name, "le") != 0;
    return n == n_own;
}

static void add_bucket(struct server_metric *m, const struct timeline_series *s, double rise)
{
    const char *le = timeline_label(s, "le");
    char *end;
    double bound = le ? strtod(le, &end) : NAN;
    if (!le || end == le || *end || isnan(bound))
        return;
    m->buckets = xrealloc(m->buckets, (m->n_buckets + 1) * sizeof *m->buckets);
    m->buckets[m->n_buckets++] = (struct server_metric_bucket){le, bound, rise};
}

static void finish_histogram(struct server_metric *m)
{
    if (m->n_buckets == 0)
        return;
    qsort(m->buckets, m->n_buckets, sizeof *m->buckets, compare_bounds);
    for (size_t i = 1; i < m->n_buckets; i++) /* a look between two writes may see them fall */
        m->buckets[i].count = fmax(m->buckets[i].count, m->buckets[i - 1].count);
    for (size_t i = 0; i < STATS_PERCENTILES; i++)
        m->estimates[i] = server_metrics_quantile(m->buckets, m->n_buckets, STATS_RANKS[i] / 100);
}

/* ---- gathering ------------------------------------------------------------------------------ */

struct gathering {
    struct server_metrics *out;
    const struct telemetry_source *source;
    struct timeline *values;
    int64_t from_ns, to_ns;
};

static struct server_metric *push(struct gathering *g, const struct timeline_series *s,
                                  const char *name, size_t size, const struct timeline_family *f)
{
    struct server_metrics *out = g->out;
    if ((out->n & (out->n - 1)) == 0)
        out->items = xrealloc(out->items, (out->n ? 2 * out->n : 1) * sizeof *out->items);
    struct server_metric *m = &out->items[out->n++];
    *m = (struct server_metric){.source = g->source,
                                .name = xstrndup(name, size),
                                .help = f && f->help ? f->help : "",
                                .type = f ? f->type : PROMETHEUS_UNKNOWN,
                                .labels = s->labels,
                                .n_labels = s->n_labels};
    for (size_t i = 0; i < STATS_PERCENTILES; i++)
        m->estimates[i] = NAN;
    return m;
}

/* A part of a histogram or summary: it joins its fellows. */
static void add_part(struct gathering *g, const struct timeline_series *s,
                     const struct timeline_family *f)
{
    double rise, seconds;
    bool is_bucket = ends_in(s->name, "_bucket"), is_sum = ends_in(s->name, "_sum");
    if (!is_bucket && !is_sum && !ends_in(s->name, "_count"))
        return; /* a summary's own quantiles are of all time, not of the window */
    if (!timeline_rise(g->values, s, g->from_ns, g->to_ns, &rise, &seconds))
        return;
    struct server_metric *m = NULL;
    for (size_t i = g->out->n; i-- > 0 && !m;) {
        struct server_metric *at = &g->out->items[i];
        if (at->source == g->source && strcmp(at->name, f->name) == 0 && is_same_histogram(at, s))
            m = at;
    }
    if (!m)
        m = push(g, s, f->name, strlen(f->name), f);
    m->seconds = seconds;
    if (is_bucket)
        add_bucket(m, s, rise);
    else
        *(is_sum ? &m->sum : &m->count) = rise;
}

static void add_series(struct gathering *g, const struct timeline_series *s)
{
    const struct timeline_family *f = timeline_family_of(g->values, s->name);
    enum prometheus_type type = f ? f->type : PROMETHEUS_UNKNOWN;
    bool has_total = ends_in(s->name, "_total");
    size_t size = strlen(s->name) - (has_total ? strlen("_total") : 0);
    if (type == PROMETHEUS_HISTOGRAM || type == PROMETHEUS_SUMMARY) {
        add_part(g, s, f);
    } else if (type == PROMETHEUS_COUNTER || (type == PROMETHEUS_UNKNOWN && has_total)) {
        double rise, seconds;
        if (!timeline_rise(g->values, s, g->from_ns, g->to_ns, &rise, &seconds))
            return;
        struct server_metric *m = push(g, s, s->name, size, f);
        m->type = PROMETHEUS_COUNTER;
        m->rise = rise;
        m->seconds = seconds;
    } else {
        struct timeline_level level;
        if (timeline_level(g->values, s, g->from_ns, g->to_ns, &level))
            push(g, s, s->name, strlen(s->name), f)->level = level;
    }
}

void server_metrics_compute(struct server_metrics *out, struct telemetry *t, int64_t from_ns,
                            int64_t to_ns)
{
    *out = (struct server_metrics){0};
    for (size_t i = 0; i < t->n_sources; i++) {
        struct telemetry_source *source = &t->sources[i];
        struct gathering g = {out, source, &source->values, from_ns, to_ns};
        for (size_t k = 0; k < source->values.n_series; k++)
            add_series(&g, &source->values.series[k]);
    }
    for (size_t i = 0; i < out->n; i++)
        finish_histogram(&out->items[i]);
}

void server_metrics_free(struct server_metrics *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->items[i].name);
        free(m->items[i].buckets);
    }
    free(m->items);
    *m = (struct server_metrics){0};
}

bool server_metrics_exist(const struct telemetry *t)
{
    for (size_t i = 0; i < t->n_sources; i++) {
        if (t->sources[i].kind == TELEMETRY_SERVER && t->sources[i].n_looks > 0)
            return true;
    }
    return false;
}
