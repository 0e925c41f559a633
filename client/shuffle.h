/* Random orders, as NumPy's default_rng(seed).shuffle(list) makes them: Fisher and Yates's swaps
 * from the end, with numbers of PCG64 (O'Neill 2014, PCG: A Family of Simple Fast Space-Efficient
 * Statistically Good Algorithms; variant XSL-RR 128/64), seeded by NumPy's SeedSequence. */
#pragma once

#include <stdint.h>

#include "client/spill.h"

struct shuffle {
    struct spill list;
    uint32_t *order; /* in list: the numbers below n */
    size_t n;
    uint64_t state[2], step[2]; /* 128 bits each, the high half first */
    uint32_t spare;             /* the high half of a number whose low half was taken */
    bool has_spare;
};

/* Shuffle 0, 1, ... n-1. dir is where a long list may lie; NULL: memory. Fails with ERR_INVALID
 * when n is 2^32 or more, with ERR_IO when there is no room. */
bool shuffle_open(struct shuffle *s, size_t n, uint64_t seed, const char *dir, struct error *err);
/* Shuffle what the last shuffle left. */
void shuffle_again(struct shuffle *s);
void shuffle_close(struct shuffle *s);
