#include "client/server_metrics_lines.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* What a series is of its metric: the value, or a part of a histogram. */
enum role { VALUE, BUCKET, SUM, COUNT };

struct part {
    const struct timeline_series *series;
    size_t name_size; /* of its name belongs to the metric */
    size_t sample;    /* index of the first part with the same labels */
    enum role role;
};

/* The series of a server, those of one metric together, and in there those of one sample. */
struct layout {
    struct part *parts; /* owned */
    size_t n;
};

/* ---- the layout ----------------------------------------------------------------------------- */

static bool ends_in(const char *name, const char *tail)
{
    size_t n = strlen(name), k = strlen(tail);
    return n > k && strcmp(name + n - k, tail) == 0;
}

static struct part part_of(const struct timeline *t, const struct timeline_series *s)
{
    static const struct {
        const char *tail;
        enum role role;
    } PARTS[] = {{"_bucket", BUCKET}, {"_sum", SUM}, {"_count", COUNT}};
    const struct timeline_family *f = timeline_family_of(t, s->name);
    struct part part = {.series = s, .name_size = strlen(s->name), .role = VALUE};
    if (f && f->type == PROMETHEUS_COUNTER && ends_in(s->name, "_total"))
        part.name_size -= strlen("_total");
    if (!f || f->type != PROMETHEUS_HISTOGRAM)
        return part;
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        if (!ends_in(s->name, PARTS[i].tail))
            continue;
        part.role = PARTS[i].role;
        part.name_size -= strlen(PARTS[i].tail);
    }
    return part;
}

static bool is_same_metric(const struct part *a, const struct part *b)
{
    return a->name_size == b->name_size &&
           memcmp(a->series->name, b->series->name, a->name_size) == 0;
}

/* Every label of a but le is one of b. */
static bool has_labels_of(const struct timeline_series *a, const struct timeline_series *b)
{
    for (size_t i = 0; i < a->n_labels; i++) {
        const char *other = timeline_label(b, a->labels[i].name);
        if (strcmp(a->labels[i].name, "le") != 0 &&
            (!other || strcmp(other, a->labels[i].value) != 0))
            return false;
    }
    return true;
}

static bool is_same_sample(const struct part *a, const struct part *b)
{
    return a->role != VALUE && b->role != VALUE && has_labels_of(a->series, b->series) &&
           has_labels_of(b->series, a->series);
}

/* Move part i up to the others of its metric, or of its sample when there are any. */
static void settle(struct layout *l, size_t i)
{
    const struct part part = l->parts[i];
    size_t to = i;
    bool has_sample = false;
    for (size_t k = 0; k < i; k++) {
        if (!is_same_metric(&l->parts[k], &part))
            continue;
        bool is_same = is_same_sample(&l->parts[k], &part);
        if (is_same || !has_sample)
            to = k + 1;
        has_sample = has_sample || is_same;
    }
    memmove(&l->parts[to + 1], &l->parts[to], (i - to) * sizeof part);
    l->parts[to] = part;
}

static struct layout arrange(const struct timeline *t)
{
    struct layout l = {.parts = xcalloc(t->n_series + 1, sizeof *l.parts)};
    for (size_t i = 0; i < t->n_series; i++) {
        if (ends_in(t->series[i].name, "_info"))
            continue;
        l.parts[l.n] = part_of(t, &t->series[i]);
        settle(&l, l.n++);
    }
    for (size_t i = 0; i < l.n; i++) {
        bool goes_on = i > 0 && is_same_metric(&l.parts[i - 1], &l.parts[i]) &&
                       is_same_sample(&l.parts[i - 1], &l.parts[i]);
        l.parts[i].sample = goes_on ? l.parts[i - 1].sample : i;
    }
    return l;
}

/* ---- one line ------------------------------------------------------------------------------- */

static void put_key(struct buf *out, const char *key, size_t size)
{
    char last = out->size ? out->data[out->size - 1] : '{';
    if (last != '{' && last != '[')
        buf_putc(out, ',');
    json_print_string(out, key, size);
    buf_putc(out, ':');
}

static void put_int(struct buf *out, const char *key, int64_t value)
{
    put_key(out, key, strlen(key));
    buf_printf(out, "%" PRId64, value);
}

static void put_string(struct buf *out, const char *key, const char *text)
{
    put_key(out, key, strlen(key));
    json_print_string(out, text, strlen(text));
}

static void put_number(struct buf *out, const char *key, double value)
{
    put_key(out, key, strlen(key));
    json_print_double(out, value);
}

static void put_labels(struct buf *out, const struct timeline_series *s, bool is_histogram)
{
    bool is_open = false;
    for (size_t i = 0; i < s->n_labels; i++) {
        if (is_histogram && strcmp(s->labels[i].name, "le") == 0)
            continue;
        if (!is_open) {
            put_key(out, "labels", 6);
            buf_putc(out, '{');
        }
        is_open = true;
        put_string(out, s->labels[i].name, s->labels[i].value);
    }
    if (is_open)
        buf_putc(out, '}');
}

