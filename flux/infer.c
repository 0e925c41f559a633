/* Counts of blocks are how many of the numbered ones are there. */
#include "flux/infer.h"

#include <stdio.h>

enum { MAX_BLOCKS = 1000, MAX_WIDTH = 1 << 20 };

/* The size of an axis of a matrix or vector. */
static bool read_dim(const struct checkpoint *c, const char *name, int rank, int axis,
                     int64_t *value, struct error *err)
{
    struct stored s;
    if (!checkpoint_find(c, name, &s, err)) {
        return false;
    }
    *value = s.window.dims[axis];
    if (s.window.rank != rank || *value < 1 || *value > MAX_WIDTH) {
        return fail(err, ERR_INVALID, "%s: %d axes and a size of %lld, must be %d axes of 1 to %d",
                    s.name, s.window.rank, (long long)*value, rank, MAX_WIDTH);
    }
    return true;
}

static int64_t count_blocks(const struct checkpoint *c, const char *format)
{
    char name[96];
    int64_t n = 0;
    for (; n < MAX_BLOCKS; n++) {
        snprintf(name, sizeof name, "%s.%lld.attn.norm_q.weight", format, (long long)n);
        if (!checkpoint_has(c, name)) {
            break;
        }
    }
    return n;
}

bool infer_transformer(struct transformer_config *t, const struct checkpoint *c, struct error *err)
{
    int64_t width = 0;
    *t = (struct transformer_config){
        .n_double = count_blocks(c, "transformer_blocks"),
        .n_single = count_blocks(c, "single_transformer_blocks"),
        .has_guidance = checkpoint_has(c, "time_text_embed.guidance_embedder.linear_1.weight"),
    };
    const char *norm = t->n_double > 0 ? "transformer_blocks.0.attn.norm_q.weight"
                                       : "single_transformer_blocks.0.attn.norm_q.weight";
    if (!read_dim(c, "x_embedder.weight", 2, 0, &width, err) ||
        !read_dim(c, "x_embedder.weight", 2, 1, &t->in_channels, err) ||
        !read_dim(c, "context_embedder.weight", 2, 1, &t->text_width, err) ||
        !read_dim(c, "time_text_embed.text_embedder.linear_1.weight", 2, 1, &t->pooled_width,
                  err) ||
        !read_dim(c, "proj_out.weight", 2, 0, &t->out_channels, err) ||
        !read_dim(c, norm, 1, 0, &t->head_width, err)) {
        return error_prefix(err, "%s", c->path);
    }
    t->n_heads = width / t->head_width;
    if (width % t->head_width != 0 || t->head_width % 2 != 0) {
        (void)fail(err, ERR_INVALID, "a width of %lld can't be %lld wide heads", (long long)width,
                   (long long)t->head_width);
        return error_prefix(err, "%s", c->path);
    }
    if (t->out_channels != t->in_channels) {
        (void)fail(err, ERR_INVALID,
                   "%lld channels come in and %lld go out, they must be equal (FLUX.1-Fill, -Canny "
                   "and -Depth are other models)",
                   (long long)t->in_channels, (long long)t->out_channels);
        return error_prefix(err, "%s", c->path);
    }
    return true;
}

enum dtype infer_dtype(const struct checkpoint *c, enum part part, bool *is_in_blocks)
{
    static const char *const LARGEST[N_PARTS] = {
        [CLIP] = "text_model.encoder.layers.0.mlp.fc1.weight",
        [T5] = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight",
        [TRANSFORMER] = "transformer_blocks.0.ff.net.2.weight",
        [VAE] = "decoder.mid_block.resnets.0.conv1.weight",
    };
    struct stored s;
    *is_in_blocks = false;
    if (!checkpoint_find(c, LARGEST[part], &s, NULL)) {
        return DTYPE_BF16;
    }
    *is_in_blocks = s.blocks != NULL;
    return s.window.dtype;
}
