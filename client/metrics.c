/* The table's machinery; what the rows compute stands in metrics_table.c. */
#include "client/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

const struct metric *metric_find(const char *tag)
{
    for (size_t i = 0; i < N_METRICS; i++) {
        if (strcmp(METRICS[i].tag, tag) == 0)
            return &METRICS[i];
    }
    return NULL;
}

/* ---- goodput -------------------------------------------------------------------------------- */

static bool parse_objective(const char *pair, struct metrics_objective *o, struct error *err)
{
    const char *colon = strchr(pair, ':');
    if (!colon)
        return fail_field(err, "--goodput",
                          "--goodput: '%s' must be tag:limit, like "
                          "request_latency:250",
                          pair);
    char *tag = xstrndup(pair, (size_t)(colon - pair));
    o->metric = metric_find(tag);
    bool ok = o->metric && o->metric->kind == METRIC_RECORD;
    if (!ok)
        fail_field(err, "--goodput",
                   "--goodput: '%s' is no metric of a request; one is "
                   "request_latency",
                   tag);
    free(tag);
    char *end;
    o->limit = strtod(colon + 1, &end);
    if (ok && (end == colon + 1 || *end || !isfinite(o->limit)))
        return fail_field(err, "--goodput", "--goodput: '%s' must end in a number", pair);
    return ok;
}

bool metrics_parse_goodput(const char *text, struct metrics_objective **out, size_t *n,
                           struct error *err)
{
    char *copy = xstrdup(text), *rest = NULL;
    bool ok = true;
    *out = NULL;
    *n = 0;
    for (char *pair = strtok_r(copy, " ", &rest); ok && pair; pair = strtok_r(NULL, " ", &rest)) {
        *out = xrealloc(*out, (*n + 1) * sizeof **out);
        ok = parse_objective(pair, &(*out)[(*n)++], err);
    }
    free(copy);
    if (ok && *n == 0)
        ok = fail_field(err, "--goodput", "--goodput is empty: must be tag:limit");
    if (!ok) {
        free(*out);
        *out = NULL;
        *n = 0;
    }
    return ok;
}

bool metrics_is_good(const struct record *r, const struct metrics_objective *objectives, size_t n)
{
    if (!record_succeeded(r))
        return false;
    for (size_t i = 0; i < n; i++) {
        double value;
        const struct metrics_objective *o = &objectives[i];
        if (!o->metric->get(r, &value))
            return false;
        if (o->metric->is_larger_better ? value < o->limit : value > o->limit)
            return false;
    }
    return true;
}

/* ---- computing ------------------------------------------------------------------------------ */

static bool compute_distribution(const struct metric *m, const struct metrics_input *in,
                                 struct metric_value *v)
{
    double *values = xcalloc(in->n_records ? in->n_records : 1, sizeof *values);
    size_t n = 0;
    for (size_t i = 0; i < in->n_records; i++)
        n += m->get(metrics_record(in, i), &values[n]);
    v->stats = stats_compute(values, n); /* sorts them */
    v->has_quantiles = n > 0 && !in->is_slice;
    if (v->has_quantiles)
        quantiles_compute(v->quantiles, values, n);
    free(values);
    return n > 0;
}

void metrics_compute(struct metrics *out, const struct metrics_input *in)
{
    out->values = xcalloc(N_METRICS, sizeof *out->values);
    out->n_values = 0;
    for (size_t i = 0; i < N_METRICS; i++) {
        const struct metric *m = &METRICS[i];
        if (in->is_slice && m->is_run_wide)
            continue;
        struct metric_value *v = &out->values[out->n_values];
        v->metric = m;
        bool exists = m->compute ? m->compute(in, &v->stats) : compute_distribution(m, in, v);
        out->n_values += exists;
    }
}

void metrics_free(struct metrics *m)
{
    free(m->values);
    *m = (struct metrics){0};
}

const struct metric_value *metrics_get(const struct metrics *m, const char *tag)
{
    for (size_t i = 0; i < m->n_values; i++) {
        if (strcmp(m->values[i].metric->tag, tag) == 0)
            return &m->values[i];
    }
    return NULL;
}
