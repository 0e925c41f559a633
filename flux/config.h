/* The JSON configs of a checkpoint folder, as structs. Nothing about a model's size is fixed in
 * code; what the pipeline can't do is refused here by name instead of being computed wrongly. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "tensor/ops.h"
#include "tensor/quant.h"

enum { VAE_MAX_LEVELS = 8, ROPE_AXES = 3 };

struct clip_config {
    int64_t vocab_size, width, mlp_width, n_layers, n_heads, max_positions;
    int64_t end_id; /* 2: the old rule, the end token is the largest id */
    float norm_eps;
    enum activation act;
};

struct t5_config {
    int64_t vocab_size, width, head_width, mlp_width, n_layers, n_heads;
    int64_t n_buckets, max_distance; /* of the relative position bias */
    float norm_eps;
    enum activation act;
};

struct transformer_config {
    int64_t in_channels, out_channels; /* of packed latents: patch * patch * latent channels */
    int64_t n_double, n_single;        /* blocks */
    int64_t n_heads, head_width;
    int64_t text_width, pooled_width; /* of T5's and CLIP's outputs */
    int64_t rope_axes[ROPE_AXES]; /* features of a head that each axis turns: none, row, column */
    bool has_guidance;
};

struct vae_config {
    int64_t in_channels, out_channels, latent_channels;
    int64_t channels[VAE_MAX_LEVELS]; /* from full resolution down */
    int n_levels;
    int64_t layers_per_block, sample_size;
    int64_t tile_px; /* side of the tiles of vae_tiles.h, 0: pictures in one piece. Never read from
                        a config: struct flux_memory asks for it */
    int norm_groups;
    float scaling_factor, shift_factor;
    bool has_quant_conv, has_post_quant_conv, has_mid_attention;
};

struct sigmas_config {
    double shift, base_shift, max_shift;
    int64_t base_tokens, max_tokens, n_train_timesteps;
    bool is_dynamic, is_linear; /* time_shift_type */
};

struct flux_config {
    struct clip_config clip;
    struct t5_config t5;
    struct transformer_config transformer;
    struct vae_config vae;
    struct sigmas_config sigmas;
    int64_t usual_steps; /* what the model is made for: _num_inference_steps of model_index.json */
    double usual_guidance; /* and _guidance_scale */
    enum dtype weights[4]; /* what the configs say of clip, t5, transformer, vae; bf16 if silent */
    bool is_in_blocks[4];  /* quantised in the file: loaded in the type that is computed in */
    bool is_other_kind;    /* a single file's transformer takes guidance, the config's not; or so */
    enum quant quant[4];   /* how matrices are kept: as the config says, or as the caller sets it */
};

/* Read and check all configs of a model folder. Fails naming the file, the key, its value and
 * what would be right. */
bool flux_config_read(struct flux_config *c, const char *model_dir, struct error *err);

/* The same for a model with parts in single files: a config that is absent leaves what *c says,
 * which the caller has filled with a known model's. single, unless NULL, is the transformer as its
 * tensors tell it; of its config.json only the rotary axes are read, which no tensor tells. */
bool flux_config_complete(struct flux_config *c, const char *model_dir,
                          const struct transformer_config *single, struct error *err);

/* Pixels per latent and per token side; width and height are multiples of the second. */
int64_t flux_config_latent_px(const struct flux_config *c);
int64_t flux_config_token_px(const struct flux_config *c);
