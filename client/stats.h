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

/* A level over time that is a whole number: time[k] is how long it was k, in any unit. Average and
 * deviation are weighted by time; a percentile is the first level whose share of time, cumulated
 * over ascending levels, reaches the rank. n_spans, between two changes, is the count. sum is NaN;
 * without any time all is. */
struct stats stats_compute_levels(const double *time, size_t n_levels, size_t n_spans);
