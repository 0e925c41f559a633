/* When requests are due, as offsets from the start of a phase: absolute times, planned from the
 * pattern and the seed, or given by a fixed schedule. No clock, no socket. Lateness of the sender
 * never moves the plan. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/random.h"

enum arrival_pattern { ARRIVAL_CONSTANT, ARRIVAL_POISSON, ARRIVAL_GAMMA };

struct arrivals {
    enum arrival_pattern pattern;
    double rate_hz;          /* 0: no rate, every request is due at once (slots limit the load) */
    double smoothness;       /* gamma: shape of the gaps; 1 is Poisson */
    double ramp_s;           /* the rate rises from 0 to rate_hz for that long; 0: no ramp */
    const int64_t *times_ns; /* not owned: a fixed schedule, ascending; NULL: by the pattern */
    size_t n_times;
    struct random random;
    int64_t n_given;
    double at_s; /* the last time given out, as it were without the ramp */
};

/* Names as in --arrival-pattern. */
const char *arrival_pattern_name(enum arrival_pattern pattern);

void arrivals_init(struct arrivals *a, enum arrival_pattern pattern, double rate_hz,
                   double smoothness, int64_t seed);

/* Replay these times (at least one, kept by the caller) instead of a pattern. */
void arrivals_init_schedule(struct arrivals *a, const int64_t *times_ns, size_t n_times);

/* True when requests have due times of their own; else slots alone limit the load. */
static inline bool arrivals_has_plan(const struct arrivals *a)
{
    return a->rate_hz > 0 || a->times_ns;
}

/* The offset of the next request in nanoseconds: the sum of its gap and all before. The first one
 * comes after one gap. Constant gaps are 1/rate, Poisson's exponential with that mean, gamma's
 * have shape smoothness and the same mean.
 *
 * A ramp stretches the plan: the rate grows linearly with time, so that n requests are due after
 * sqrt(2 * ramp_s * n / rate_hz), and half a ramp's worth of requests is missing ever after.
 *
 * Of a fixed schedule the last time comes again after the end: a phase ends by its count. */
int64_t arrivals_next_ns(struct arrivals *a);
