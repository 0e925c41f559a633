/* Each operation of the table three times: how its call is noted, how a noted one is run, and its
 * entry. */
#include "cuda/command.h"

#include <string.h>

static bool is_same_tensor(const struct tensor *a, const struct tensor *b)
{
    if (a->data != b->data || a->dtype != b->dtype || a->rank != b->rank ||
        a->is_packed != b->is_packed)
        return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i] || a->strides[i] != b->strides[i])
            return false;
    }
    return true;
}

bool command_is_same(const struct command *a, const struct command *b)
{
    if (a->op != b->op || a->name != b->name || a->n_tensors != b->n_tensors ||
        a->scalars[0] != b->scalars[0] || a->scalars[1] != b->scalars[1] ||
        memcmp(a->numbers, b->numbers, sizeof a->numbers) != 0 ||
        memcmp(a->counts, b->counts, sizeof a->counts) != 0)
        return false;
    for (int i = 0; i < a->n_tensors; i++) {
        if (!is_same_tensor(&a->tensors[i], &b->tensors[i]))
            return false;
    }
    return true;
}

void command_run(struct backend *b, const struct command *m)
{
    const struct tensor *t = m->tensors;
    const int *n = m->numbers;
    switch (m->op) {
    case OP_LINEAR:
        cuda_linear(b, t[0], t[1], t[2], t[3], (enum activation)n[0]);
        break;
    case OP_CONV2D:
        cuda_conv2d(b, t[0], t[1], t[2], t[3], n[0], n[1], n[2], n[3]);
        break;
    case OP_ATTENTION:
        cuda_attention(b, t[0], t[1], t[2], t[3], t[4], m->scalars[0], n[0] != 0);
        break;
    case OP_LAYER_NORM:
        cuda_layer_norm(b, t[0], t[1], t[2], t[3], t[4], t[5], m->scalars[0]);
        break;
    case OP_RMS_NORM:
        cuda_rms_norm(b, t[0], t[1], t[2], m->scalars[0]);
        break;
    case OP_RMS_NORM_ROPE:
        cuda_rms_norm_rope(b, t[0], t[1], m->scalars[0], t[2], t[3]);
        break;
    case OP_GROUP_NORM:
        cuda_group_norm(b, t[0], t[1], t[2], t[3], n[0], m->scalars[0], (enum activation)n[1]);
        break;
    case OP_ACTIVATE:
        cuda_activate(b, t[0], t[1], (enum activation)n[0]);
        break;
    case OP_ADD:
        cuda_add(b, t[0], t[1], t[2]);
        break;
    case OP_MUL:
        cuda_mul(b, t[0], t[1], t[2]);
        break;
    case OP_GATED_ADD:
        cuda_gated_add(b, t[0], t[1], t[2]);
        break;
    case OP_AFFINE:
        cuda_affine(b, t[0], t[1], m->scalars[0], m->scalars[1]);
        break;
    case OP_EMBED:
        cuda_embed(b, t[0], t[1], t[2]);
        break;
    case OP_COPY:
        cuda_copy(b, t[0], t[1]);
        break;
    case OP_EXCHANGE:
        cuda_exchange(b, t[0], t[1], m->counts);
        break;
    case OP_TO_RGB8:
        cuda_to_rgb8(b, t[0], t[1]);
        break;
    case OP_RANGE_BEGIN:
        cuda_range_push(m->name, n[0]);
        break;
    case OP_RANGE_END:
        cuda_range_pop();
        break;
    }
}

/* --- noting -----------------------------------------------------------------------------------*/

static void note_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                        struct tensor bias, enum activation act)
{
    cuda_replay_note(b, (struct command){.op = OP_LINEAR,
                                         .n_tensors = 4,
                                         .tensors = {out, x, w, bias},
                                         .numbers = {(int)act}});
}

static void note_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                        struct tensor bias, int stride, int pad_top, int pad_left, int upsample)
{
    cuda_replay_note(b, (struct command){.op = OP_CONV2D,
                                         .n_tensors = 4,
                                         .tensors = {out, x, w, bias},
                                         .numbers = {stride, pad_top, pad_left, upsample}});
}

static void note_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                           struct tensor v, struct tensor bias, float scale, bool is_causal)
{
    cuda_replay_note(b, (struct command){.op = OP_ATTENTION,
                                         .n_tensors = 5,
                                         .tensors = {out, q, k, v, bias},
                                         .scalars = {scale},
                                         .numbers = {is_causal}});
}

static void note_layer_norm(struct backend *b, struct tensor out, struct tensor x,
                            struct tensor weight, struct tensor bias, struct tensor scale,
                            struct tensor shift, float eps)
{
    cuda_replay_note(b, (struct command){.op = OP_LAYER_NORM,
                                         .n_tensors = 6,
                                         .tensors = {out, x, weight, bias, scale, shift},
                                         .scalars = {eps}});
}

