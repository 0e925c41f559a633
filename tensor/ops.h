/* The operation set: all arithmetic of the pipeline.
 *
 * x, y, out are activations of type f32 or bf16, all of one type in a call unless said otherwise.
 * Windows may have any strides but the last axis' must be 1 (copy: any). Sums, softmax and norms
 * run in f32 whatever the type; results are rounded once, when stored. out may be the same window
 * as x (not merely overlap) for the operations marked "in place". ops.c asserts the shapes, then
 * calls the back end's table. Vector weights (bias, norm scales) are f32 [D], as backend_adopt
 * returns them. */
#pragma once

#include "tensor/backend.h"

enum activation {
    ACT_NONE,
    ACT_SILU,       /* x sigmoid(x) */
    ACT_GELU,       /* x Phi(x), by erf */
    ACT_GELU_TANH,  /* the tanh form, "gelu_new" */
    ACT_QUICK_GELU, /* x sigmoid(1.702 x) */
    ACT_RELU,
};

/* out = act(x w^T + bias).   x [.., K]   w [N, K] packed   bias [N] or none   out [.., N]
 * The leading axes (0 to 3 of them) are rows; x and out agree in them. Not in place. */
void op_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
               struct tensor bias, enum activation act);

/* out = conv(z, w) + bias, cross-correlation, zeros outside. z is x, upsampled (1: x itself; 2:
 * nearest neighbour, z(y, x) = x(y / 2, x / 2)); it is never made as a whole.
 *   x [B, Y, X, I]   z [B, Y upsample, X upsample, I]   w [O, I, kh, kw] packed
 *   out [B, Y', X', O]
 *   out(y', x') reads z(y' stride - pad_top + i, x' stride - pad_left + j); how far it reaches
 *   past the lower and right edge follows from the shape of out. Dense tensors. */
void op_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
               struct tensor bias, int stride, int pad_top, int pad_left, int upsample);

/* out = softmax(q k^T scale + bias) v, per head.
 *   q, out [B, Lq, H, Dh]   k, v [B, Lk, H, Dh]   bias [H, Lq, Lk] f32 (any strides) or none
 *   is_causal: query i sees keys 0 .. i only. */
void op_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                  struct tensor v, struct tensor bias, float scale, bool is_causal);

/* out = (x - mean) / sqrt(var + eps), then * weight + bias if given, then * (1 + scale) + shift
 * if given; statistics over the last axis. In place allowed.
 *   x, out [B, L, D]   weight, bias [D] f32 or none   scale, shift [B, D] of x's type or none */
void op_layer_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                   struct tensor bias, struct tensor scale, struct tensor shift, float eps);

/* out = x / sqrt(mean(x^2) + eps) * weight over the last axis.   x, out [.., D]   In place. */
void op_rms_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                 float eps);

/* What queries and keys go through, in place: x / sqrt(mean(x^2) + eps) * weight over the last
 * axis, rounded to x's type, then neighbouring pairs rotated, (x0, x1) -> (x0 c - x1 s, x1 c + x0
 * s). x [B, L, H, Dh]   weight [Dh]   cos, sin [L, Dh / 2] f32 */
void op_rms_norm_rope(struct backend *b, struct tensor x, struct tensor weight, float eps,
                      struct tensor cos, struct tensor sin);

/* Normalise groups of C / groups neighbouring channels over Y, X; scale, shift, activate.
 *   x, out [B, Y, X, C] dense   weight, bias [C] f32   act NONE or SILU   In place allowed. */
void op_group_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                   struct tensor bias, int groups, float eps, enum activation act);

/* out = act(x). In place allowed. */
void op_activate(struct backend *b, struct tensor out, struct tensor x, enum activation act);

/* out = x + y and out = x * y; x, y may repeat by stride 0. In place allowed. */
void op_add(struct backend *b, struct tensor out, struct tensor x, struct tensor y);
void op_mul(struct backend *b, struct tensor out, struct tensor x, struct tensor y);

/* out += gate * x.   out, x [B, L, D]   gate [B, D] of the same type */
void op_gated_add(struct backend *b, struct tensor out, struct tensor gate, struct tensor x);

/* out += alpha * x. */
void op_axpy(struct backend *b, struct tensor out, float alpha, struct tensor x);

/* out = x * scale + shift, two scalars. In place allowed. */
void op_affine(struct backend *b, struct tensor out, struct tensor x, float scale, float shift);

