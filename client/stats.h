/* Exact statistics of a list of numbers: percentiles by linear interpolation between the closest
 * ranks (numpy's default) and the population standard deviation, as AIPerf defines them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATS_PERCENTILES 9
extern const double STATS_RANKS[STATS_PERCENTILES]; /* 1 5 10 25 50 75 90 95 99 */
enum { P1, P5, P10, P25, P50, P75, P90, P95, P99 };

/* A field that does not exist (no values; infinite) is NaN. */
struct stats {
    size_t count;
    double sum, avg, min, max, std;
    double p[STATS_PERCENTILES];
};

/* Statistics of values[0..n), which are sorted in place; n 0 gives a count of 0 and NaNs. */
struct stats stats_compute(double *values, size_t n);

/* The percentile of sorted values, n > 0, 0 <= rank <= 100. */
double stats_percentile(const double *sorted, size_t n, double rank);

/* As stats_compute, for values that may be infinite: percentiles take the nearest rank (half to
 * even) instead of mixing neighbours, and whatever comes out infinite is NaN. */
struct stats stats_compute_nearest(double *values, size_t n);

/* A step function over time: level[i] holds from at_ns[i] to at_ns[i + 1], the last one to end_ns.
 * Average and deviation are weighted by time; a percentile is the first level whose share of time,
 * cumulated over ascending levels, reaches the rank. Steps are in time order; those of no duration
 * count for min and max only when everything has none. sum is NaN. */
struct stats_step {
    int64_t at_ns;
    double level;
};
struct stats stats_compute_steps(const struct stats_step *steps, size_t n, int64_t end_ns);
