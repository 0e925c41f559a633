/* The feature map travels through two buffers in turn, each as large as the largest map, so that a
 * level's input is free once its output is made. */
#include "flux/vae.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

static const float EPS = 1e-6f; /* of all group norms */

/* --- parameters -------------------------------------------------------------------------------*/

static void resnet_bind(struct resnet *r, struct weights *w, int64_t in, int64_t out,
                        const char *half, const char *name, int index)
{
    char p[128];
    snprintf(p, sizeof p, "%s.%s.resnets.%d", half, name, index);
    norm_bind(&r->norm1, w, in, true, "%s.norm1", p);
    conv_bind(&r->conv1, w, out, in, 3, "%s.conv1", p);
    norm_bind(&r->norm2, w, out, true, "%s.norm2", p);
    conv_bind(&r->conv2, w, out, out, 3, "%s.conv2", p);
    if (in != out) {
        linear_bind(&r->shortcut, w, out, in, true, "%s.conv_shortcut", p);
    }
}

static void mid_block_bind(struct mid_block *m, struct weights *w, int64_t c, bool has_attention,
                           const char *half)
{
    resnet_bind(&m->resnets[0], w, c, c, half, "mid_block", 0);
    resnet_bind(&m->resnets[1], w, c, c, half, "mid_block", 1);
    if (has_attention) {
        norm_bind(&m->group_norm, w, c, true, "%s.mid_block.attentions.0.group_norm", half);
        linear_bind(&m->to_q, w, c, c, true, "%s.mid_block.attentions.0.to_q", half);
        linear_bind(&m->to_k, w, c, c, true, "%s.mid_block.attentions.0.to_k", half);
        linear_bind(&m->to_v, w, c, c, true, "%s.mid_block.attentions.0.to_v", half);
        linear_bind(&m->to_out, w, c, c, true, "%s.mid_block.attentions.0.to_out.0", half);
    }
}

static void level_bind(struct level *l, struct weights *w, int64_t in, int64_t out, int n_resnets,
                       bool has_resample, const char *half, const char *kind, int index)
{
    char name[64];
    snprintf(name, sizeof name, "%s_blocks.%d", kind, index);
    *l = (struct level){.resnets = xcalloc((size_t)n_resnets, sizeof *l->resnets),
                        .n_resnets = n_resnets};
    for (int i = 0; i < n_resnets; i++) {
        resnet_bind(&l->resnets[i], w, i == 0 ? in : out, out, half, name, i);
    }
    if (has_resample) {
        conv_bind(&l->resample, w, out, out, 3, "%s.%s.%ssamplers.0.conv", half, name, kind);
    }
}

static void decoder_bind(struct vae_half *d, const struct vae_config *c, struct weights *w)
{
    int n = c->n_levels;
    int64_t deepest = c->channels[n - 1];
    conv_bind(&d->conv_in, w, deepest, c->latent_channels, 3, "decoder.conv_in");
    mid_block_bind(&d->mid, w, deepest, c->has_mid_attention, "decoder");
    d->levels = xcalloc((size_t)n, sizeof *d->levels);
    for (int i = 0; i < n; i++) {
        level_bind(&d->levels[i], w, c->channels[i == 0 ? n - 1 : n - i], c->channels[n - 1 - i],
                   (int)c->layers_per_block + 1, i + 1 < n, "decoder", "up", i);
    }
    norm_bind(&d->conv_norm_out, w, c->channels[0], true, "decoder.conv_norm_out");
    conv_bind(&d->conv_out, w, c->out_channels, c->channels[0], 3, "decoder.conv_out");
}

static void encoder_bind(struct vae_half *e, const struct vae_config *c, struct weights *w)
{
    int n = c->n_levels;
    int64_t deepest = c->channels[n - 1];
    conv_bind(&e->conv_in, w, c->channels[0], c->in_channels, 3, "encoder.conv_in");
    e->levels = xcalloc((size_t)n, sizeof *e->levels);
    for (int i = 0; i < n; i++) {
        level_bind(&e->levels[i], w, c->channels[i == 0 ? 0 : i - 1], c->channels[i],
                   (int)c->layers_per_block, i + 1 < n, "encoder", "down", i);
    }
    mid_block_bind(&e->mid, w, deepest, c->has_mid_attention, "encoder");
    norm_bind(&e->conv_norm_out, w, deepest, true, "encoder.conv_norm_out");
    conv_bind(&e->conv_out, w, 2 * c->latent_channels, deepest, 3, "encoder.conv_out");
}

void vae_bind(struct vae *m, const struct vae_config *config, struct weights *w, bool with_encoder)
{
    const struct vae_config *c = config;
    *m = (struct vae){.config = *c, .has_encoder = with_encoder};
    decoder_bind(&m->decoder, c, w);
    if (c->has_post_quant_conv) {
        linear_bind(&m->post_quant_conv, w, c->latent_channels, c->latent_channels, true,
                    "post_quant_conv");
    }
    if (with_encoder) {
        encoder_bind(&m->encoder, c, w);
        if (c->has_quant_conv) {
            linear_bind(&m->quant_conv, w, 2 * c->latent_channels, 2 * c->latent_channels, true,
                        "quant_conv");
        }
    }
}

