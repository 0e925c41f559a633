/* A closer look at some of the denoising steps of a run: their time by range and operation
 * (tensor/profile.h), and the mark for tools that record on demand. */
#pragma once

#include "base/buf.h"
#include "flux/flux.h"

/* Zero-initialised but for the steps; used for one run after the other, counts add up. */
struct step_profile {
    int first, last;         /* counted from 0, both are in */
    struct profile *profile; /* owned: step_profile_free; NULL before the first profiled step */
    struct backend *running; /* between first and last */
    int n_steps;             /* that were profiled so far */
};

/* Read "FIRST:LAST" or "STEP". Fails naming the field and the value. */
bool step_profile_parse(struct step_profile *p, const char *field, const char *text,
                        struct error *err);
void step_profile_free(struct step_profile *p);

/* What the denoising loop calls, p may be NULL: before each step; and after the last one, or where
 * the run was broken off. Needs an empty queue. */
void step_profile_before(struct step_profile *p, struct backend *b, int step);
void step_profile_stop(struct step_profile *p);

/* The table, and what a profiled step took on average beside the others of the run. Nothing when no
 * step was profiled. result is the run's, of one group of rows or more. */
void step_profile_print(const struct step_profile *p, const struct flux_result *result,
                        struct buf *out);
