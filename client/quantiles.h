/* Percentiles with an interval that contains the true one with 95 % confidence, whatever the
 * distribution: its ends are two of the values themselves, chosen by the binomial distribution of
 * how many of n independent values lie below a percentile (David & Nagaraja, Order Statistics,
 * 7.1). Each end is wrong with a probability of at most 2.5 %. */
#pragma once

#include <stddef.h>

#define N_QUANTILES 10
extern const double QUANTILE_RANKS[N_QUANTILES]; /* 1 5 10 25 50 75 90 95 99 99.9 */

struct quantile {
    double value;     /* by linear interpolation, as stats_percentile */
    double low, high; /* NaN: n is too small for an end on that side */
};

/* Of sorted values, n > 0. */
void quantiles_compute(struct quantile out[N_QUANTILES], const double *sorted, size_t n);

/* The 1-based ranks of the ends among n sorted values, 0 < rank < 100; *low 0 and *high n + 1
 * stand for ends that do not exist. */
void quantile_ends(size_t n, double rank, size_t *low, size_t *high);

/* The least n with both ends: 368 for 99. */
size_t quantile_needs(double rank);
