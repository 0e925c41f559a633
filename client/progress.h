/* The live line on a terminal: done, in flight, failed, rate, time left. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct progress {
    const char *phase;
    int64_t n_done, n_in_flight, n_failed; /* of the phase; failures of the whole run */
    int64_t n_wanted;                      /* 0: bounded by time */
    double elapsed_s;
    double duration_s; /* 0: bounded by count */
};

/* Append the line, without control sequences. */
void progress_print(struct buf *out, const struct progress *p);

/* Draw it over the last one on stderr; NULL wipes it. */
void progress_draw(const struct progress *p);
