/* `fluxperf capacity`: the highest load at which service level objectives hold. */
#pragma once

#include "client/capacity_search.h"
#include "client/capacity_slo.h"
#include "client/runs.h"

/* Returns the exit code: 0 a load that holds was found, 3 even the least one fails, 4 no load is
 * certain to hold, 1 the command ended early, 2 wrong usage. */
int capacity_main(int argc, char **argv, int first);
void capacity_help(void);

/* What is known of one load, over all its runs. */
struct capacity_load {
    double load;
    size_t n_runs, n_requests, n_failed; /* failed, canceled and unsent ones are failures here */
    double throughput_hz;                /* successes, of the last run */
    struct capacity_sample samples[CAPACITY_MAX_SLOS];
    struct capacity_estimate estimates[CAPACITY_MAX_SLOS];
    enum capacity_verdict verdict; /* the worst of the estimates' */
};

struct capacity {
    struct runs runs;
    const char *over; /* "concurrency" or "request-rate" */
    struct capacity_slo slos[CAPACITY_MAX_SLOS];
    size_t n_slos;
    struct capacity_search search;
    struct capacity_load *loads; /* owned, in the order they were tried */
    size_t n_loads;
    struct runs_result *results; /* owned */
    double *result_loads;        /* owned: of each */
    size_t n_results;
};

/* The outcome in words, appended without a newline. */
void capacity_print_outcome(struct buf *out, const struct capacity *c);
/* The table of the console. */
void capacity_print(struct buf *out, const struct capacity *c);
bool capacity_write(const struct capacity *c, struct error *err); /* capacity.json, capacity.csv */
