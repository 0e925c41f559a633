/* Tables of stems: what stands between a block's number and ".weight" or ".bias". */
#include "flux/bfl_names.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stem {
    const char *ours, *theirs;
    int first, count, of;
    bool is_scale; /* theirs ends in .scale, not .weight */
    bool swaps_halves;
};

#define WHOLE 0, 1, 1, false, false
#define ROWS(first, count, of) first, count, of, false, false
#define SCALE 0, 1, 1, true, false
#define SWAPPED 0, 1, 1, false, true

static const struct stem OUTSIDE[] = {
    {"x_embedder", "img_in", WHOLE},
    {"context_embedder", "txt_in", WHOLE},
    {"time_text_embed.timestep_embedder.linear_1", "time_in.in_layer", WHOLE},
    {"time_text_embed.timestep_embedder.linear_2", "time_in.out_layer", WHOLE},
    {"time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer", WHOLE},
    {"time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer", WHOLE},
    {"time_text_embed.text_embedder.linear_1", "vector_in.in_layer", WHOLE},
    {"time_text_embed.text_embedder.linear_2", "vector_in.out_layer", WHOLE},
    {"norm_out.linear", "final_layer.adaLN_modulation.1", SWAPPED}, /* theirs: shift, scale */
    {"proj_out", "final_layer.linear", WHOLE},
};

static const struct stem DOUBLE[] = {
    {"norm1.linear", "img_mod.lin", WHOLE},
    {"attn.to_q", "img_attn.qkv", ROWS(0, 1, 3)},
    {"attn.to_k", "img_attn.qkv", ROWS(1, 1, 3)},
    {"attn.to_v", "img_attn.qkv", ROWS(2, 1, 3)},
    {"attn.to_out.0", "img_attn.proj", WHOLE},
    {"attn.norm_q", "img_attn.norm.query_norm", SCALE},
    {"attn.norm_k", "img_attn.norm.key_norm", SCALE},
    {"ff.net.0.proj", "img_mlp.0", WHOLE},
    {"ff.net.2", "img_mlp.2", WHOLE},
    {"norm1_context.linear", "txt_mod.lin", WHOLE},
    {"attn.add_q_proj", "txt_attn.qkv", ROWS(0, 1, 3)},
    {"attn.add_k_proj", "txt_attn.qkv", ROWS(1, 1, 3)},
    {"attn.add_v_proj", "txt_attn.qkv", ROWS(2, 1, 3)},
    {"attn.to_add_out", "txt_attn.proj", WHOLE},
    {"attn.norm_added_q", "txt_attn.norm.query_norm", SCALE},
    {"attn.norm_added_k", "txt_attn.norm.key_norm", SCALE},
    {"ff_context.net.0.proj", "txt_mlp.0", WHOLE},
    {"ff_context.net.2", "txt_mlp.2", WHOLE},
};

/* linear1 is queries, keys, values and four widths of feed-forward input. */
static const struct stem SINGLE[] = {
    {"norm.linear", "modulation.lin", WHOLE}, {"attn.to_q", "linear1", ROWS(0, 1, 7)},
    {"attn.to_k", "linear1", ROWS(1, 1, 7)},  {"attn.to_v", "linear1", ROWS(2, 1, 7)},
    {"proj_mlp", "linear1", ROWS(3, 4, 7)},   {"attn.norm_q", "norm.query_norm", SCALE},
    {"attn.norm_k", "norm.key_norm", SCALE},  {"proj_out", "linear2", WHOLE},
};

