/* One picture over the n back ends of a team (tensor/team.h).
 *
 * Every rank has the whole model, and a span of the text's and of the image's tokens; everything
 * that treats tokens one by one needs no other rank. Attention does: before it tokens are exchanged
 * for heads, so that each rank has all tokens of H / n heads, and after it the other way round. The
 * order of tokens in between is that of ranks: text and image of rank 0, then of rank 1, ...;
 * attention gives the same in any order, up to rounding. Back ends that are alone have all tokens
 * and exchange nothing.
 *
 * Source: Jacobs et al. 2023, DeepSpeed Ulysses. */
#pragma once

#include "tensor/ops.h"

struct span {
    int64_t start, count;
};

/* The part of rank of n of `all` things in a row; they differ by one at most, the first ones are
 * the longer ones. */
struct span span_of(struct share share, int64_t all);
static inline struct span span_own(const struct backend *b, int64_t all)
{
    return span_of(b->share, all);
}

/* Tokens of each rank: text and image, and image alone. */
struct shares {
    int64_t tokens[SHARE_MAX], image[SHARE_MAX];
};
struct shares shares_of(const struct backend *b, int64_t n_text, int64_t n_image);

/* out = softmax(q k^T scale) v, per head, over the tokens of all ranks; q, k, v, out
 * [B, L, H, Dh] with the own tokens, H a multiple of n. Takes scratch memory. */
void ulysses_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                       struct tensor v, float scale, const struct shares *shares);

/* Give every rank the image tokens of all: latents [B, Li, C] dense, of which the own ones are
 * there. */
void ulysses_gather(struct backend *b, struct tensor latents, const struct shares *shares);
