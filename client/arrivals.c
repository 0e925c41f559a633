#include "client/arrivals.h"

#include <math.h>

#include "base/clock.h"

const char *arrival_pattern_name(enum arrival_pattern pattern)
{
    static const char *const NAMES[] = {"constant", "poisson", "gamma"};
    return NAMES[pattern];
}

void arrivals_init(struct arrivals *a, enum arrival_pattern pattern, double rate_hz,
                   double smoothness, int64_t seed)
{
    *a = (struct arrivals){.pattern = pattern, .rate_hz = rate_hz, .smoothness = smoothness};
    random_init(&a->random, seed,
                pattern == ARRIVAL_GAMMA ? "timing.request.gamma_interval"
                                         : "timing.request.poisson_interval");
}

void arrivals_init_schedule(struct arrivals *a, const int64_t *times_ns, size_t n_times)
{
    *a = (struct arrivals){.times_ns = times_ns, .n_times = n_times};
}

/* The moment at which a rate that rises linearly has given as many requests as the full rate gives
 * in at_s. */
static double ramped(double at_s, double ramp_s)
{
    return at_s < ramp_s / 2 ? sqrt(2 * ramp_s * at_s) : at_s + ramp_s / 2;
}

int64_t arrivals_next_ns(struct arrivals *a)
{
    if (!arrivals_has_plan(a))
        return 0;
    a->n_given++;
    if (a->times_ns)
        return a
            ->times_ns[(size_t)a->n_given < a->n_times ? (size_t)a->n_given - 1 : a->n_times - 1];
    switch (a->pattern) {
    case ARRIVAL_CONSTANT: /* from the count, so that no rounding adds up */
        a->at_s = (double)a->n_given / a->rate_hz;
        break;
    case ARRIVAL_POISSON:
        a->at_s += random_exponential(&a->random, a->rate_hz);
        break;
    case ARRIVAL_GAMMA:
        a->at_s += random_gamma(&a->random, a->smoothness, 1 / (a->rate_hz * a->smoothness));
        break;
    }
    return (int64_t)(ramped(a->at_s, a->ramp_s) * (double)NS_PER_S);
}
