/* FLUX.1's published configs as data. Two models that differ in three ways: schnell was distilled
 * without a guidance input, shifts no noise levels, and reads half as many T5 tokens.
 * Source: the config files of both models on the hub; a test compares them with copies. */
#include "flux/flux_known.h"

#include <string.h>

#include "flux/flux.h"

static const struct flux_config COMMON = {
    .clip = {.vocab_size = 49408,
             .width = 768,
             .mlp_width = 3072,
             .n_layers = 12,
             .n_heads = 12,
             .max_positions = 77,
             .end_id = 2,
             .norm_eps = 1e-5f,
             .act = ACT_QUICK_GELU},
    .t5 = {.vocab_size = 32128,
           .width = 4096,
           .head_width = 64,
           .mlp_width = 10240,
           .n_layers = 24,
           .n_heads = 64,
           .n_buckets = 32,
           .max_distance = 128,
           .norm_eps = 1e-6f,
           .act = ACT_GELU_TANH},
    .transformer = {.in_channels = 64,
                    .out_channels = 64,
                    .n_double = 19,
                    .n_single = 38,
                    .n_heads = 24,
                    .head_width = 128,
                    .text_width = 4096,
                    .pooled_width = 768,
                    .rope_axes = {16, 56, 56}},
    .vae = {.in_channels = 3,
            .out_channels = 3,
            .latent_channels = 16,
            .channels = {128, 256, 512, 512},
            .n_levels = 4,
            .layers_per_block = 2,
            .sample_size = 1024,
            .norm_groups = 32,
            .scaling_factor = 0.3611f,
            .shift_factor = 0.1159f,
            .has_mid_attention = true},
    .sigmas = {.base_shift = 0.5,
               .max_shift = 1.15,
               .base_tokens = 256,
               .max_tokens = 4096,
               .n_train_timesteps = 1000},
    .usual_guidance = 3.5,
    .weights = {DTYPE_BF16, DTYPE_BF16, DTYPE_BF16, DTYPE_BF16},
};

static const struct known {
    const char *name;
    bool has_guidance, is_dynamic;
    double shift;
    int64_t usual_steps, t5_length;
} KNOWN[] = {
    {FLUX_KNOWN_DEV, true, true, 3.0, 28, 512},
    {FLUX_KNOWN_SCHNELL, false, false, 1.0, 4, 256},
};

bool flux_known_config(struct flux_config *c, int64_t *t5_length, const char *name)
{
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        const struct known *k = &KNOWN[i];
        if (strcmp(k->name, name) != 0) {
            continue;
        }
        if (c != NULL) {
            *c = COMMON;
            c->transformer.has_guidance = k->has_guidance;
            c->sigmas.is_dynamic = k->is_dynamic;
            c->sigmas.shift = k->shift;
            c->usual_steps = k->usual_steps;
        }
        if (t5_length != NULL) {
            *t5_length = k->t5_length;
        }
        return true;
    }
    return false;
}

bool flux_is_known(const char *model) { return flux_known_config(NULL, NULL, model); }
