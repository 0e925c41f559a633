/* Time and arithmetic by range and operation: for a while a back end's table is replaced by one
 * that counts and calls the original. Flops and bytes are the plan's (tensor/plan.h), which gets
 * every call too.
 *
 * Time is the device's where work is queued, taken around each operation, and the clock's
 * elsewhere. Every operation is run by itself: nothing is captured or replayed meanwhile. */
#pragma once

#include "base/buf.h"
#include "tensor/ops.h"

enum { PROFILE_OPS = 16, PROFILE_STAMPS = 4096 };

/* All calls of an operation within ranges of one name (the innermost). */
struct profile_row {
    const char *range; /* "" outside of all */
    const char *op;    /* as in struct backend_ops */
    int64_t calls;
    double seconds, flops, bytes;
};

/* NULL never: aborts without memory. */
struct profile *profile_new(void);
void profile_free(struct profile *p); /* NULL is fine; not between begin and end */

/* Count what b does from now on, in addition to what was counted before. end needs a sync before
 * it; it puts the original table back. */
void profile_begin(struct profile *p, struct backend *b);
void profile_end(struct profile *p);

/* In the order of first calls; valid until the next begin. */
const struct profile_row *profile_rows(const struct profile *p, int *n);
/* The rows of each operation added up, with the range "all", longest first. Returns their number.
 */
int profile_by_op(const struct profile *p, struct profile_row rows[PROFILE_OPS]);
/* By the clock, from begin to end. */
double profile_seconds(const struct profile *p);

/* A table of the rows, longest first, with a sum for each range and each operation. */
void profile_print(const struct profile *p, struct buf *out);