static void put_histogram(struct buf *out, const struct part *parts, size_t n, size_t column)
{
    static const char *const NAMES[] = {[SUM] = "sum", [COUNT] = "count"};
    put_key(out, "buckets", 7);
    buf_putc(out, '{');
    for (size_t i = 0; i < n; i++) {
        const char *le = timeline_label(parts[i].series, "le");
        double value = parts[i].series->values[column];
        if (parts[i].role == BUCKET && le && !isnan(value))
            put_number(out, le, value);
    }
    buf_putc(out, '}');
    for (size_t i = 0; i < n; i++) {
        double value = parts[i].series->values[column];
        if (parts[i].role != BUCKET && !isnan(value))
            put_number(out, NAMES[parts[i].role], value);
    }
}

static bool is_told(const struct part *parts, size_t n, size_t column)
{
    bool is_told = false;
    for (size_t i = 0; i < n; i++)
        is_told = is_told || !isnan(parts[i].series->values[column]);
    return is_told;
}

static void put_sample(struct buf *out, const struct part *parts, size_t n, size_t column)
{
    bool is_histogram = parts[0].role != VALUE;
    if (out->data[out->size - 1] != '[')
        buf_putc(out, ',');
    buf_putc(out, '{');
    put_labels(out, parts[0].series, is_histogram);
    if (is_histogram)
        put_histogram(out, parts, n, column);
    else
        put_number(out, "value", parts[0].series->values[column]);
    buf_putc(out, '}');
}

static void put_metrics(struct buf *out, const struct layout *l, size_t column)
{
    const struct part *last = NULL; /* the metric whose list is open */
    put_key(out, "metrics", 7);
    buf_putc(out, '{');
    for (size_t i = 0, n; i < l->n; i += n) {
        const struct part *parts = &l->parts[i];
        for (n = 1; i + n < l->n && parts[n].sample == parts[0].sample;)
            n++;
        if (!is_told(parts, n, column))
            continue;
        if (!last || !is_same_metric(last, parts)) {
            buf_puts(out, last ? "]" : "");
            put_key(out, parts->series->name, parts->name_size);
            buf_putc(out, '[');
        }
        last = parts;
        put_sample(out, parts, n, column);
    }
    buf_puts(out, last ? "]}" : "}");
}

/* Between phases there is none. */
static void put_phase(struct buf *out, const struct report *r, int64_t at_ns)
{
    for (size_t i = 0; i < r->n_phases; i++) {
        const struct report_phase *p = &r->phases[i];
        if (at_ns < p->load.start_ns || at_ns > p->load.end_ns)
            continue;
        put_string(out, "benchmark_phase", p->name);
        put_int(out, "phase_index", (int64_t)i);
        if (!p->is_warmup)
            put_int(out, "profiling_index", 0);
        put_string(out, "phase_name", p->name);
        put_string(out, "phase_kind", p->name);
        return;
    }
}

static bool shows_news(const struct timeline *t, size_t column)
{
    for (size_t i = 0; i < t->n_series && column > 0; i++) {
        double old = t->series[i].values[column - 1], new = t->series[i].values[column];
        if (isnan(old) != isnan(new) || (!isnan(new) && (new < old || new > old)))
            return true;
    }
    return column == 0;
}

static void put_line(struct buf *out, const struct report *r, const struct telemetry_source *s,
                     const struct layout *l, size_t column)
{
    const struct timeline *t = &s->values;
    int64_t at_ns = t->at_ns[column] + r->unix_offset_ns;
    buf_putc(out, '{');
    put_string(out, "endpoint_url", s->url);
    put_int(out, "timestamp_ns", at_ns);
    put_int(out, "endpoint_latency_ns", t->took_ns[column]);
    put_metrics(out, l, column);
    put_int(out, "request_sent_ns", at_ns - t->took_ns[column]);
    put_phase(out, r, t->at_ns[column]);
    buf_puts(out, "}\n");
}

void server_metrics_lines(FILE *out, const struct report *r)
{
    struct buf line = {0};
    for (size_t i = 0; i < r->telemetry->n_sources; i++) {
        const struct telemetry_source *s = &r->telemetry->sources[i];
        struct layout l = arrange(&s->values);
        for (size_t k = 0; k < s->values.n_columns && l.n > 0; k++) {
            if (!shows_news(&s->values, k))
                continue;
            buf_clear(&line);
            put_line(&line, r, s, &l, k);
            fwrite(line.data, 1, line.size, out);
        }
        free(l.parts);
    }
    buf_free(&line);
}