static const struct stem VAE_HALF[] = {
    {"conv_in", "conv_in", WHOLE},
    {"conv_norm_out", "norm_out", WHOLE},
    {"conv_out", "conv_out", WHOLE},
    {"mid_block.attentions.0.group_norm", "mid.attn_1.norm", WHOLE},
    {"mid_block.attentions.0.to_q", "mid.attn_1.q", WHOLE},
    {"mid_block.attentions.0.to_k", "mid.attn_1.k", WHOLE},
    {"mid_block.attentions.0.to_v", "mid.attn_1.v", WHOLE},
    {"mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out", WHOLE},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* --- names ------------------------------------------------------------------------------------*/

/* What follows start in text, or NULL. */
static const char *after(const char *text, const char *start)
{
    size_t size = strlen(start);
    return strncmp(text, start, size) == 0 ? text + size : NULL;
}

/* Read "12." from text; what follows, or NULL. */
static const char *after_number(const char *text, int *number)
{
    char *end = NULL;
    long n = text != NULL && isdigit((unsigned char)*text) ? strtol(text, &end, 10) : -1;
    *number = (int)n;
    return n >= 0 && n < 10000 && *end == '.' ? end + 1 : NULL;
}

/* The row of "stem.weight" or "stem.bias", and ".weight" or ".bias" in *tail. */
static const struct stem *find_stem(const struct stem *table, size_t n, const char *name,
                                    const char **tail)
{
    for (size_t i = 0; i < n; i++) {
        const char *rest = after(name, table[i].ours);
        if (rest != NULL && (strcmp(rest, ".weight") == 0 || strcmp(rest, ".bias") == 0)) {
            *tail = rest;
            return &table[i];
        }
    }
    return NULL;
}

static bool put_place(struct bfl_place *out, const char *start, const struct stem *s,
                      const char *tail)
{
    *out = (struct bfl_place){
        .first = s->first, .count = s->count, .of = s->of, .swaps_halves = s->swaps_halves};
    snprintf(out->name, sizeof out->name, "%s%s%s", start, s->theirs,
             s->is_scale ? ".scale" : tail);
    return true;
}

bool bfl_transformer_place(struct bfl_place *out, const char *name)
{
    static const struct {
        const char *ours, *theirs;
        const struct stem *stems;
        size_t n;
    } BLOCKS[] = {
        {"transformer_blocks.", "double_blocks", DOUBLE, COUNT(DOUBLE)},
        {"single_transformer_blocks.", "single_blocks", SINGLE, COUNT(SINGLE)},
    };
    const struct stem *stem;
    const char *tail = NULL;
    for (size_t i = 0; i < COUNT(BLOCKS); i++) {
        int block;
        const char *rest = after(name, BLOCKS[i].ours);
        rest = rest == NULL ? NULL : after_number(rest, &block);
        if (rest != NULL) {
            char start[64];
            snprintf(start, sizeof start, "%s.%d.", BLOCKS[i].theirs, block);
            stem = find_stem(BLOCKS[i].stems, BLOCKS[i].n, rest, &tail);
            return stem != NULL && put_place(out, start, stem, tail);
        }
    }
    stem = find_stem(OUTSIDE, COUNT(OUTSIDE), name, &tail);
    return stem != NULL && put_place(out, "", stem, tail);
}

/* --- the autoencoder --------------------------------------------------------------------------*/

/* A level's parameters, rest standing behind its number: "resnets.J.norm1.weight",
 * "upsamplers.0.conv.bias". start is theirs up to the level: "decoder.up.3." */
static bool level_place(struct bfl_place *out, const char *start, const char *rest)
{
    const char *shortcut = "conv_shortcut.", *inner;
    char theirs[BFL_NAME_BYTES / 2];
    int block;
    if ((inner = after_number(after(rest, "resnets."), &block)) != NULL) {
        const char *tail = after(inner, shortcut);
        snprintf(theirs, sizeof theirs, "block.%d.%s%s", block, tail != NULL ? "nin_shortcut." : "",
                 tail != NULL ? tail : inner);
    } else if ((inner = after(rest, "upsamplers.0.conv.")) != NULL) {
        snprintf(theirs, sizeof theirs, "upsample.conv.%s", inner);
    } else if ((inner = after(rest, "downsamplers.0.conv.")) != NULL) {
        snprintf(theirs, sizeof theirs, "downsample.conv.%s", inner);
    } else {
        return false;
    }
    return put_place(out, start, &(struct stem){NULL, theirs, WHOLE}, "");
}

bool bfl_vae_place(struct bfl_place *out, const char *name, int n_levels)
{
    char start[64];
    bool is_decoder = after(name, "decoder.") != NULL;
    const char *half = is_decoder ? "decoder" : "encoder", *tail = NULL, *rest;
    int number;
    if (!is_decoder && after(name, "encoder.") == NULL) {
        return put_place(out, "", &(struct stem){NULL, name, WHOLE}, ""); /* quant_conv */
    }
    name += strlen("decoder.");
    snprintf(start, sizeof start, "%s.", half);
    const struct stem *stem = find_stem(VAE_HALF, COUNT(VAE_HALF), name, &tail);
    if (stem != NULL) {
        return put_place(out, start, stem, tail);
    }
    if ((rest = after_number(after(name, "mid_block.resnets."), &number)) != NULL) {
        snprintf(start, sizeof start, "%s.mid.block_%d.", half, number + 1);
        return put_place(out, start, &(struct stem){NULL, rest, WHOLE}, "");
    }
    rest = after_number(after(name, is_decoder ? "up_blocks." : "down_blocks."), &number);
    if (rest == NULL || number >= n_levels) {
        return false;
    }
    snprintf(start, sizeof start, "%s.%s.%d.", half, is_decoder ? "up" : "down",
             is_decoder ? n_levels - 1 - number : number);
    return level_place(out, start, rest);
}
