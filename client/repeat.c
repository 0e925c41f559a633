#include "client/repeat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/report.h"
#include "client/report_html_chart.h"
#include "client/runs.h"
#include "client/spread.h"
#include "client/table.h"

struct repeat_options {
    double pause_s;
};

static const struct option OPTIONS[] = {
    {"--pause", NULL, "S", ARG_DOUBLE, offsetof(struct repeat_options, pause_s), 0, 1e6,
     .group = "Options", .help = RUNS_PAUSE_HELP},
};
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

/* Of a distribution; a single value has the first one only. The console shows those marked. */
static const struct {
    const char *name;
    bool is_shown;
} STATS[] = {{"avg", true}, {"p50", true}, {"p90", false}, {"p95", false}, {"p99", true}};
#define N_STATS (sizeof STATS / sizeof STATS[0])

#define N_COLUMNS 8

struct repeat {
    struct runs runs;
    size_t n_wanted;
    struct runs_result *results; /* owned, n_wanted of them */
    size_t n_results;
};

/* A statistic of a metric over the runs that have it. */
struct row {
    const struct metric *metric;
    const char *stat;
    bool is_shown;
    struct spread spread;
};

typedef void (*row_fn)(void *self, const struct repeat *r, const struct row *row);

/* ---- rows ----------------------------------------------------------------------------------- */

static struct spread spread_of(const struct repeat *r, const char *tag, const char *stat)
{
    double *values = xcalloc(r->n_results + 1, sizeof *values);
    size_t n = 0;
    for (size_t i = 0; i < r->n_results; i++) {
        values[n] = runs_value(&r->results[i], tag, stat);
        n += isnan(values[n]) ? 0 : 1;
    }
    struct spread s = spread_compute(values, n);
    free(values);
    return s;
}

static void for_each_row(const struct repeat *r, row_fn handle, void *self)
{
    for (size_t i = 0; i < N_METRICS; i++) {
        const struct metric *m = &METRICS[i];
        for (size_t k = 0; k < N_STATS && m->table != TABLE_NONE; k++) {
            struct row row = {m, STATS[k].name, STATS[k].is_shown,
                              spread_of(r, m->tag, STATS[k].name)};
            if (row.spread.n > 0)
                handle(self, r, &row);
        }
    }
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Rows of a metric follow each other. */
struct json_rows {
    struct json *metrics, *metric; /* owned by the file's tree */
    const struct metric *of;
};

static void add_json(void *self, const struct repeat *r, const struct row *row)
{
    const struct spread *s = &row->spread;
    struct json_rows *rows = self;
    struct json *o = json_new_object();
    (void)r;
    if (rows->of != row->metric) {
        rows->of = row->metric;
        rows->metric = json_new_object();
        json_set(rows->metric, "unit", json_new_string(row->metric->unit));
        json_set(rows->metrics, row->metric->tag, rows->metric);
    }
    json_set(o, "runs", json_new_int((int64_t)s->n));
    json_set_known(o, "mean", s->mean);
    json_set_known(o, "std", s->std);
    json_set_known(o, "min", s->min);
    json_set_known(o, "max", s->max);
    json_set_known(o, "cv", s->cv);
    json_set_known(o, "low", s->low);
    json_set_known(o, "high", s->high);
    json_set(rows->metric, row->stat, o);
}

static bool write_json(const struct repeat *r, struct error *err)
{
    struct json *root = runs_json(&r->runs), *runs = json_new_array();
    struct json_rows rows = {.metrics = json_new_object()};
    json_set(root, "runs_wanted", json_new_int((int64_t)r->n_wanted));
    json_set(root, "runs_made", json_new_int((int64_t)r->n_results));
    json_set(root, "pause_seconds", json_new_double(r->runs.pause_s));
    json_set(root, "confidence", json_new_double(SPREAD_CONFIDENCE));
    for_each_row(r, add_json, &rows);
    json_set(root, "statistics", rows.metrics);
    for (size_t i = 0; i < r->n_results; i++)
        json_push(runs, runs_json_result(&r->results[i]));
    json_set(root, "runs", runs);
    return runs_write_json(&r->runs, "repeat.json", root, err);
}

static void put_cell(struct buf *out, double value)
{
    buf_putc(out, ',');
    if (!isnan(value))
        buf_printf(out, "%.10g", value);
}

static void add_csv(void *self, const struct repeat *r, const struct row *row)
{
    const struct spread *s = &row->spread;
    const double cells[] = {s->mean, s->std, s->min, s->max, s->cv, s->low, s->high};
    struct buf *out = self;
    report_csv_cell(out, row->metric->tag);
    buf_putc(out, ',');
    report_csv_cell(out, row->metric->unit);
    buf_printf(out, ",%s,%zu", row->stat, s->n);
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++)
        put_cell(out, cells[i]);
    for (size_t i = 0; i < r->n_results; i++)
        put_cell(out, runs_value(&r->results[i], row->metric->tag, row->stat));
    buf_puts(out, "\r\n");
}

