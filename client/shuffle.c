#include "client/shuffle.h"

#include <string.h>

/* ---- PCG64 ---------------------------------------------------------------------------------- */

#define MULTIPLIER_HIGH UINT64_C(2549297995355413924)
#define MULTIPLIER_LOW UINT64_C(4865540595714422341)
#define N_POOL 4 /* words of SeedSequence */

/* The high half of a product of 64 bits by 64. */
static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32); /* can't overflow, nor can the next */
    uint64_t other = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

static void add(uint64_t to[2], const uint64_t what[2])
{
    uint64_t low = to[1] + what[1];
    to[0] += what[0] + (low < to[1]);
    to[1] = low;
}

static void step(struct shuffle *s)
{
    uint64_t high = s->state[0], low = s->state[1];
    s->state[0] =
        multiply_high(low, MULTIPLIER_LOW) + high * MULTIPLIER_LOW + low * MULTIPLIER_HIGH;
    s->state[1] = low * MULTIPLIER_LOW;
    add(s->state, s->step);
}

static uint32_t next(struct shuffle *s)
{
    if (s->has_spare) {
        s->has_spare = false;
        return s->spare;
    }
    step(s);
    uint64_t mixed = s->state[0] ^ s->state[1];
    int turn = (int)(s->state[0] >> 58);
    mixed = mixed >> turn | mixed << (-turn & 63);
    s->spare = (uint32_t)(mixed >> 32);
    s->has_spare = true;
    return (uint32_t)mixed;
}

/* A number up to and including max > 0: as many bits as it has, again while they are beyond it. */
static uint32_t next_up_to(struct shuffle *s, uint32_t max)
{
    uint32_t mask = max, value;
    for (int i = 1; i < 32; i *= 2)
        mask |= mask >> i;
    do {
        value = next(s) & mask;
    } while (value > max);
    return value;
}

/* ---- SeedSequence --------------------------------------------------------------------------- */

static uint32_t hash(uint32_t value, uint32_t *constant, uint32_t multiplier)
{
    value ^= *constant;
    *constant *= multiplier;
    value *= *constant;
    return value ^ value >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y)
{
    uint32_t mixed = 0xca01f9ddu * x - 0x4973f715u * y;
    return mixed ^ mixed >> 16;
}

static void seed_pool(uint32_t pool[N_POOL], uint64_t seed)
{
    uint32_t constant = 0x43b0d7e5u;
    for (size_t i = 0; i < N_POOL; i++)
        pool[i] = hash(i < 2 ? (uint32_t)(seed >> 32 * i) : 0, &constant, 0x931e8875u);
    for (size_t from = 0; from < N_POOL; from++) {
        for (size_t to = 0; to < N_POOL; to++) {
            if (to != from)
                pool[to] = mix(pool[to], hash(pool[from], &constant, 0x931e8875u));
        }
    }
}

static void seed_numbers(struct shuffle *s, uint64_t seed)
{
    uint32_t pool[N_POOL], constant = 0x8b51f9ddu;
    uint64_t words[4] = {0};
    seed_pool(pool, seed);
    for (size_t i = 0; i < 8; i++)
        words[i / 2] |= (uint64_t)hash(pool[i % N_POOL], &constant, 0x58f38dedu) << 32 * (i % 2);
    s->step[0] = words[2] << 1 | words[3] >> 63;
    s->step[1] = words[3] << 1 | 1;
    step(s); /* from 0 */
    add(s->state, words);
    step(s);
}

/* ---- orders --------------------------------------------------------------------------------- */

void shuffle_again(struct shuffle *s)
{
    for (size_t i = s->n - 1; i > 0; i--) {
        uint32_t k = next_up_to(s, (uint32_t)i), kept = s->order[i];
        s->order[i] = s->order[k];
        s->order[k] = kept;
    }
    spill_trim(&s->list);
}

bool shuffle_open(struct shuffle *s, size_t n, uint64_t seed, const char *dir, struct error *err)
{
    *s = (struct shuffle){.n = n, .list = {.dir = dir}};
    if (n > UINT32_MAX)
        return fail(err, ERR_INVALID, "a random order of %zu entries: must be at most %u", n,
                    UINT32_MAX);
    if (!spill_zero(&s->list, n * sizeof *s->order, err))
        return false;
    s->order = (void *)s->list.at;
    for (size_t i = 0; i < n; i++)
        s->order[i] = (uint32_t)i;
    seed_numbers(s, seed);
    shuffle_again(s);
    return true;
}

void shuffle_close(struct shuffle *s) { spill_close(&s->list); }
