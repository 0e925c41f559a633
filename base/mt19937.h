/* The Mersenne Twister of 32-bit words.
 * Source: Matsumoto and Nishimura 1998; init_by_array is theirs of 2002. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MT19937_WORDS 624

struct mt19937 {
    uint32_t state[MT19937_WORDS];
    int next; /* index of the next word; MT19937_WORDS: make new ones */
};

void mt19937_seed(struct mt19937 *m, uint32_t seed);
/* init_by_array, of n > 0 words. */
void mt19937_seed_words(struct mt19937 *m, const uint32_t *words, uint32_t n);
uint32_t mt19937_next(struct mt19937 *m); /* 32 random bits */
