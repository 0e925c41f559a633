/* How far a download is: one line that is drawn over itself on a terminal, else a log line now and
 * then. Any thread adds; one thread draws. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct meter {
    _Atomic int64_t done_bytes;     /* in place already, or received */
    _Atomic int64_t received_bytes; /* by this process; for the rate */
    _Atomic int64_t n_files_done;
    int64_t total_bytes, n_files; /* known so far; the drawing thread's */
    int64_t start_ns, drawn_ns;
    bool is_terminal, is_drawn;
};

void meter_init(struct meter *m); /* looks whether stderr is a terminal */

/* More work is known; not while workers run. */
void meter_expect(struct meter *m, int64_t bytes, int64_t n_files);
void meter_add(struct meter *m, int64_t bytes);  /* bytes arrived */
void meter_skip(struct meter *m, int64_t bytes); /* they were there; negative: they have to be
                                                    fetched again */
void meter_end_file(struct meter *m);

/* Draw or log, if it is time to. */
void meter_tick(struct meter *m, int64_t now_ns);
/* Leave the last state on a terminal, so that other output can follow. */
void meter_end(struct meter *m);

/* Append the line: `[=====>    ] 12.3 GB of 33.7 GB (36 %)  9/25 files  112 MB/s  3:11 left`. */
void meter_print(struct buf *out, const struct meter *m, int64_t now_ns, bool has_bar);
