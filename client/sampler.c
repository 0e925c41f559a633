#include "client/sampler.h"

const char *sampling_name(enum sampling how)
{
    static const char *const NAMES[] = {"sequential", "random", "shuffle"};
    return NAMES[how];
}

bool sampler_open(struct sampler *s, enum sampling how, size_t n, int64_t seed, const char *dir,
                  struct error *err)
{
    *s = (struct sampler){.how = how, .n = n};
    random_init(&s->random, seed, "dataset.sampler.random");
    return how != SAMPLING_SHUFFLE ||
           shuffle_open(&s->shuffle, n, random_derive(seed, "dataset.sampler.shuffle"), dir, err);
}

size_t sampler_next(struct sampler *s)
{
    size_t i = s->n_taken++ % s->n;
    if (s->how == SAMPLING_RANDOM)
        return (size_t)random_below(&s->random, s->n);
    if (s->how != SAMPLING_SHUFFLE)
        return i;
    if (i == 0 && s->n_taken > 1)
        shuffle_again(&s->shuffle);
    return s->shuffle.order[i];
}

void sampler_trim(const struct sampler *s) { spill_trim(&s->shuffle.list); }

void sampler_close(struct sampler *s) { shuffle_close(&s->shuffle); }
