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

/* ---- levels --------------------------------------------------------------------------------- */

struct stats stats_compute_levels(const double *time, size_t n_levels, size_t n_spans)
{
    struct stats s = empty();
    double total = 0, squares = 0, seen = 0;
    size_t last = 0, at = 0;
    for (size_t k = 0; k < n_levels; k++) {
        total += time[k];
        last = time[k] > 0 ? k : last;
    }
    if (total <= 0)
        return s;
    s.count = n_spans;
    s.max = (double)last;
    s.avg = 0;
    for (size_t k = 0; k <= last; k++) {
        double level = (double)k;
        if (time[k] > 0 && isnan(s.min))
            s.min = level;
        s.avg += level * time[k] / total;
        seen += time[k];
        while (time[k] > 0 && at < STATS_PERCENTILES &&
               (k == last || seen >= STATS_RANKS[at] / 100 * total))
            s.p[at++] = level;
    }
    for (size_t k = 0; k <= last; k++)
        squares += ((double)k - s.avg) * ((double)k - s.avg) * time[k] / total;
    s.std = sqrt(squares);
    return s;
}
