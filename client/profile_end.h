/* The last words of a run: what goes to stdout and stderr, and the exit code. */
#pragma once

#include "client/artifacts.h"
#include "client/profile.h"
#include "client/report.h"

/* Answers that wait to be judged. Some 20 large pictures; what is in flight comes on top. */
#define PROFILE_MAX_PENDING_BYTES ((size_t)8 << 20)
#define PROFILE_MIN_PENDING 32 /* so many answers may wait whatever their size */

/* Print the tables and where the files are to stdout. */
void profile_end_print(const struct artifacts *a, const struct report *report,
                       const struct buf *console);

/* Say on stderr what went wrong. Returns the exit code. */
int profile_end_judge(const struct report *report);

/* Fill all but code and wants_end. unwritten: why files are not whole, or NULL. */
void profile_end_fill(struct profile_outcome *o, const struct report *report,
                      const struct error *unwritten);
