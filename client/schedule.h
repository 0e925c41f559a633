/* A schedule: which entry of a data set is due when. Here by the timestamps of its rows (fixed
 * schedule); users.h makes one of users. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/prompts.h"
#include "client/spill.h"

/* Which part of the file's own time is replayed, in its milliseconds; both ends belong to it. */
struct schedule_window {
    bool has_start, has_end;
    int64_t start_ms, end_ms;
};

/* Lists of millions lie in files (spill.h); those below hold from schedule_done to schedule_free.
 */
struct schedule {
    struct spill lists[4];
    const int64_t *due_ns; /* offsets from the start, ascending */
    const uint64_t *entry; /* index into the data set */
    const int64_t *user;   /* number of who sends it; NULL: there are no users */
    const bool *follows; /* request i waits for the end of request i - n_places; NULL: none does */
    size_t n;
    int64_t n_places; /* 0 in a fixed schedule */
};

/* dir is where large lists may lie; n_places above 0: there are users. */
void schedule_init(struct schedule *s, const char *dir, int64_t n_places);
/* Append a request. */
bool schedule_put(struct schedule *s, int64_t due_ns, uint64_t entry, int64_t user, bool follows,
                  struct error *err);
/* All are there. */
bool schedule_done(struct schedule *s, struct error *err);
/* Take it out of the process's memory (spill_trim). */
void schedule_trim(const struct schedule *s);
void schedule_free(struct schedule *s);

/* Order the rows of the window by their timestamps, rows of one moment as they stand in the file.
 * The phase starts at the window's start, without one at the first timestamp. path is for messages.
 * Fails with ERR_INVALID when a row has no timestamp, or no row lies in the window. */
bool schedule_make(struct schedule *s, const struct prompts *prompts,
                   const struct schedule_window *window, const char *path, const char *dir,
                   struct error *err);
