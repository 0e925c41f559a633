/* One call of one operation with random operands: what selftest.c compares and times. */
#pragma once

#include "tensor/ops.h"

enum { TRIAL_NUMBERS = 7, TRIAL_OPERANDS = 8 };

enum trial_op {
    TRIAL_LINEAR,
    TRIAL_CONV2D,
    TRIAL_ATTENTION,
    TRIAL_LAYER_NORM,
    TRIAL_RMS_NORM,
    TRIAL_GROUP_NORM,
    TRIAL_RMS_NORM_ROPE,
    TRIAL_GATED_ADD,
    TRIAL_ADD,
    TRIAL_MUL,
    TRIAL_ACTIVATE,
    TRIAL_AXPY,
    TRIAL_AFFINE,
    TRIAL_COPY,
    TRIAL_EMBED,
    TRIAL_TO_RGB8,
};

/* Of linear: what the matrix is kept as, and whether its inputs are rounded to that too. */
enum trial_matrix {
    MATRIX_BF16,
    MATRIX_INT8,
    MATRIX_FP8,
    MATRIX_Q4,
    MATRIX_INT8_INPUTS,
    MATRIX_FP8_INPUTS,
};

/* What the numbers mean is said beside each operation's function. */
struct trial {
    enum trial_op op;
    int64_t p[TRIAL_NUMBERS];
};

/* The operands of a trial on one back end. */
struct operands {
    struct backend *b;
    uint64_t random; /* seed: back ends with equal ones draw the same numbers */
    int n;
    void *memory[TRIAL_OPERANDS]; /* device, owned; NULL for weights, which the back end owns */
    void *hosts[TRIAL_OPERANDS];  /* host, owned: weights need them until the back end is closed */
    struct tensor out;            /* what to compare */
    struct error err;             /* set when making them failed */
    double flops, bytes;          /* of one call */
};

/* A call whose operands exist: what is repeated in a timing. */
struct call {
    const struct trial *trial;
    struct tensor t[TRIAL_OPERANDS];
};

/* Can the back end do it? Not all devices multiply fp8. */
bool trial_is_possible(const struct trial *trial, const struct backend *b);

/* Make the operands; o->err tells whether that worked. */
struct call trial_prepare(const struct trial *trial, struct operands *o);

/* Queue the call; returns the operation's name. */
const char *trial_run(struct backend *b, const struct call *c);

/* Give back what isn't a weight; the hosts are freed by operands_free, after backend_close. */
void operands_release(struct operands *o);
void operands_free(struct operands *o);