static void half_free(struct vae_half *h, int n_levels)
{
    for (int i = 0; h->levels != NULL && i < n_levels; i++) {
        free(h->levels[i].resnets);
    }
    free(h->levels);
    h->levels = NULL;
}

void vae_free(struct vae *m)
{
    half_free(&m->encoder, m->config.n_levels);
    half_free(&m->decoder, m->config.n_levels);
}

/* --- the travelling map -----------------------------------------------------------------------*/

struct map {
    struct tensor now;   /* [1, Y, X, C] in the current buffer */
    struct tensor spare; /* the other buffer, flat */
    struct tensor own;   /* the current buffer, flat */
};

static struct map map_new(struct backend *b, int64_t max_elements)
{
    return (struct map){.own = scratch_take(b, b->compute, SHAPE(max_elements)),
                        .spare = scratch_take(b, b->compute, SHAPE(max_elements))};
}

/* A map of this shape in the other buffer; map_turn makes it the current one. */
static struct tensor map_next(const struct map *m, int64_t rows, int64_t columns, int64_t channels)
{
    return tensor_reshape(tensor_slice(m->spare, 0, 0, rows * columns * channels),
                          SHAPE(1, rows, columns, channels));
}

static void map_turn(struct map *m, struct tensor next)
{
    struct tensor was = m->own;
    m->own = m->spare;
    m->spare = was;
    m->now = next;
}

/* --- blocks -----------------------------------------------------------------------------------*/

static void conv3x3(struct backend *b, struct tensor out, struct tensor x, const struct conv *c)
{
    op_conv2d(b, out, x, c->weight, c->bias, 1, 1, 1, 1);
}

static void group_norm_silu(struct backend *b, const struct vae_config *c, struct tensor out,
                            struct tensor x, const struct norm *n)
{
    op_group_norm(b, out, x, n->weight, n->bias, c->norm_groups, EPS, ACT_SILU);
}

static void resnet_forward(struct backend *b, const struct vae_config *c, const struct resnet *r,
                           struct map *map)
{
    size_t mark = scratch_mark(b);
    struct tensor x = map->now; /* [1, Y, X, I] */
    int64_t out_channels = r->conv1.weight.dims[0];
    struct tensor out = map_next(map, x.dims[1], x.dims[2], out_channels); /* [1, Y, X, O] */
    struct tensor h = scratch_take(b, b->compute, SHAPE(1, x.dims[1], x.dims[2], out_channels));

    size_t inner = scratch_mark(b);
    struct tensor n = scratch_take(b, b->compute, SHAPE(1, x.dims[1], x.dims[2], x.dims[3]));
    group_norm_silu(b, c, n, x, &r->norm1);
    conv3x3(b, h, n, &r->conv1);
    scratch_release(b, inner);
    group_norm_silu(b, c, h, h, &r->norm2);
    conv3x3(b, out, h, &r->conv2);
    if (tensor_is_none(r->shortcut.weight)) {
        op_add(b, out, out, x);
    } else {
        linear(b, h, x, &r->shortcut, ACT_NONE);
        op_add(b, out, out, h);
    }
    scratch_release(b, mark);
    map_turn(map, out);
}

/* Self-attention over all pixels, with one head. */
static void attention_forward(struct backend *b, const struct vae_config *c,
                              const struct mid_block *m, struct map *map)
{
    size_t mark = scratch_mark(b);
    struct tensor x = map->now;
    int64_t width = x.dims[3];
    struct tensor n = scratch_take(b, b->compute, SHAPE(1, x.dims[1], x.dims[2], width));
    op_group_norm(b, n, x, m->group_norm.weight, m->group_norm.bias, c->norm_groups, EPS, ACT_NONE);
    struct tensor tokens = tensor_join(n, 1); /* [1, Y X, C] */
    struct tensor q = linear_new(b, tokens, &m->to_q, ACT_NONE);
    struct tensor k = linear_new(b, tokens, &m->to_k, ACT_NONE);
    struct tensor v = linear_new(b, tokens, &m->to_v, ACT_NONE);
    op_attention(b, tensor_split(tokens, 2, 1), tensor_split(q, 2, 1), tensor_split(k, 2, 1),
                 tensor_split(v, 2, 1), tensor_none(), 1.0f / sqrtf((float)width), false);
    linear(b, q, tokens, &m->to_out, ACT_NONE);
    op_add(b, x, x, tensor_reshape(q, SHAPE(1, x.dims[1], x.dims[2], width)));
    scratch_release(b, mark);
}

