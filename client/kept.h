/* What is kept of every request until the reports are written: its numbers, in a file without a
 * name that is mapped into memory. The system holds the pages; kept_trim takes them out of the
 * process again, so that a run of a million requests needs little memory. Where the directory has
 * no room, memory is used instead.
 *
 * Belongs to one thread at a time. */
#pragma once

#include "client/record.h"

#define KEPT_PASS 4096
/* Of failures: bytes of a message, and different messages and types. */
#define KEPT_MAX_TEXT 2000
#define KEPT_MAX_TEXTS 200
#define KEPT_OTHER_TEXT "another message (more than 200 different ones came)"

struct kept;

/* dir is where the file lies (it is unlinked at once); NULL: memory. Never fails. */
struct kept *kept_open(const char *dir);
void kept_close(struct kept *k); /* NULL is fine */

/* Copy a judged record, less all that RECORD_KEPT_BYTES leaves out. The record stays with the
 * caller. The copy lives as long as k and must not be freed. */
struct record *kept_add(struct kept *k, const struct record *r);

size_t kept_count(const struct kept *k);
/* In the order of adding, i < kept_count. */
struct record *kept_at(const struct kept *k, size_t i);

/* Take the pages out of the process's memory; the system reads them again when they are used. */
void kept_trim(const struct kept *k);
/* The same for the rows around i - KEPT_PASS to i; of all of them at every 16th such piece. */
void kept_trim_piece(const struct kept *k, size_t i);
/* The same now and then: for loops over all records, called for each i. k may be NULL. */
static inline void kept_pass(const struct kept *k, size_t i)
{
    if (k && i % KEPT_PASS == KEPT_PASS - 1)
        kept_trim_piece(k, i);
}
