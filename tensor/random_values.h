/* How made-up weights come about, so that a back end can make them where it keeps them.
 *
 * Element i of a parameter lies in piece i / RANDOM_PIECE. A piece has a SplitMix64 generator
 * (Steele et al. 2014) of its own, whose state begins as the first output of the state parameter +
 * piece * RANDOM_PIECE_STEP. Each of its outputs gives RANDOM_DRAWS elements, lowest bits first: u,
 * of RANDOM_BITS bits, is the value middle + spread x with x = (u + 1/2) 2 / 2^RANDOM_BITS - 1,
 * rounded to the parameter's type. */
#pragma once

#include <stdint.h>

enum {
    RANDOM_BITS = 12,
    RANDOM_DRAWS = 64 / RANDOM_BITS,
    RANDOM_PIECE = RANDOM_DRAWS << 15,
};

#define RANDOM_STEP 0x9e3779b97f4a7c15u /* from state to state */
#define RANDOM_PIECE_STEP 0xd1342543de82ef95u
#define RANDOM_MIX_1 0xbf58476d1ce4e5b9u
#define RANDOM_MIX_2 0x94d049bb133111ebu

struct random_values {
    uint64_t parameter; /* its own seed */
    float middle, spread;
};
