/* What a search for capacity tells: in words, as a table, capacity.json and capacity.csv. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/capacity.h"
#include "client/report.h"
#include "client/report_html_chart.h"
#include "client/table.h"

static const char *const VERDICTS[] = {"holds", "uncertain", "fails"};

/* ---- in words ------------------------------------------------------------------------------- */

static const struct capacity_load *load_at(const struct capacity *c, double load)
{
    for (size_t i = 0; i < c->n_loads; i++) {
        if (c->loads[i].load == load)
            return &c->loads[i];
    }
    return NULL;
}

/* Nothing holds so far. What a search that ended early has not tried, it knows nothing of. */
static const char *without_best(const struct capacity *c)
{
    const struct capacity_search *s = &c->search;
    if (s->fails > 0)
        return c->runs.reason[0] ? "no load is known to hold" : "no load holds";
    return s->uncertain_to > 0 ? "no load is certain to hold" : "no load has been judged";
}

void capacity_print_outcome(struct buf *out, const struct capacity *c)
{
    const struct capacity_search *s = &c->search;
    const struct capacity_load *best = load_at(c, s->holds);
    double highest = fmax(s->holds, s->uncertain_to);
    buf_printf(out, "%s: ", c->over);
    if (s->holds > 0 && s->fails > 0 && s->uncertain_from <= 0)
        buf_printf(out, "between %g (holds) and %g (fails)", s->holds, s->fails);
    else if (s->holds > 0)
        buf_printf(out, "%g holds", s->holds);
    else
        buf_puts(out, without_best(c));
    if (s->uncertain_from > 0)
        buf_printf(out,
                   s->uncertain_from < s->uncertain_to ? ", %g to %g uncertain" : ", %g uncertain",
                   s->uncertain_from, s->uncertain_to);
    if (s->fails > 0 && (s->holds <= 0 || s->uncertain_from > 0))
        buf_printf(out, ", %g fails", s->fails);
    else if (s->fails <= 0 && highest > 0)
        buf_printf(out, ", none fails up to %g%s", highest,
                   highest >= s->settings.most ? ": raise --max to go on" : "");
    if (s->holds > 0 && s->fails > 0 && !s->settings.is_integer)
        buf_printf(out, "; rate %.4g [%g, %g]", sqrt(s->holds * s->fails), s->holds, s->fails);
    if (best)
        buf_printf(out, "; %.4g requests/s at %g", best->throughput_hz, best->load);
    if (c->runs.reason[0])
        buf_printf(out, " (the search is incomplete: %s)", c->runs.reason);
}

static char *number(double value)
{
    struct buf text = {0};
    if (isinf(value))
        return xstrdup("none");
    report_html_number(&text, value);
    return text.data; /* the caller's, as from malloc */
}

static int compare_loads(const void *a, const void *b)
{
    double x = (*(const struct capacity_load *const *)a)->load;
    double y = (*(const struct capacity_load *const *)b)->load;
    return (x > y) - (x < y);
}

/* The loads in ascending order; the caller frees the list. */
static const struct capacity_load **sorted_loads(const struct capacity *c)
{
    const struct capacity_load **list = xcalloc(c->n_loads + 1, sizeof *list);
    for (size_t i = 0; i < c->n_loads; i++)
        list[i] = &c->loads[i];
    qsort(list, c->n_loads, sizeof *list, compare_loads);
    return list;
}

static void add_row(struct table *t, const struct capacity *c, const struct capacity_load *l)
{
    char **cells = xcalloc(t->n_columns, sizeof *cells);
    size_t n = 0;
    cells[n++] = xasprintf("%g", l->load);
    cells[n++] = xstrdup(VERDICTS[l->verdict]);
    cells[n++] = xasprintf("%zu", l->n_runs);
    cells[n++] = xasprintf("%zu", l->n_requests);
    cells[n++] = xasprintf("%zu", l->n_failed);
    for (size_t i = 0; i < c->n_slos; i++) {
        const struct capacity_estimate *e = &l->estimates[i];
        char *value = number(e->value), *low = number(e->low), *high = number(e->high);
        cells[n++] = xasprintf("%s (%s .. %s)", value, low, high);
        free(value);
        free(low);
        free(high);
    }
    cells[n++] = number(l->throughput_hz);
    table_add_row(t, cells);
}

void capacity_print(struct buf *out, const struct capacity *c)
{
    static_assert(6 + CAPACITY_MAX_SLOS <= TABLE_MAX_COLUMNS, "the table is too narrow");
    const char *heads[TABLE_MAX_COLUMNS] = {c->over, "Verdict", "Runs", "Requests", "Failed"};
    const struct capacity_load **loads = sorted_loads(c);
    struct table t = {.title = "Loads that were tried, with the 95 % interval of each percentile",
                      .heads = heads,
                      .n_columns = 5,
                      .is_left = {[1] = true}};
    for (size_t i = 0; i < c->n_slos; i++)
        heads[t.n_columns++] = c->slos[i].text;
    heads[t.n_columns++] = "Requests/s";
    for (size_t i = 0; i < c->n_loads; i++)
        add_row(&t, c, loads[i]);
    if (c->n_loads > 0)
        table_print(out, &t);
    capacity_print_outcome(out, c);
    buf_puts(out, "\n");
    runs_print_file(out, &c->runs, "JSON Export", "capacity.json");
    runs_print_file(out, &c->runs, "CSV Export", "capacity.csv");
    table_free(&t);
    free(loads);
}

