/* The CPU back end: every operation of tensor/ops.h in plain C, vectorised, threaded with OpenMP;
 * matrix products and convolutions through oneDNN. Instruction sets are chosen when it opens. */
#pragma once

#include "tensor/backend.h"

struct cpu_options {
    int threads;        /* 0: all cores that this process may use */
    enum dtype compute; /* DTYPE_F32 or DTYPE_BF16 */
};

bool cpu_open(struct backend **out, const struct cpu_options *options, struct error *err);
