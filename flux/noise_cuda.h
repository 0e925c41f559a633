/* Gaussian noise that equals torch.randn of a CUDA generator with the same seed, up to the last
 * digits (the device's own logarithm and sine are coarser), drawn on the host.
 * Source: Salmon et al. 2011 (Philox4x32-10); Box and Muller 1958. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Blocks of 256 threads that an H100 runs at once, for devices that say nothing. */
enum { NOISE_CUDA_BLOCKS = 132 * 8 };

/* One generator; draws continue where the last one ended. Zero but for seed and most_blocks. */
struct noise_cuda {
    uint64_t seed;
    int64_t most_blocks; /* that the device runs at once, at least 1: tensors of more than 256 times
                            as many numbers depend on it */
    uint64_t turns;      /* of four numbers a thread, taken so far */
};

/* The next tensor of count numbers from the standard normal distribution. */
void noise_cuda_draw(struct noise_cuda *n, float *out, size_t count);