static void note_rms_norm(struct backend *b, struct tensor out, struct tensor x,
                          struct tensor weight, float eps)
{
    cuda_replay_note(
        b, (struct command){
               .op = OP_RMS_NORM, .n_tensors = 3, .tensors = {out, x, weight}, .scalars = {eps}});
}

static void note_rms_norm_rope(struct backend *b, struct tensor x, struct tensor weight, float eps,
                               struct tensor cos, struct tensor sin)
{
    cuda_replay_note(b, (struct command){.op = OP_RMS_NORM_ROPE,
                                         .n_tensors = 4,
                                         .tensors = {x, weight, cos, sin},
                                         .scalars = {eps}});
}

static void note_group_norm(struct backend *b, struct tensor out, struct tensor x,
                            struct tensor weight, struct tensor bias, int groups, float eps,
                            enum activation act)
{
    cuda_replay_note(b, (struct command){.op = OP_GROUP_NORM,
                                         .n_tensors = 4,
                                         .tensors = {out, x, weight, bias},
                                         .scalars = {eps},
                                         .numbers = {groups, (int)act}});
}

static void note_activate(struct backend *b, struct tensor out, struct tensor x,
                          enum activation act)
{
    cuda_replay_note(
        b, (struct command){
               .op = OP_ACTIVATE, .n_tensors = 2, .tensors = {out, x}, .numbers = {(int)act}});
}

static void note_add(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    cuda_replay_note(b, (struct command){.op = OP_ADD, .n_tensors = 3, .tensors = {out, x, y}});
}

static void note_mul(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    cuda_replay_note(b, (struct command){.op = OP_MUL, .n_tensors = 3, .tensors = {out, x, y}});
}

static void note_gated_add(struct backend *b, struct tensor out, struct tensor gate,
                           struct tensor x)
{
    cuda_replay_note(
        b, (struct command){.op = OP_GATED_ADD, .n_tensors = 3, .tensors = {out, gate, x}});
}

/* The end of a step: its factor is another one each time. */
static void end_axpy(struct backend *b, struct tensor out, float alpha, struct tensor x)
{
    cuda_replay_flush(cuda_use(b));
    cuda_axpy(b, out, alpha, x);
}

static void note_affine(struct backend *b, struct tensor out, struct tensor x, float scale,
                        float shift)
{
    cuda_replay_note(
        b, (struct command){
               .op = OP_AFFINE, .n_tensors = 2, .tensors = {out, x}, .scalars = {scale, shift}});
}

static void note_embed(struct backend *b, struct tensor out, struct tensor table, struct tensor ids)
{
    cuda_replay_note(
        b, (struct command){.op = OP_EMBED, .n_tensors = 3, .tensors = {out, table, ids}});
}

static void note_copy(struct backend *b, struct tensor out, struct tensor x)
{
    cuda_replay_note(b, (struct command){.op = OP_COPY, .n_tensors = 2, .tensors = {out, x}});
}

static void note_exchange(struct backend *b, struct tensor to, struct tensor from,
                          const int64_t *counts)
{
    struct command m = {.op = OP_EXCHANGE, .n_tensors = 2, .tensors = {to, from}};
    memcpy(m.counts, counts, (size_t)b->share.n * sizeof *counts);
    cuda_replay_note(b, m);
}

static void note_to_rgb8(struct backend *b, struct tensor out, struct tensor x)
{
    cuda_replay_note(b, (struct command){.op = OP_TO_RGB8, .n_tensors = 2, .tensors = {out, x}});
}

/* Ranges keep their place among operations; before all of them, they need not wait: so a step's
 * number, which differs each time, is not a part of its list. */
static void note_range_begin(struct backend *b, const char *name, int index)
{
    if (cuda_replay_is_empty(b))
        cuda_range_push(name, index);
    else
        cuda_replay_note(b,
                         (struct command){.op = OP_RANGE_BEGIN, .numbers = {index}, .name = name});
}

static void note_range_end(struct backend *b)
{
    if (cuda_replay_is_empty(b))
        cuda_range_pop();
    else
        cuda_replay_note(b, (struct command){.op = OP_RANGE_END});
}

void command_fill_table(struct backend_ops *ops)
{
    if (ops->range_begin) {
        ops->range_begin = note_range_begin;
        ops->range_end = note_range_end;
    }
    ops->linear = note_linear;
    ops->conv2d = note_conv2d;
    ops->attention = note_attention;
    ops->layer_norm = note_layer_norm;
    ops->rms_norm = note_rms_norm;
    ops->rms_norm_rope = note_rms_norm_rope;
    ops->group_norm = note_group_norm;
    ops->activate = note_activate;
    ops->add = note_add;
    ops->mul = note_mul;
    ops->gated_add = note_gated_add;
    ops->axpy = end_axpy;
    ops->affine = note_affine;
    ops->embed = note_embed;
    ops->copy = note_copy;
    ops->exchange = note_exchange;
    ops->to_rgb8 = note_to_rgb8;
}
