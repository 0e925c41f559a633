/* A list of pieces of bytes of any size and number, written once and then read in any order
 * (spill.h): the rows of a data set. */
#pragma once

#include <stdint.h>

#include "client/spill.h"

/* Zero-initialise but for the directories of the two. */
struct shelf {
    struct spill bytes;
    struct spill ends; /* uint64_t: 0, then where each piece ends */
    size_t n;
};

static inline void shelf_init(struct shelf *s, const char *dir)
{
    *s = (struct shelf){.bytes = {.dir = dir}, .ends = {.dir = dir}};
}

/* Append to the last piece, and end it. */
bool shelf_append(struct shelf *s, const void *bytes, size_t size, struct error *err);
bool shelf_end(struct shelf *s, struct error *err);

/* All is there: readers may be made. */
bool shelf_done(struct shelf *s, struct error *err);
void shelf_close(struct shelf *s);

/* A piece of a file in memory. */
struct shelf_window {
    struct buf bytes;
    size_t from;
};

/* Reads a shelf, by one thread. What lies in a file is read, not mapped: the system may map any
 * amount around a byte. Zero-initialise but for the shelf. */
struct shelf_reader {
    const struct shelf *shelf;
    struct shelf_window bytes, ends;
    size_t next; /* after the last piece: whoever wants it will want those behind it too */
};

/* Piece i < n, at any alignment; holds until the next call, or shelf_close when the shelf is in
 * memory. A file that can't be read any more ends the program, as memory that is gone does. */
const char *shelf_at(struct shelf_reader *r, size_t i, size_t *size);
void shelf_reader_free(struct shelf_reader *r);
