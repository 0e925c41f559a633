/* Percentiles that say how sure they are. Where the sample is too small for both ends of the
 * interval, the number of requests that it takes stands in place of one. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client/report.h"
#include "client/table.h"

#define INDENT 2

static bool has_interval(const struct quantile *q) { return !isnan(q->low) && !isnan(q->high); }

/* ---- console -------------------------------------------------------------------------------- */

/* The metrics of the table, each with two columns. */
static const char *const SHOWN[] = {"response_time", "service_time", "request_latency"};
#define N_SHOWN (sizeof SHOWN / sizeof SHOWN[0])

static void fill_cells(char **cells, const struct metric_value *v, size_t index)
{
    const struct quantile *q = v ? &v->quantiles[index] : NULL;
    if (!q) {
        cells[0] = xstrdup("N/A");
        cells[1] = xstrdup("");
    } else if (!has_interval(q)) {
        cells[0] = xasprintf("n<%zu", quantile_needs(QUANTILE_RANKS[index]));
        cells[1] = xstrdup("");
    } else {
        char *low = report_format_number(q->low), *high = report_format_number(q->high);
        cells[0] = report_format_number(q->value);
        cells[1] = xasprintf("%s .. %s", low, high);
        free(low);
        free(high);
    }
}

void report_console_quantiles(struct buf *out, const struct metrics *m)
{
    static const char *const HEADS[] = {"Percentile",   "Response (ms)", "95 % interval",
                                        "Service (ms)", "95 % interval", "Latency (ms)",
                                        "95 % interval"};
    static_assert(sizeof HEADS / sizeof HEADS[0] == 1 + 2 * N_SHOWN, "a head for each column");
    struct table t = {.title = "fluxperf | Percentiles with 95 % Intervals",
                      .n_columns = 1 + 2 * N_SHOWN,
                      .heads = HEADS};
    for (size_t i = 0; i < N_QUANTILES; i++) {
        char **cells = xcalloc(t.n_columns, sizeof *cells);
        cells[0] = xasprintf("p%g", QUANTILE_RANKS[i]);
        for (size_t k = 0; k < N_SHOWN; k++)
            fill_cells(&cells[1 + 2 * k], metrics_get(m, SHOWN[k]), i);
        table_add_row(&t, cells);
    }
    if (metrics_get(m, SHOWN[0])) /* nothing succeeded: nothing to say */
        table_print(out, &t);
    table_free(&t);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void put_field(struct buf *out, const char *name, double value)
{
    if (isnan(value))
        return;
    buf_printf(out, "%s\"%s\": ", out->data[out->size - 1] == '{' ? "" : ", ", name);
    json_print_double(out, value);
}

static void put_metric(struct buf *out, const struct metric_value *v, int depth)
{
    buf_printf(out, "\"%s\": {\n%*s\"unit\": ", v->metric->tag, INDENT * (depth + 1), "");
    json_print_string(out, v->metric->unit, strlen(v->metric->unit));
    buf_printf(out, ",\n%*s\"confidence\": 0.95,\n%*s\"count\": %zu", INDENT * (depth + 1), "",
               INDENT * (depth + 1), "", v->stats.count);
    for (size_t i = 0; i < N_QUANTILES; i++) {
        const struct quantile *q = &v->quantiles[i];
        buf_printf(out, ",\n%*s\"p%g\": {", INDENT * (depth + 1), "", QUANTILE_RANKS[i]);
        put_field(out, "value", q->value);
        put_field(out, "low", q->low);
        put_field(out, "high", q->high);
        if (!has_interval(q))
            buf_printf(out, ", \"count_needed\": %zu", quantile_needs(QUANTILE_RANKS[i]));
        buf_putc(out, '}');
    }
    buf_printf(out, "\n%*s}", INDENT * depth, "");
}

void report_json_quantiles(struct buf *out, const struct metrics *m, int depth)
{
    bool is_first = true;
    buf_putc(out, '{');
    for (size_t i = 0; i < m->n_values; i++) {
        if (!m->values[i].has_quantiles)
            continue;
        buf_printf(out, "%s\n%*s", is_first ? "" : ",", INDENT * (depth + 1), "");
        put_metric(out, &m->values[i], depth + 1);
        is_first = false;
    }
    if (!is_first)
        buf_printf(out, "\n%*s", INDENT * depth, "");
    buf_putc(out, '}');
}
