/* CLIP's text encoder: token ids to one pooled vector that tells the transformer what the picture
 * is about as a whole.
 * Source: Radford et al. 2021; a pre-norm transformer with causal attention. */
#pragma once

#include "flux/config.h"
#include "flux/layers.h"

struct clip_layer {
    struct norm layer_norm1, layer_norm2;
    struct linear q_proj, k_proj, v_proj, out_proj;
    struct linear fc1, fc2;
};

struct clip {
    struct clip_config config;
    struct tensor token_embedding, position_embedding; /* [V, D], [positions, D] */
    struct clip_layer *layers;                         /* owned */
    struct norm final_layer_norm;
};

void clip_bind(struct clip *m, const struct clip_config *config, struct weights *w);
void clip_free(struct clip *m);

/* pooled [B, D] = the final state at each row's first end token. ids [B, L] on the host, L at most
 * max_positions, each below vocab_size; NULL in a plan. */
void clip_forward(struct backend *b, const struct clip *m, struct tensor pooled, const int32_t *ids,
                  int64_t batch, int64_t length);
