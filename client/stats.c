#include "client/stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"

const double STATS_RANKS[STATS_PERCENTILES] = {1, 5, 10, 25, 50, 75, 90, 95, 99};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct stats empty(void)
{
    struct stats s = {.sum = NAN, .avg = NAN, .min = NAN, .max = NAN, .std = NAN};
    for (size_t i = 0; i < STATS_PERCENTILES; i++)
        s.p[i] = NAN;
    return s;
}

/* The upper half interpolates from above, as numpy does, so that both ends are hit exactly. */
static double lerp(double a, double b, double t)
{
    double d = b - a;
    return t < 0.5 ? a + d * t : b - d * (1 - t);
}

double stats_percentile(const double *sorted, size_t n, double rank)
{
    double at = rank / 100 * (double)(n - 1);
    size_t low = (size_t)floor(at);
    size_t high = low + 1 < n ? low + 1 : low;
    return lerp(sorted[low], sorted[high], at - floor(at));
}

static void compute_moments(struct stats *s, const double *sorted, size_t n)
{
    s->count = n;
    s->min = sorted[0];
    s->max = sorted[n - 1];
    s->sum = 0;
    for (size_t i = 0; i < n; i++)
        s->sum += sorted[i];
    s->avg = s->sum / (double)n;
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (sorted[i] - s->avg) * (sorted[i] - s->avg);
    s->std = sqrt(squares / (double)n);
}

struct stats stats_compute(double *values, size_t n)
{
    struct stats s = empty();
    if (n == 0)
        return s;
    qsort(values, n, sizeof *values, compare_doubles);
    compute_moments(&s, values, n);
    for (size_t i = 0; i < STATS_PERCENTILES; i++)
        s.p[i] = stats_percentile(values, n, STATS_RANKS[i]);
    return s;
}

/* ---- lists with infinities ------------------------------------------------------------------ */

static double finite_or_nan(double x) { return isfinite(x) ? x : NAN; }

struct stats stats_compute_nearest(double *values, size_t n)
{
    struct stats s = empty();
    if (n == 0)
        return s;
    qsort(values, n, sizeof *values, compare_doubles);
    compute_moments(&s, values, n);
    s.sum = finite_or_nan(s.sum);
    s.avg = finite_or_nan(s.avg);
    s.min = finite_or_nan(s.min);
    s.max = finite_or_nan(s.max);
    s.std = finite_or_nan(s.std);
    for (size_t i = 0; i < STATS_PERCENTILES; i++) /* nearbyint: half to even */
        s.p[i] = finite_or_nan(values[(size_t)nearbyint(STATS_RANKS[i] / 100 * (double)(n - 1))]);
    return s;
}

/* ---- step functions ------------------------------------------------------------------------- */

struct span {
    double level, weight;
};

static int compare_spans(const void *a, const void *b)
{
    return compare_doubles(&((const struct span *)a)->level, &((const struct span *)b)->level);
}

struct stats stats_compute_steps(const struct stats_step *steps, size_t n, int64_t end_ns)
{
    struct stats s = empty();
    struct span *spans = xcalloc(n ? n : 1, sizeof *spans);
    double total = 0;
    size_t n_spans = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t until_ns = i + 1 < n ? steps[i + 1].at_ns : end_ns;
        double weight = (double)(until_ns - steps[i].at_ns);
        if (weight > 0) {
            spans[n_spans++] = (struct span){steps[i].level, weight};
            total += weight;
        }
    }
    if (n_spans == 0) {
        free(spans);
        return s;
    }
    qsort(spans, n_spans, sizeof *spans, compare_spans);
    s.count = n_spans;
    s.min = spans[0].level;
    s.max = spans[n_spans - 1].level;
    s.avg = 0;
    for (size_t i = 0; i < n_spans; i++)
        s.avg += spans[i].level * spans[i].weight / total;
    double squares = 0;
    for (size_t i = 0; i < n_spans; i++)
        squares += (spans[i].level - s.avg) * (spans[i].level - s.avg) * spans[i].weight / total;
    s.std = sqrt(squares);
    double seen = 0;
    size_t at = 0;
    for (size_t i = 0; i < n_spans; i++) {
        seen += spans[i].weight;
        bool is_last = i + 1 == n_spans;
        while (at < STATS_PERCENTILES && (is_last || seen >= STATS_RANKS[at] / 100 * total))
            s.p[at++] = spans[i].level;
    }
    free(spans);
    return s;
}
