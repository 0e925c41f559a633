/* What a sweep leaves behind, but for the page: sweep.json, sweep.csv, and the table. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/report.h"
#include "client/report_html_chart.h"
#include "client/sweep.h"
#include "client/table.h"

/* The response time counts from when a request is due, so that it means the same with a rate. */
const struct sweep_column SWEEP_COLUMN[SWEEP_COLUMNS] = {
    {"p50", "ms", "response_time", "p50"},
    {"p95", "ms", "response_time", "p95"},
    {"p99", "ms", "response_time", "p99"},
    {"Requests", "1/s", "request_throughput", "avg"},
    {"Images", "1/s", "image_throughput", "avg"},
    {"Pixels", "MP/s", "megapixel_throughput", "avg"},
    {"In flight", "mean", "effective_concurrency", "avg"},
    {"Failed", "%", "request_error_rate", "avg"},
};

/* ---- sweep.json ----------------------------------------------------------------------------- */

static struct json *axis_of(const struct sweep_axis *a)
{
    struct json *o = json_new_object(), *values = json_new_array();
    json_set(o, "name", json_new_string(a->name));
    json_set(o, a->is_field ? "field" : "option", json_new_string(a->key));
    for (size_t i = 0; i < a->n_values; i++)
        json_push(values, json_new_string(a->values[i]));
    json_set(o, "values", values);
    return o;
}

bool sweep_write_json(const struct sweep *s, struct error *err)
{
    struct json *root = runs_json(&s->runs), *axes = json_new_array(), *points = json_new_array();
    json_set(root, "points_wanted", json_new_int((int64_t)s->n_wanted));
    json_set(root, "points_made", json_new_int((int64_t)s->n_results));
    for (size_t i = 0; i < s->grid.n_axes; i++)
        json_push(axes, axis_of(&s->grid.axes[i]));
    json_set(root, "over", axes);
    for (size_t i = 0; i < s->n_results; i++) {
        struct json *point = runs_json_result(&s->results[i]), *values = json_new_object();
        for (size_t k = 0; k < s->grid.n_axes; k++)
            json_set(values, s->grid.axes[k].name,
                     json_new_string(sweep_grid_value(&s->grid, i, k)));
        json_set(point, "values", values);
        json_push(points, point);
    }
    json_set(root, "points", points);
    return runs_write_json(&s->runs, "sweep.json", root, err);
}

/* ---- sweep.csv ------------------------------------------------------------------------------ */

static const char *const CSV_STATS[] = {"avg", "p50", "p90", "p95", "p99"};
#define N_CSV_STATS (sizeof CSV_STATS / sizeof CSV_STATS[0])

/* A column per statistic of every metric that the console may show; results NULL: their names. */
static void put_metrics(struct buf *out, const struct runs_result *result)
{
    for (size_t i = 0; i < N_METRICS; i++) {
        const struct metric *m = &METRICS[i];
        size_t n_stats = m->table == TABLE_NONE ? 0 : m->kind == METRIC_SCALAR ? 1 : N_CSV_STATS;
        for (size_t k = 0; k < n_stats; k++) {
            double value = result ? runs_value(result, m->tag, CSV_STATS[k]) : NAN;
            buf_putc(out, ',');
            if (!result)
                buf_printf(out, m->kind == METRIC_SCALAR ? "%s" : "%s_%s", m->tag, CSV_STATS[k]);
            else if (!isnan(value))
                buf_printf(out, "%.10g", value);
        }
    }
    buf_puts(out, "\r\n");
}

bool sweep_write_csv(const struct sweep *s, struct error *err)
{
    struct buf out = {0};
    buf_puts(&out, "run");
    for (size_t k = 0; k < s->grid.n_axes; k++) {
        buf_putc(&out, ',');
        report_csv_cell(&out, s->grid.axes[k].name);
    }
    buf_puts(&out, ",successful_requests,failed_requests");
    put_metrics(&out, NULL);
    for (size_t i = 0; i < s->n_results; i++) {
        const struct runs_result *r = &s->results[i];
        buf_puts(&out, r->name);
        for (size_t k = 0; k < s->grid.n_axes; k++) {
            buf_putc(&out, ',');
            report_csv_cell(&out, sweep_grid_value(&s->grid, i, k));
        }
        buf_printf(&out, ",%zu,%zu", r->n_succeeded, r->n_failed);
        put_metrics(&out, r);
    }
    bool ok = runs_write(&s->runs, "sweep.csv", &out, err);
    buf_free(&out);
    return ok;
}

/* ---- the table ------------------------------------------------------------------------------ */

static void add_row(struct table *t, const struct sweep *s, size_t point)
{
    char **cells = xcalloc(t->n_columns, sizeof *cells);
    size_t n = 0;
    for (size_t k = 0; k < s->grid.n_axes; k++)
        cells[n++] = xstrdup(sweep_grid_value(&s->grid, point, k));
    for (size_t k = 0; k < SWEEP_COLUMNS; k++) {
        const struct sweep_column *c = &SWEEP_COLUMN[k];
        struct buf text = {0};
        report_html_number(&text, runs_value(&s->results[point], c->tag, c->stat));
        cells[n++] = text.data; /* the table's, as from malloc */
    }
    table_add_row(t, cells);
}

void sweep_print(struct buf *out, const struct sweep *s)
{
    static_assert(SWEEP_MAX_AXES + SWEEP_COLUMNS <= TABLE_MAX_COLUMNS, "the table is too narrow");
    const char *heads[TABLE_MAX_COLUMNS];
    char *owned[SWEEP_COLUMNS];
    char *title = xasprintf("%zu of %zu points; times are response times from due", s->n_results,
                            s->n_wanted);
    struct table t = {.title = title, .heads = heads};
    for (size_t k = 0; k < s->grid.n_axes; k++) {
        t.is_left[t.n_columns] = !sweep_grid_is_numeric(&s->grid.axes[k]);
        heads[t.n_columns++] = s->grid.axes[k].name;
    }
    for (size_t k = 0; k < SWEEP_COLUMNS; k++) {
        owned[k] = xasprintf("%s (%s)", SWEEP_COLUMN[k].name, SWEEP_COLUMN[k].unit);
        heads[t.n_columns++] = owned[k];
    }
    for (size_t i = 0; i < s->n_results; i++)
        add_row(&t, s, i);
    if (s->n_results > 0)
        table_print(out, &t);
    for (size_t k = 0; k < SWEEP_COLUMNS; k++)
        free(owned[k]);
    table_free(&t);
    free(title);
}