static void mid_block_forward(struct backend *b, const struct vae_config *c,
                              const struct mid_block *m, struct map *map)
{
    resnet_forward(b, c, &m->resnets[0], map);
    if (c->has_mid_attention) {
        attention_forward(b, c, m, map);
    }
    resnet_forward(b, c, &m->resnets[1], map);
}

/* Twice as many rows and columns, each pixel four times, then the convolution: in one operation. */
static void upsample(struct backend *b, const struct conv *conv, struct map *map)
{
    struct tensor x = map->now;
    struct tensor out = map_next(map, 2 * x.dims[1], 2 * x.dims[2], x.dims[3]);
    op_conv2d(b, out, x, conv->weight, conv->bias, 1, 1, 1, 2);
    map_turn(map, out);
}

/* Stride 2 with one row and column of zeros at the lower and right edge only. */
static void downsample(struct backend *b, const struct conv *conv, struct map *map)
{
    struct tensor x = map->now;
    struct tensor out = map_next(map, x.dims[1] / 2, x.dims[2] / 2, x.dims[3]);
    op_conv2d(b, out, x, conv->weight, conv->bias, 2, 0, 0, 1);
    map_turn(map, out);
}

static void level_forward(struct backend *b, const struct vae_config *c, const struct level *l,
                          struct map *map)
{
    for (int i = 0; i < l->n_resnets; i++) {
        resnet_forward(b, c, &l->resnets[i], map);
    }
}

/* --- the two halves ---------------------------------------------------------------------------*/

/* The largest map of either half, in elements: a level's channels, or those that come from the
 * next coarser level, at the level's resolution. rows x columns is the full resolution. */
static int64_t largest_map(const struct vae_config *c, int64_t rows, int64_t columns)
{
    int64_t largest = 0;
    for (int i = 0; i < c->n_levels; i++) {
        int64_t wide = c->channels[i];
        if (i + 1 < c->n_levels && c->channels[i + 1] > wide) {
            wide = c->channels[i + 1];
        }
        int64_t elements = (rows >> i) * (columns >> i) * wide;
        largest = elements > largest ? elements : largest;
    }
    return largest;
}

void vae_decode(struct backend *b, const struct vae *m, struct tensor image, struct tensor latent)
{
    const struct vae_config *c = &m->config;
    const struct vae_half *d = &m->decoder;
    size_t mark = scratch_mark(b);
    if (c->has_post_quant_conv) {
        struct tensor t =
            scratch_take(b, b->compute, SHAPE(1, latent.dims[1], latent.dims[2], latent.dims[3]));
        linear(b, t, latent, &m->post_quant_conv, ACT_NONE);
        latent = t;
    }
    struct map map = map_new(b, largest_map(c, image.dims[1], image.dims[2]));
    struct tensor first =
        map_next(&map, latent.dims[1], latent.dims[2], c->channels[c->n_levels - 1]);
    conv3x3(b, first, latent, &d->conv_in);
    map_turn(&map, first);

    backend_range_begin(b, "decoder mid", -1);
    mid_block_forward(b, c, &d->mid, &map);
    backend_range_end(b);
    for (int i = 0; i < c->n_levels; i++) {
        backend_range_begin(b, "decoder level", i);
        level_forward(b, c, &d->levels[i], &map);
        if (i + 1 < c->n_levels) {
            upsample(b, &d->levels[i].resample, &map);
        }
        backend_range_end(b);
    }
    group_norm_silu(b, c, map.now, map.now, &d->conv_norm_out);
    conv3x3(b, image, map.now, &d->conv_out);
    scratch_release(b, mark);
}

void vae_encode(struct backend *b, const struct vae *m, struct tensor moments, struct tensor image)
{
    const struct vae_config *c = &m->config;
    const struct vae_half *e = &m->encoder;
    size_t mark = scratch_mark(b);
    struct map map = map_new(b, largest_map(c, image.dims[1], image.dims[2]));
    struct tensor first = map_next(&map, image.dims[1], image.dims[2], c->channels[0]);
    conv3x3(b, first, image, &e->conv_in);
    map_turn(&map, first);

    for (int i = 0; i < c->n_levels; i++) {
        level_forward(b, c, &e->levels[i], &map);
        if (i + 1 < c->n_levels) {
            downsample(b, &e->levels[i].resample, &map);
        }
    }
    mid_block_forward(b, c, &e->mid, &map);
    group_norm_silu(b, c, map.now, map.now, &e->conv_norm_out);
    if (c->has_quant_conv) {
        struct tensor t = scratch_take(b, b->compute,
                                       SHAPE(1, moments.dims[1], moments.dims[2], moments.dims[3]));
        conv3x3(b, t, map.now, &e->conv_out);
        linear(b, moments, t, &m->quant_conv, ACT_NONE);
    } else {
        conv3x3(b, moments, map.now, &e->conv_out);
    }
    scratch_release(b, mark);
}
