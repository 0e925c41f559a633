/* The back end that only counts: the same model code runs over it with no data, and afterwards it
 * tells what a real run needs. Nothing is allocated; addresses are made up and never read. */
#pragma once

#include "tensor/backend.h"

struct plan {
    struct backend backend; /* first: a struct plan is a struct backend */
    double flops;           /* multiply-adds of linear, conv2d and attention, counted as two */
    double bytes_moved;     /* by all operations: every operand read or written once */
    double exchanged;       /* bytes sent to other ranks: backend.share says which one this is */
    int64_t n_ops;
    int64_t n_weights;   /* parameters adopted */
    size_t weight_bytes; /* in the form they were given */
    /* Streamed weights in the type that a device would have them in: all, the largest layer, and
     * what was copied to the device for operations. */
    size_t streamed_bytes, layer_bytes;
    double streamed_moved;
    struct weight_home last; /* of the layer being adopted */
    size_t last_bytes;
    /* backend.scratch.peak: bytes of step memory */
};

void plan_init(struct plan *p, enum dtype compute);

/* Set the counters back to zero (the weights stay). */
void plan_reset(struct plan *p);
