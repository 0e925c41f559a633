/* A schedule: which entry of a data set is due when. Here by the timestamps of its rows (fixed
 * schedule); users.h makes one of users. */
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
    int64_t *due_ns; /* owned, like the lists: schedule_free; offsets from the start, ascending */
    size_t *entry;   /* index into the data set */
    bool *follows;   /* request i waits for the end of request i - n_places */
    const char **correlation; /* X-Correlation-ID; its text belongs to names or the data set */
    char **names;             /* owned texts, or NULL */
    size_t n;
    int64_t n_places; /* 0 in a fixed schedule, where none follows */
};

/* Room for n requests, all zero. */
void schedule_reserve(struct schedule *s, size_t n);

/* Order the rows of the window by their timestamps, rows of one moment as they stand in the file.
 * The phase starts at the window's start, without one at the first timestamp. path is for messages.
 * Fails with ERR_INVALID when a row has no timestamp, or no row lies in the window. */
bool schedule_make(struct schedule *s, const struct prompts *prompts,
                   const struct schedule_window *window, const char *path, struct error *err);
void schedule_free(struct schedule *s);
