/* A fixed schedule: when each row of a data set is due, by the timestamps of the rows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "client/prompts.h"

/* Which part of the file's own time is replayed, in its milliseconds; both ends belong to it. */
struct schedule_window {
    bool has_start, has_end;
    int64_t start_ms, end_ms;
};

struct schedule {
    int64_t *due_ns; /* owned: schedule_free; offsets from the start of the phase, ascending */
    size_t *entry;   /* owned: the row of the data set */
    size_t n;
};

/* Order the rows of the window by their timestamps, rows of one moment as they stand in the file.
 * The phase starts at the window's start, without one at the first timestamp. path is for messages.
 * Fails with ERR_INVALID when a row has no timestamp, or no row lies in the window. */
bool schedule_make(struct schedule *s, const struct prompts *prompts,
                   const struct schedule_window *window, const char *path, struct error *err);
void schedule_free(struct schedule *s);
