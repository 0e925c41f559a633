/* When requests are due, as offsets from the start of a phase: absolute times, planned from the
 * pattern and the seed alone. No clock, no socket. Lateness of the sender never moves the plan. */
#pragma once

#include <stdint.h>

#include "client/random.h"

enum arrival_pattern { ARRIVAL_CONSTANT, ARRIVAL_POISSON, ARRIVAL_GAMMA };

struct arrivals {
    enum arrival_pattern pattern;
    double rate_hz;    /* 0: no rate, every request is due at once (slots limit the load) */
    double smoothness; /* gamma: shape of the gaps; 1 is Poisson */
    double ramp_s;     /* the rate rises from 0 to rate_hz for that long; 0: no ramp */
    struct random random;
    int64_t n_given;
    double at_s; /* the last time given out, as it were without the ramp */
};

/* Names as in --arrival-pattern. */
const char *arrival_pattern_name(enum arrival_pattern pattern);

void arrivals_init(struct arrivals *a, enum arrival_pattern pattern, double rate_hz,
                   double smoothness, int64_t seed);

/* The offset of the next request in nanoseconds: the sum of its gap and all before. The first one
 * comes after one gap. Constant gaps are 1/rate, Poisson's exponential with that mean, gamma's
 * have shape smoothness and the same mean.
 *
 * A ramp stretches the plan: the rate grows linearly with time, so that n requests are due after
 * sqrt(2 * ramp_s * n / rate_hz), and half a ramp's worth of requests is missing ever after. */
int64_t arrivals_next_ns(struct arrivals *a);