/* out[i, :] = table[ids[i], :].   table [rows, D] f32, bf16 or f16   ids [n] i32, already
 * checked to be in range   out [n, D] */
void op_embed(struct backend *b, struct tensor out, struct tensor table, struct tensor ids);

/* out = x, element by element: any strides (last axis too), any two of f32, bf16, f16. */
void op_copy(struct backend *b, struct tensor out, struct tensor x);

/* Tokens for heads, between the back ends of a team of n: each one calls it in turn with all others
 * (tensor/team.h). counts[i] is how many of all L tokens rank i has; their order is that of ranks.
 *   to [B, L, W], from [n, B, counts[own], W]: own tokens, cut into n, are sent to all, and those
 * of all for the own cut are received. A stride of 0 in front sends everybody the same. to [n, B,
 * counts[own], W], from [B, L, W]: the way back. The form with L is dense; in the other one tokens
 * follow each other without gaps. Not in place, but for a token that stays where it is. */
void op_exchange(struct backend *b, struct tensor to, struct tensor from, const int64_t *counts);

/* Pixels: round-half-even(255 clip(x / 2 + 1/2, 0, 1)). In bf16 each step of the formula is
 * rounded to bf16 first, except the last product: that is what the reference does.
 *   x [Y, X, 3]   out [Y, X, 3] u8 dense */
void op_to_rgb8(struct backend *b, struct tensor out, struct tensor x);

/* One implementation. All members are set but parallel, which only those with threads have,
 * adopt_made, and those for people who measure. exchange is team_exchange() but where operations
 * are noted first. */
struct backend_ops {
    void (*close)(struct backend *b);
    void *(*alloc)(struct backend *b, size_t bytes, struct error *err);
    void (*free)(struct backend *b, void *memory);
    bool (*adopt)(struct backend *b, struct tensor host, enum weight_use use, struct tensor *out,
                  struct error *err);
    bool (*adopt_made)(struct backend *b, struct tensor like, enum weight_use use,
                       const struct random_values *values, struct tensor *out, struct error *err);
    void (*upload)(struct backend *b, struct tensor to, const void *host);
    void (*download)(struct backend *b, void *host, struct tensor from);
    void (*sync)(struct backend *b);
    void (*parallel)(struct backend *b, int64_t n, backend_task_fn task, void *ctx);

    /* Where somebody can watch (backend.h). */
    void (*range_begin)(struct backend *b, const char *name, int index);
    void (*range_end)(struct backend *b);
    void (*record)(struct backend *b, bool is_on);
    /* Where work is queued: note the device's time when all that was queued before is done, as
     * stamp i, 0 to PROFILE_STAMPS - 1; and read, after a sync, the seconds from stamp i to k. What
     * is queued between stamps runs at once, operation by operation. */
    void (*stamp)(struct backend *b, int i);
    double (*stamp_seconds)(struct backend *b, int i, int k);

    void (*linear)(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                   struct tensor bias, enum activation act);
    void (*conv2d)(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                   struct tensor bias, int stride, int pad_top, int pad_left, int upsample);
    void (*attention)(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                      struct tensor v, struct tensor bias, float scale, bool is_causal);
    void (*layer_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                       struct tensor bias, struct tensor scale, struct tensor shift, float eps);
    void (*rms_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                     float eps);
    void (*rms_norm_rope)(struct backend *b, struct tensor x, struct tensor weight, float eps,
                          struct tensor cos, struct tensor sin);
    void (*group_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                       struct tensor bias, int groups, float eps, enum activation act);
    void (*activate)(struct backend *b, struct tensor out, struct tensor x, enum activation act);
    void (*add)(struct backend *b, struct tensor out, struct tensor x, struct tensor y);
    void (*mul)(struct backend *b, struct tensor out, struct tensor x, struct tensor y);
    void (*gated_add)(struct backend *b, struct tensor out, struct tensor gate, struct tensor x);
    void (*axpy)(struct backend *b, struct tensor out, float alpha, struct tensor x);
    void (*affine)(struct backend *b, struct tensor out, struct tensor x, float scale, float shift);
    void (*embed)(struct backend *b, struct tensor out, struct tensor table, struct tensor ids);
    void (*copy)(struct backend *b, struct tensor out, struct tensor x);
    void (*exchange)(struct backend *b, struct tensor to, struct tensor from,
                     const int64_t *counts);
    void (*to_rgb8)(struct backend *b, struct tensor out, struct tensor x);
};
