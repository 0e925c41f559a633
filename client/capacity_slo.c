#include "client/capacity_slo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "client/quantiles.h"

#define MARGIN 2

/* ---- reading -------------------------------------------------------------------------------- */

static bool read_limit(const char *text, double *limit)
{
    char *end;
    *limit = strtod(text, &end);
    return *text && !*end && isfinite(*limit) && *limit > 0;
}

bool capacity_slo_parse(struct capacity_slo *out, const char *text, bool has_rate,
                        struct error *err)
{
    const char *colon = strchr(text, ':'), *rank = NULL;
    char *end = NULL;
    *out = (struct capacity_slo){.text = text};
    for (const char *p = text; colon && (p = strstr(p, "_p")) && p < colon; p++)
        rank = p + 2; /* the last one: tags have "_p" in them as well */
    if (rank)
        out->rank = strtod(rank, &end);
    if (!rank || end != colon || !(out->rank > 0 && out->rank < 100) ||
        !read_limit(colon + 1, &out->limit))
        return fail_field(err, "--slo",
                          "--slo '%s': must be TAG_pRANK:LIMIT, like request_latency_p95:2000",
                          text);
    char *tag = xstrndup(text, (size_t)(rank - 2 - text));
    bool is_latency = has_rate && strcmp(tag, "request_latency") == 0;
    out->metric = metric_find(is_latency ? "response_time" : tag);
    free(tag);
    if (!out->metric || !out->metric->in_jsonl || out->metric->is_larger_better)
        return fail_field(err, "--slo",
                          "--slo '%s': must name a duration of a request, like "
                          "request_latency",
                          text);
    return true;
}

size_t capacity_slo_needs(const struct capacity_slo *slo)
{
    return MARGIN * quantile_needs(slo->rank);
}

/* ---- the sample ----------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void capacity_sample_add(struct capacity_sample *s, const double *values, size_t n,
                         size_t n_infinite)
{
    size_t n_all = s->n + n + n_infinite;
    s->values = xrealloc(s->values, (n_all + 1) * sizeof *s->values);
    if (n > 0)
        memcpy(s->values + s->n, values, n * sizeof *values);
    for (size_t i = s->n + n; i < n_all; i++)
        s->values[i] = INFINITY;
    s->n = n_all;
    qsort(s->values, s->n, sizeof *s->values, compare_doubles);
}

void capacity_sample_free(struct capacity_sample *s)
{
    free(s->values);
    *s = (struct capacity_sample){0};
}

struct capacity_estimate capacity_slo_judge(const struct capacity_slo *slo,
                                            const struct capacity_sample *sample)
{
    struct capacity_estimate e = {NAN, NAN, NAN, CAPACITY_UNCERTAIN};
    size_t n = sample->n, low, high;
    if (n == 0)
        return e;
    quantile_ends(n, slo->rank, &low, &high);
    size_t at =
        (size_t)ceil(slo->rank / 100 * (double)n); /* nearest rank: values may be infinite */
    e.value = sample->values[at > 0 ? at - 1 : 0];
    if (low >= 1)
        e.low = sample->values[low - 1];
    if (high <= n)
        e.high = sample->values[high - 1];
    if (e.high <= slo->limit) /* false for NaN */
        e.verdict = CAPACITY_HOLDS;
    else if (e.low > slo->limit)
        e.verdict = CAPACITY_FAILS;
    return e;
}
