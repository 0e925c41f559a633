/* `fluxperf profile`: one run from the options to the exit code. */
#pragma once

#include <stdbool.h>

#include "client/metrics.h"

/* argv[first..argc) are the options. Returns the exit code: 0 everything succeeded, 1 the run or
 * any request failed, 2 the command line is wrong. */
int profile_main(int argc, char **argv, int first);

/* What a run among several leaves behind, besides its files. */
struct profile_outcome {
    int code;               /* as profile_main's */
    bool has_results;       /* the run took place; else stderr says why not */
    bool was_ended_early;   /* its numbers are not those of a whole run */
    bool wants_end;         /* a signal came: no further run is wanted */
    bool is_unreachable;    /* nothing could be connected to the server, or nothing any more */
    char failure[300];      /* the first kind of failure: "type: message"; "" when there is none */
    char unwritten[300];    /* why files of the run are not whole; "": they are */
    struct metrics metrics; /* owned: of the measurement */
};

/* The same for one run among several: nothing goes to stdout, and the first Ctrl-C lets the run
 * come to its end. SIGINT and SIGTERM stay blocked afterwards. */
void profile_run(int argc, char **argv, int first, struct profile_outcome *out);
void profile_outcome_free(struct profile_outcome *o);
