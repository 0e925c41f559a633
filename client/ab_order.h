/* In which order `fluxperf ab` takes its two targets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ab_order {
    AB_ABBA,   /* A B, B A, A B, ...: a drift over time falls on both alike */
    AB_RANDOM, /* pairs as well, each in an order drawn by the seed */
};

/* Fill is_b[0..2 * n_pairs): run i is of target B. Every pair has one run of each. */
void ab_order_fill(bool *is_b, size_t n_pairs, enum ab_order order, int64_t seed);
