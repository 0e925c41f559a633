/* The diffusion transformer: noisy latent tokens, a time and a text in, a velocity out.
 *
 * Double blocks keep separate weights for text and image tokens and let both attend to each other;
 * single blocks treat the joined sequence alike, with attention and feed-forward in parallel. Both
 * are steered by shift, scale and gate vectors made from time, guidance and the pooled text.
 * Source: Black Forest Labs, FLUX.1 (2024); Esser et al. 2024 (MM-DiT); Dehghani et al. 2023
 * (parallel blocks, norms of queries and keys); Su et al. 2021 (rotary positions). */
#pragma once

#include "flux/config.h"
#include "flux/layers.h"
#include "flux/ulysses.h"

/* The part of a double block that belongs to one kind of token. */
struct stream {
    struct linear modulation; /* [6 D, D] */
    struct linear q, k, v, out;
    struct norm norm_q, norm_k;
    struct linear mlp_in, mlp_out;
};

struct double_block {
    struct stream image, text;
};

struct single_block {
    struct linear modulation;        /* [3 D, D] */
    struct linear q, k, v, mlp, out; /* out takes attention and mlp side by side */
    struct norm norm_q, norm_k;
};

struct embedder {
    struct linear linear_1, linear_2;
};

struct transformer {
    struct transformer_config config;
    int64_t width; /* D = heads x head width */
    struct linear x_embedder, context_embedder;
    struct embedder time, guidance, pooled;
    struct double_block *doubles; /* owned */
    struct single_block *singles; /* owned */
    struct linear norm_out, proj_out;
};

/* What stays the same in all steps of a picture, in scratch memory. Lt and Li count the back end's
 * own tokens: its share, when several make the picture (flux/ulysses.h). */
struct condition {
    struct tensor context;  /* [B, Lt, D]: embedded text */
    struct tensor guidance; /* [B, D] or none */
    struct tensor pooled;   /* [B, D] */
    struct tensor cos, sin; /* [Lt + Li, Dh / 2] f32: rotations by position */
    struct shares shares;   /* who has how many of all tokens */
};

void transformer_bind(struct transformer *m, const struct transformer_config *config,
                      struct weights *w);
void transformer_free(struct transformer *m);

/* All of the text [B, L, text_width], pooled [B, pooled_width], image tokens in rows x columns.
 * guidance is the guidance scale (ignored by models without it). */
struct condition transformer_condition(struct backend *b, const struct transformer *m,
                                       struct tensor text, struct tensor pooled, float guidance,
                                       int64_t rows, int64_t columns, struct tap *tap);

/* velocity [B, Li, C] = model(latents [B, Li, C], time). time is sigma, as sigmas_model_time()
 * rounds it. tap sees the intermediate tensors of the call. */
void transformer_forward(struct backend *b, const struct transformer *m, struct tensor velocity,
                         struct tensor latents, float time, const struct condition *condition,
                         struct tap *tap);
