/* Calls of the table's operations as data, to be compared and run later. */
#pragma once

#include "cuda/cuda_internal.h"

enum { MAX_TENSORS = 6 };

enum op {
    OP_LINEAR,
    OP_CONV2D,
    OP_ATTENTION,
    OP_LAYER_NORM,
    OP_RMS_NORM,
    OP_RMS_NORM_ROPE,
    OP_GROUP_NORM,
    OP_ACTIVATE,
    OP_ADD,
    OP_MUL,
    OP_GATED_ADD,
    OP_AFFINE,
    OP_EMBED,
    OP_COPY,
    OP_EXCHANGE,
    OP_TO_RGB8,
    OP_RANGE_BEGIN, /* of a tool's range, with its name and number; only where a tool listens */
    OP_RANGE_END,
};

/* One call: tensors in the order of the operation's parameters, then its numbers. */
struct command {
    enum op op;
    int n_tensors;
    struct tensor tensors[MAX_TENSORS];
    float scalars[2];
    int numbers[4];
    const char *name;
    int64_t counts[SHARE_MAX]; /* of an exchange */
};

/* Of the same operation on the same memory with the same numbers? */
bool command_is_same(const struct command *a, const struct command *b);

/* Make the call on the device. */
void command_run(struct backend *b, const struct command *m);

/* Fill the table with operations that note themselves (cuda_replay_note), but for axpy, whose
 * factor is another one in each step: it runs what is noted, and then itself. */
void command_fill_table(struct backend_ops *ops);

/* Keep the call for later (replay.c); are there none kept? */
void cuda_replay_note(struct backend *b, struct command m);
bool cuda_replay_is_empty(struct backend *b);
