/* Which entry of the data set is next: --dataset-sampling-strategy. The choices are AIPerf's for
 * the same seed. */
#pragma once

#include "client/random.h"
#include "client/shuffle.h"

enum sampling { SAMPLING_SEQUENTIAL, SAMPLING_RANDOM, SAMPLING_SHUFFLE };

/* Owned by the thread that draws. */
struct sampler {
    enum sampling how;
    size_t n;               /* entries */
    size_t n_taken;         /* draws so far */
    struct random random;   /* RANDOM: any entry, with replacement */
    struct shuffle shuffle; /* SHUFFLE: all in a random order, then all in another one */
};

/* Name as in the option. */
const char *sampling_name(enum sampling how);

/* n > 0; dir is where a long order may lie (spill.h). */
bool sampler_open(struct sampler *s, enum sampling how, size_t n, int64_t seed, const char *dir,
                  struct error *err);
size_t sampler_next(struct sampler *s);
/* Take it out of the process's memory (spill_trim). */
void sampler_trim(const struct sampler *s);
void sampler_close(struct sampler *s);
