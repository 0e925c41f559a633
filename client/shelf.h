/* A list of pieces of bytes of any size and number, written once and then read in any order
 * (spill.h): the rows of a data set. */
#pragma once

#include <stdint.h>

#include "client/spill.h"

/* Zero-initialise but for the directories of the two. */
struct shelf {
    struct spill bytes;
    struct spill ends; /* uint64_t: where each piece ends */
    size_t n;
};

static inline void shelf_init(struct shelf *s, const char *dir)
{
    *s = (struct shelf){.bytes = {.dir = dir}, .ends = {.dir = dir}};
}

/* Append to the last piece, and end it. */
bool shelf_append(struct shelf *s, const void *bytes, size_t size, struct error *err);
bool shelf_end(struct shelf *s, struct error *err);

/* All is there: shelf_at may be used. */
bool shelf_done(struct shelf *s, struct error *err);
/* Piece i < n; it has any alignment. Holds until shelf_close. */
const char *shelf_at(const struct shelf *s, size_t i, size_t *size);

/* What looking at one piece somewhere brings into memory at least: the system maps pages around it.
 */
#define SHELF_PEEK ((size_t)64 << 10)

/* Loops call this for every piece read, with its size; *seen, 0 at the start, is what was read
 * since the pages were last given back. */
void shelf_pass(const struct shelf *s, size_t *seen, size_t size);
/* Take its pages out of the process's memory (spill_trim). */
void shelf_trim(const struct shelf *s);
void shelf_close(struct shelf *s);