/* ---- capacity.json -------------------------------------------------------------------------- */

static void set_known(struct json *o, const char *key, double value)
{
    if (value > 0)
        json_set(o, key, json_new_double(value));
}

static struct json *outcome_of(const struct capacity *c)
{
    const struct capacity_search *s = &c->search;
    struct json *o = json_new_object();
    struct buf text = {0};
    capacity_print_outcome(&text, c);
    json_set(o, "text", json_new_string(text.data));
    set_known(o, "holds", s->holds);
    set_known(o, "uncertain_from", s->uncertain_from);
    set_known(o, "uncertain_to", s->uncertain_to);
    set_known(o, "fails", s->fails);
    buf_free(&text);
    return o;
}

/* What is infinite or does not exist is null. */
static struct json *load_of(const struct capacity *c, const struct capacity_load *l)
{
    struct json *o = json_new_object(), *slos = json_new_array();
    json_set(o, "load", json_new_double(l->load));
    json_set(o, "verdict", json_new_string(VERDICTS[l->verdict]));
    json_set(o, "runs", json_new_int((int64_t)l->n_runs));
    json_set(o, "requests", json_new_int((int64_t)l->n_requests));
    json_set(o, "failed_requests", json_new_int((int64_t)l->n_failed));
    json_set(o, "request_throughput", json_new_double(l->throughput_hz));
    for (size_t i = 0; i < c->n_slos; i++) {
        const struct capacity_estimate *e = &l->estimates[i];
        struct json *slo = json_new_object();
        json_set(slo, "slo", json_new_string(c->slos[i].text));
        json_set(slo, "metric", json_new_string(c->slos[i].metric->tag));
        json_set(slo, "value", json_new_double(e->value));
        json_set(slo, "low", json_new_double(e->low));
        json_set(slo, "high", json_new_double(e->high));
        json_set(slo, "verdict", json_new_string(VERDICTS[e->verdict]));
        json_push(slos, slo);
    }
    json_set(o, "slos", slos);
    return o;
}

static bool write_json(const struct capacity *c, struct error *err)
{
    struct json *root = runs_json(&c->runs), *loads = json_new_array(), *runs = json_new_array();
    json_set(root, "search", json_new_string(c->over));
    json_set(root, "result", outcome_of(c));
    for (size_t i = 0; i < c->n_loads; i++)
        json_push(loads, load_of(c, &c->loads[i]));
    json_set(root, "loads", loads);
    for (size_t i = 0; i < c->n_results; i++) {
        struct json *run = runs_json_result(&c->results[i]);
        json_set(run, "load", json_new_double(c->result_loads[i]));
        json_push(runs, run);
    }
    json_set(root, "runs", runs);
    return runs_write_json(&c->runs, "capacity.json", root, err);
}

/* ---- capacity.csv --------------------------------------------------------------------------- */

static void put_number(struct buf *out, double value)
{
    buf_putc(out, ',');
    if (!isnan(value)) /* an infinite one reads "inf" */
        buf_printf(out, "%.10g", value);
}

static bool write_csv(const struct capacity *c, struct error *err)
{
    const struct capacity_load **loads = sorted_loads(c);
    struct buf out = {0};
    buf_printf(&out, "%s,verdict,runs,requests,failed_requests", c->over);
    for (size_t i = 0; i < c->n_slos; i++) {
        static const char *const TAILS[] = {"", " low", " high"};
        for (size_t k = 0; k < 3; k++) {
            char *name = xasprintf("%s%s", c->slos[i].text, TAILS[k]);
            buf_putc(&out, ',');
            report_csv_cell(&out, name);
            free(name);
        }
    }
    buf_puts(&out, ",request_throughput\r\n");
    for (size_t i = 0; i < c->n_loads; i++) {
        const struct capacity_load *l = loads[i];
        buf_printf(&out, "%.10g,%s,%zu,%zu,%zu", l->load, VERDICTS[l->verdict], l->n_runs,
                   l->n_requests, l->n_failed);
        for (size_t k = 0; k < c->n_slos; k++) {
            put_number(&out, l->estimates[k].value);
            put_number(&out, l->estimates[k].low);
            put_number(&out, l->estimates[k].high);
        }
        put_number(&out, l->throughput_hz);
        buf_puts(&out, "\r\n");
    }
    bool ok = runs_write(&c->runs, "capacity.csv", &out, err);
    buf_free(&out);
    free(loads);
    return ok;
}

bool capacity_write(const struct capacity *c, struct error *err)
{
    return write_json(c, err) && write_csv(c, err);
}
