/* Where is the highest load that holds? The search of `fluxperf capacity` as a state machine: it
 * says which load to try next and is told what came of it. No clock, no server.
 *
 * Loads are first doubled (and halved, when the first one does not hold) until one holds and one
 * fails, then the gap is bisected. A result that is not clear is asked for again, up to a bound;
 * then the load is uncertain, and both ends of the uncertain range are sought. */
#pragma once

#include <stdbool.h>

enum capacity_verdict { CAPACITY_HOLDS, CAPACITY_UNCERTAIN, CAPACITY_FAILS };

struct capacity_settings {
    double start;       /* the first load */
    double least, most; /* loads to stay within; least <= start <= most, all above 0 */
    bool is_integer;    /* loads are whole numbers */
    double resolution;  /* 0.05: a gap of 5 % is closed; whole numbers next to each other always */
    int max_runs;       /* of one load, before it counts as uncertain */
};

struct capacity_search {
    struct capacity_settings settings;
    double load;  /* the present one */
    int n_runs;   /* of it; 0: none yet, begin with start */
    bool is_open; /* the present load is not decided */
    /* What is known; 0: nothing. holds < uncertain_from <= uncertain_to < fails */
    double holds, uncertain_from, uncertain_to, fails;
};

void capacity_search_init(struct capacity_search *s, const struct capacity_settings *settings);

/* The load of the next run; false: the search is over. */
bool capacity_search_next(struct capacity_search *s, double *load);

/* Tell the verdict on the load that was asked for, over all its runs so far. */
void capacity_search_take(struct capacity_search *s, enum capacity_verdict verdict);
