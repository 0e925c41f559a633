/* What this process itself costs, from /proc: a client that is short of CPU measures itself. */
#pragma once

#include "client/report.h"
#include "client/timeline.h"

#define SELF_CPU "fluxperf_cpu_seconds_total"           /* of the whole process */
#define SELF_THREAD "fluxperf_thread_cpu_seconds_total" /* label "thread": name and id */
#define SELF_MEMORY "fluxperf_resident_memory_bytes"

/* A column of CPU seconds and memory, now. */
void self_load_sample(struct timeline *t);

/* The client was the bottleneck when, in the window of the measurement,
 *  - a thread used 90 % of a core or more (threads that send can't be split further), or
 *  - the process used 90 % of the cores that it may run on, or
 *  - requests started late though nothing but the client kept them: the 99th percentile of start -
 *    due is above 10 ms. Where a full --concurrency makes arrivals wait, this is not looked at, or
 *  - sending was held since answers waited to be judged.
 * Shares of CPU count in windows of a second and more only: starting up costs some too. */
#define SELF_MAX_SHARE 0.9
#define SELF_MAX_LAG_MS 10.0
#define SELF_MIN_WINDOW_S 1.0

struct self_load {
    double cpu_share; /* CPU seconds of the process / window: 1 is a whole core; NaN: not known */
    double busiest_share;    /* of the busiest thread; NaN */
    char busiest[32];        /* its name */
    double n_cores;          /* that the process may run on */
    double memory_mib;       /* the largest resident set seen; NaN */
    double start_lag_p99_ms; /* start - due; NaN where a full --concurrency explains it */
    double held_s;
    bool is_bottleneck;
    char why[160]; /* "" or what of the above, with numbers */
};

void self_load_fill(struct self_load *out, struct timeline *t, const struct report_phase *phase,
                    const struct options *o);
