/* Values of made-up parameters, for dummy models and benchmarks. */
#pragma once

#include "tensor/backend.h"

/* What makes up a float parameter of like's shape: see weights_random_fill(). */
struct random_values weights_random_values(struct tensor like, enum weight_use use,
                                           const char *name, uint64_t seed);

/* Fill the dense host tensor t with values of the size that a layer wants: uniform with variance
 * 1 / inputs, a quarter as large in layers that add to a residual stream; norm scales 1, biases
 * nearly 0, table rows of unit variance. They depend on seed, name, shape, dtype and use alone. A
 * quantised t is filled as such, codes and scales. Runs on b's threads. */
void weights_random_fill(struct backend *b, struct tensor t, enum weight_use use, const char *name,
                         uint64_t seed);
