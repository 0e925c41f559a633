/* A long array of bytes that is written once, front to back, and then read anywhere: the rows of a
 * data set of millions of lines, or their due times. A small one is memory; a larger one is a file
 * without a name, mapped when it is complete. The system holds its pages; spill_trim takes them out
 * of the process again.
 *
 * Written by one thread; read, and trimmed, by any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

#define SPILL_MEMORY ((size_t)2 << 20) /* a larger one is a file */

/* Zero-initialise to start. */
struct spill {
    const char *dir; /* where its file shall lie; NULL: memory whatever its size. Not owned */
    char *at;        /* after spill_done: the bytes, size of them; may be written over */
    size_t size;
    struct buf tail; /* what is not in the file yet; all, without one */
    int fd;          /* only when has_file */
    bool has_file;
};

/* Open a file without a name in a directory; -1: errno says why. */
int spill_nameless(const char *dir);

/* Append. Fails with ERR_IO when the file can't be made or written. */
bool spill_append(struct spill *s, const void *bytes, size_t size, struct error *err);
/* Make size bytes, all zero, and be done. */
bool spill_zero(struct spill *s, size_t size, struct error *err);
/* All is written: make it readable. Must be called once. */
bool spill_done(struct spill *s, struct error *err);

/* Take its pages out of the process's memory; the system gives them again when they are used. */
void spill_trim(const struct spill *s);
void spill_close(struct spill *s);

/* Sort a complete array of items of one size, each at most 64 bytes, in little memory (merging
 * sorted runs). `order` compares two items as qsort's does. */
bool spill_sort(struct spill *s, size_t item_bytes, int (*order)(const void *, const void *),
                struct error *err);
