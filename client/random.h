/* Reproducible random numbers that equal AIPerf's: each purpose has its own stream, a Mersenne
 * Twister seeded from --random-seed and the purpose's
 * name, and the distributions of Python's `random` module on top. The same seed therefore gives
 * the same arrival times and prompt lengths in both tools. */
#pragma once

#include <stdint.h>

#include "base/mt19937.h"
#include "client/record.h"

struct random {
    struct mt19937 words;
    double spare_gauss; /* the second value of a pair; NaN when there is none */
};

/* The seed of one purpose: the first 8 bytes, big endian, of SHA-256("seed:purpose"), as AIPerf
 * does. */
uint64_t random_derive(int64_t seed, const char *purpose);
/* Seed by it. */
void random_init(struct random *r, int64_t seed, const char *purpose);
/* Seed as Python's random.Random(seed) does. */
void random_init_seed(struct random *r, uint64_t seed);

uint32_t random_bits(struct random *r);                            /* 32 random bits */
double random_unit(struct random *r);                              /* [0, 1), 53 bits */
uint64_t random_below(struct random *r, uint64_t n);               /* [0, n), n > 0: randrange(n) */
double random_exponential(struct random *r, double rate);          /* expovariate */
double random_gauss(struct random *r, double mean, double std);    /* gauss */
double random_gamma(struct random *r, double shape, double scale); /* gammavariate, shape > 0 */
/* A length, at least 1: Normal(mean, std), negative draws again, the rest rounded up; without std
 * the rounded mean. */
int64_t random_length(struct random *r, double mean, double std);

/* A seed from the system, for runs without --random-seed. */
int64_t random_system_seed(void);
/* A random version 4 UUID in text form, from the system's randomness. */
void random_uuid(char out[UUID_SIZE]);
