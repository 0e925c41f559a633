#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/report.h"

#define END "\r\n"

const char *const REPORT_STATS[] = {"avg", "min", "max", "sum", "p1",  "p5",  "p10", "p25",
                                    "p50", "p75", "p90", "p95", "p99", "std", NULL};

/* Percentiles by name; -1 for the other columns. */
static int percentile_index(const char *name)
{
    for (int i = 0; i < STATS_PERCENTILES; i++) {
        if (name[0] == 'p' && strtod(name + 1, NULL) == STATS_RANKS[i])
            return i;
    }
    return -1;
}

double report_stat(const struct metric_value *v, const char *name)
{
    const struct stats *s = &v->stats;
    bool is_avg = strcmp(name, "avg") == 0;
    if (v->metric->kind == METRIC_SCALAR)
        return is_avg ? s->avg : NAN;
    int p = percentile_index(name);
    if (v->metric->kind == METRIC_STEPS && p >= 0 && p != P50 && p < P90)
        return NAN; /* AIPerf gives p50, p90, p95, p99 of levels over time */
    if (p >= 0)
        return s->p[p];
    if (is_avg)
        return s->avg;
    if (strcmp(name, "min") == 0)
        return s->min;
    if (strcmp(name, "max") == 0)
        return s->max;
    if (strcmp(name, "sum") == 0)
        return s->sum;
    return s->std;
}

void report_csv_cell(struct buf *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        buf_puts(out, text);
        return;
    }
    buf_putc(out, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"')
            buf_putc(out, '"');
        buf_putc(out, *p);
    }
    buf_putc(out, '"');
}

static void put_number(struct buf *out, double value)
{
    if (!isnan(value))
        buf_printf(out, "%.2f", value);
}

/* "Name (unit)"; counts need no unit. */
static void put_name(struct buf *out, const struct metric *m)
{
    bool is_count = strcmp(m->unit, "requests") == 0 || strcmp(m->unit, "count") == 0;
    char *name = is_count ? xstrdup(m->name) : xasprintf("%s (%s)", m->name, m->unit);
    report_csv_cell(out, name);
    free(name);
}

static int compare_tags(const void *a, const void *b)
{
    const struct metric_value *const *x = a, *const *y = b;
    return strcmp((*x)->metric->tag, (*y)->metric->tag);
}

/* The values sorted by tag. The caller frees the list. */
static const struct metric_value **sort_by_tag(const struct metrics *m)
{
    const struct metric_value **sorted = xcalloc(m->n_values + 1, sizeof *sorted);
    for (size_t i = 0; i < m->n_values; i++)
        sorted[i] = &m->values[i];
    qsort(sorted, m->n_values, sizeof *sorted, compare_tags);
    return sorted;
}

void report_csv(struct buf *out, const struct metrics *m)
{
    const struct metric_value **sorted = sort_by_tag(m);
    buf_puts(out, "Metric");
    for (size_t k = 0; REPORT_STATS[k]; k++)
        buf_printf(out, ",%s", REPORT_STATS[k]);
    buf_puts(out, END);
    for (size_t i = 0; i < m->n_values; i++) {
        if (sorted[i]->metric->kind == METRIC_SCALAR)
            continue;
        put_name(out, sorted[i]->metric);
        for (size_t k = 0; REPORT_STATS[k]; k++) {
            buf_putc(out, ',');
            put_number(out, report_stat(sorted[i], REPORT_STATS[k]));
        }
        buf_puts(out, END);
    }
    buf_puts(out, END "Metric,Value" END);
    for (size_t i = 0; i < m->n_values; i++) {
        if (sorted[i]->metric->kind != METRIC_SCALAR)
            continue;
        put_name(out, sorted[i]->metric);
        buf_putc(out, ',');
        put_number(out, sorted[i]->stats.avg);
        buf_puts(out, END);
    }
    free(sorted);
}

/* ---- time slices: one line per slice, metric and statistic ---------------------------------- */

static void put_slice_metric(struct buf *out, const struct report *r, size_t index,
                             const struct metric_value *v)
{
    const struct report_slice *s = &r->slices[index];
    for (size_t k = 0; REPORT_STATS[k]; k++) {
        double value = report_stat(v, REPORT_STATS[k]);
        if (isnan(value))
            continue;
        buf_printf(out, "%zu,%" PRId64 ",%" PRId64 ",", index, s->start_ns + r->unix_offset_ns,
                   s->end_ns + r->unix_offset_ns);
        report_csv_cell(out, v->metric->name);
        buf_putc(out, ',');
        report_csv_cell(out, v->metric->unit);
        buf_printf(out, ",%s,%.2f" END, REPORT_STATS[k], value);
    }
}

void report_slices_csv(struct buf *out, const struct report *r)
{
    buf_puts(out, "Timeslice,Start_NS,End_NS,Metric,Unit,Stat,Value" END);
    for (size_t i = 0; i < r->n_slices; i++) {
        const struct metric_value **sorted = sort_by_tag(&r->slices[i].metrics);
        for (size_t k = 0; k < r->slices[i].metrics.n_values; k++)
            put_slice_metric(out, r, i, sorted[k]);
        free(sorted);
    }
}