static bool write_csv(const struct repeat *r, struct error *err)
{
    struct buf out = {0};
    buf_puts(&out, "metric,unit,stat,runs,mean,std,min,max,cv,low,high");
    for (size_t i = 0; i < r->n_results; i++)
        buf_printf(&out, ",%s", r->results[i].name);
    buf_puts(&out, "\r\n");
    for_each_row(r, add_csv, &out);
    bool ok = runs_write(&r->runs, "repeat.csv", &out, err);
    buf_free(&out);
    return ok;
}

/* ---- the console: what differs at all ---------------------------------------------------- */

static char *number(double value)
{
    struct buf text = {0};
    report_html_number(&text, value);
    return text.data; /* the caller's, as from malloc */
}

static void add_table(void *self, const struct repeat *r, const struct row *row)
{
    const struct spread *s = &row->spread;
    (void)r;
    if (!row->is_shown || row->metric->table < TABLE_MAIN || (s->n > 1 && s->std == 0))
        return;
    char **cells = xcalloc(N_COLUMNS, sizeof *cells), *low = number(s->low);
    char *high = number(s->high);
    cells[0] = xasprintf("%s (%s)", row->metric->name, row->metric->unit);
    cells[1] = xstrdup(row->metric->kind == METRIC_SCALAR ? "" : row->stat);
    cells[2] = number(s->mean);
    cells[3] = isnan(s->low) ? number(NAN) : xasprintf("%s .. %s", low, high);
    cells[4] = number(s->std);
    cells[5] = number(100 * s->cv);
    cells[6] = number(s->min);
    cells[7] = number(s->max);
    free(low);
    free(high);
    table_add_row(self, cells);
}

static void print_table(const struct repeat *r)
{
    static const char *const HEADS[N_COLUMNS] = {"Metric", "Stat", "mean", "95 % interval",
                                                 "std",    "CV %", "min",  "max"};
    struct buf out = {0};
    char *title = xasprintf("%zu of %zu runs: how they differ", r->n_results, r->n_wanted);
    struct table t = {
        .title = title, .n_columns = N_COLUMNS, .heads = HEADS, .is_left = {true, true}};
    for_each_row(r, add_table, &t);
    if (t.n_rows > 0)
        table_print(&out, &t);
    runs_print_file(&out, &r->runs, "JSON Export", "repeat.json");
    runs_print_file(&out, &r->runs, "CSV Export", "repeat.csv");
    fputs(out.data, stdout);
    table_free(&t);
    free(title);
    buf_free(&out);
}

/* ---- the command ---------------------------------------------------------------------------- */

static bool write_all(const struct repeat *r, struct error *err)
{
    return write_json(r, err) && write_csv(r, err);
}

/* Results are written after every run: nothing is lost, whatever happens in the next one. */
static int make_runs(struct repeat *r)
{
    struct error err = {0};
    bool goes_on = true, ok = true;
    r->results = xcalloc(r->n_wanted, sizeof *r->results);
    while (ok && goes_on && r->n_results < r->n_wanted) {
        char name[32];
        struct runs_result *result = &r->results[r->n_results];
        snprintf(name, sizeof name, "run_%04zu", r->n_results + 1);
        goes_on =
            runs_make(&r->runs, name, &r->runs.base, result) && runs_need_success(&r->runs, result);
        if (goes_on)
            r->n_results++;
        else
            runs_result_free(result);
        ok = write_all(r, &err);
    }
    print_table(r);
    int code = runs_conclude(&r->runs, r->n_results, "runs");
    return ok ? code : runs_break(&err);
}

static bool prepare(struct repeat *r, const struct arg_list *names, struct error *err)
{
    struct options example;
    bool ok = runs_check(&r->runs.base, &example, err);
    char *end = NULL;
    long n = ok && names->n_items == 1 ? strtol(names->items[0], &end, 10) : 0;
    if (ok && names->n_items != 1)
        ok = fail(err, ERR_INVALID, "repeat takes one number of runs, not %zu", names->n_items);
    else if (ok && (*end || n < 2 || n > RUNS_MAX))
        ok = fail(err, ERR_INVALID, "repeat '%s': must be a number of runs from 2 to %d",
                  names->items[0], RUNS_MAX);
    r->n_wanted = ok ? (size_t)n : 0;
    ok = ok && runs_open(&r->runs, &example, err);
    options_free(&example);
    return ok;
}

int repeat_main(int argc, char **argv, int first)
{
    struct repeat r = {0};
    struct repeat_options o = {0};
    struct arg_list names = {0};
    struct error err = {0};
    bool ok = runs_read(&r.runs, "repeat", OPTIONS, N_OPTIONS, argc, argv, first, &o, &names, &err);
    r.runs.pause_s = o.pause_s;
    int code = ok && prepare(&r, &names, &err) ? make_runs(&r) : runs_fail("repeat", &err);
    for (size_t i = 0; i < r.n_results; i++)
        runs_result_free(&r.results[i]);
    free(r.results);
    args_free(&names);
    runs_close(&r.runs);
    return code;
}

void repeat_help(void)
{
    args_help(
        "fluxperf repeat N [option...] [option of profile...]",
        "Make the same run N times, each in a directory of its own (run_0001, run_0002, ...), "
        "and report how the numbers differ from run to run. All runs have the same prompts "
        "and arrival times." RUNS_SEE_PROFILE,
        OPTIONS, N_OPTIONS);
}
