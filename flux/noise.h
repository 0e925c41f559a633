/* Gaussian noise that equals torch.randn of a CPU generator with the same seed, bit for bit in
 * f32, so that one seed gives one picture here and there.
 * Source: Box and Muller 1958; the float logarithm and
 * sine of the Cephes library, as vectorised in PyTorch's AVX2 path with fused multiply-adds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mt19937.h"

/* One generator; draws continue where the last one ended. */
struct noise {
    struct mt19937 words;
    bool has_cached; /* second value of the last pair drawn one by one */
    double cached;
};

/* Only the low 32 bits of seed count, as in the reference. */
void noise_seed(struct noise *n, uint64_t seed);

/* The next tensor of count numbers from the standard normal distribution. */
void noise_draw(struct noise *n, float *out, size_t count);

/* The next uniform number in [0, 1), of 24 bits. */
float noise_uniform(struct noise *n);
