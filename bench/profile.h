/* Time and arithmetic by operation: a back end's table is replaced by one that counts and then
 * calls the original. */
#pragma once

#include "tensor/ops.h"

enum { PROFILE_OPS = 16 };

struct profile_row {
    const char *name;
    int64_t calls;
    double seconds; /* of a real back end */
    double flops;   /* of the plan */
};

/* Count what b does from now on. One back end at a time. */
void profile_begin(struct backend *b);
/* Put the original table back and give the rows, by operation. */
void profile_end(struct backend *b, struct profile_row rows[PROFILE_OPS]);
