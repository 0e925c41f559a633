/* How a number differs from run to run. Requests of one run share its circumstances, so the scatter
 * between runs, not within one, tells how far the next run may be off. */
#pragma once

#include <stddef.h>

#define SPREAD_CONFIDENCE 0.95

struct spread {
    size_t n;
    double mean, min, max;
    double std;       /* of the sample, by n - 1; NaN for fewer than 2 values */
    double cv;        /* std / |mean|; NaN where that has no meaning */
    double low, high; /* interval of the mean over runs, by Student's t; NaN for fewer than 2 */
};

/* Of values[0..n), none of them NaN. With n 0 all is NaN. */
struct spread spread_compute(const double *values, size_t n);

/* The t that a variable of Student's distribution with that many degrees of freedom, 1 or more,
 * stays within (-t, t) of with that probability, 0 < confidence < 1. */
double spread_t(size_t degrees, double confidence);
