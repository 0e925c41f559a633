#include "base/mt19937.h"

enum { N = MT19937_WORDS, SHIFT = 397 };

void mt19937_seed(struct mt19937 *m, uint32_t seed)
{
    m->state[0] = seed;
    for (uint32_t i = 1; i < N; i++)
        m->state[i] = 1812433253u * (m->state[i - 1] ^ (m->state[i - 1] >> 30)) + i;
    m->next = N;
}

/* The next word to stir; after the last comes the first, a copy of it in its place. */
static uint32_t step(uint32_t *s, uint32_t i)
{
    if (++i < N)
        return i;
    s[0] = s[N - 1];
    return 1;
}

void mt19937_seed_words(struct mt19937 *m, const uint32_t *words, uint32_t n)
{
    uint32_t *s = m->state, i = 1, j = 0;
    mt19937_seed(m, 19650218u);
    for (uint32_t k = 0; k < (N > n ? N : n); k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + words[j] + j;
        i = step(s, i);
        j = (j + 1) % n;
    }
    for (int k = 0; k < N - 1; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - i;
        i = step(s, i);
    }
    s[0] = 0x80000000u;
}

static void make_words(struct mt19937 *m)
{
    uint32_t *s = m->state;
    for (int i = 0; i < N; i++) {
        uint32_t mixed = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7fffffffu);
        s[i] = s[(i + SHIFT) % N] ^ (mixed >> 1) ^ ((mixed & 1u) != 0 ? 0x9908b0dfu : 0u);
    }
    m->next = 0;
}

uint32_t mt19937_next(struct mt19937 *m)
{
    if (m->next == N)
        make_words(m);
    uint32_t y = m->state[m->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}
