/* T5's encoder: token ids to one state per token, the words that the transformer attends to.
 * Source: Raffel et al. 2020 with the gated feed-forward layer of Shazeer 2020 (version 1.1).
 * Attention is not scaled, and knows positions only through a learned bias by distance. Padding is
 * not masked: the pipeline was trained so. */
#pragma once

#include "flux/config.h"
#include "flux/layers.h"

struct t5_layer {
    struct norm attention_norm, mlp_norm;
    struct linear q, k, v, o;
    struct linear wi_0, wi_1, wo;
};

struct t5 {
    struct t5_config config;
    struct tensor shared;    /* token embedding [V, D] */
    float *relative_bias;    /* owned, host: [buckets, H] */
    struct t5_layer *layers; /* owned */
    struct norm final_layer_norm;
};

void t5_bind(struct t5 *m, const struct t5_config *config, struct weights *w);
void t5_free(struct t5 *m);

/* hidden [B, L, D]. ids [B, L] on the host, each below vocab_size; NULL in a plan. */
void t5_forward(struct backend *b, const struct t5 *m, struct tensor hidden, const int32_t *ids);
