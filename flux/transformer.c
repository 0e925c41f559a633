/* Text and image tokens live in one buffer [B, Lt + Li, D]: double blocks work on two windows of
 * it, single blocks on the whole, so that nothing is ever joined or split. */
#include "flux/transformer.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tensor/dtype.h"

static const float EPS = 1e-6f; /* of all norms */
enum { SINUSOID_WIDTH = 256, MLP_RATIO = 4 };

/* --- parameters -------------------------------------------------------------------------------*/

static void embedder_bind(struct embedder *e, struct weights *w, int64_t width, int64_t in,
                          const char *name)
{
    linear_bind(&e->linear_1, w, width, in, true, "time_text_embed.%s.linear_1", name);
    linear_bind(&e->linear_2, w, width, width, true, "time_text_embed.%s.linear_2", name);
}

/* Names of a stream's parameters in the checkpoint. */
struct stream_names {
    const char *modulation, *q, *k, *v, *out, *norm_q, *norm_k, *mlp;
};

static void stream_bind(struct stream *s, struct weights *w, int64_t d, int64_t head_width,
                        int block, const struct stream_names *n)
{
    const char *p = "transformer_blocks";
    linear_bind(&s->modulation, w, 6 * d, d, true, "%s.%d.%s.linear", p, block, n->modulation);
    linear_bind(&s->q, w, d, d, true, "%s.%d.attn.%s", p, block, n->q);
    linear_bind(&s->k, w, d, d, true, "%s.%d.attn.%s", p, block, n->k);
    linear_bind(&s->v, w, d, d, true, "%s.%d.attn.%s", p, block, n->v);
    linear_bind(&s->out, w, d, d, true, "%s.%d.attn.%s", p, block, n->out);
    norm_bind(&s->norm_q, w, head_width, false, "%s.%d.attn.%s", p, block, n->norm_q);
    norm_bind(&s->norm_k, w, head_width, false, "%s.%d.attn.%s", p, block, n->norm_k);
    linear_bind(&s->mlp_in, w, MLP_RATIO * d, d, true, "%s.%d.%s.net.0.proj", p, block, n->mlp);
    linear_bind(&s->mlp_out, w, d, MLP_RATIO * d, true, "%s.%d.%s.net.2", p, block, n->mlp);
}

static void single_block_bind(struct single_block *s, struct weights *w, int64_t d,
                              int64_t head_width, int block)
{
    const char *p = "single_transformer_blocks";
    linear_bind(&s->modulation, w, 3 * d, d, true, "%s.%d.norm.linear", p, block);
    linear_bind(&s->q, w, d, d, true, "%s.%d.attn.to_q", p, block);
    linear_bind(&s->k, w, d, d, true, "%s.%d.attn.to_k", p, block);
    linear_bind(&s->v, w, d, d, true, "%s.%d.attn.to_v", p, block);
    norm_bind(&s->norm_q, w, head_width, false, "%s.%d.attn.norm_q", p, block);
    norm_bind(&s->norm_k, w, head_width, false, "%s.%d.attn.norm_k", p, block);
    linear_bind(&s->mlp, w, MLP_RATIO * d, d, true, "%s.%d.proj_mlp", p, block);
    linear_bind(&s->out, w, d, (1 + MLP_RATIO) * d, true, "%s.%d.proj_out", p, block);
}

void transformer_bind(struct transformer *m, const struct transformer_config *config,
                      struct weights *w)
{
    static const struct stream_names IMAGE = {"norm1",    "to_q",   "to_k",   "to_v",
                                              "to_out.0", "norm_q", "norm_k", "ff"};
    static const struct stream_names TEXT = {"norm1_context", "add_q_proj", "add_k_proj",
                                             "add_v_proj",    "to_add_out", "norm_added_q",
                                             "norm_added_k",  "ff_context"};
    const struct transformer_config *c = config;
    int64_t d = c->n_heads * c->head_width;
    *m = (struct transformer){.config = *c,
                              .width = d,
                              .doubles = xcalloc((size_t)c->n_double + 1, sizeof *m->doubles),
                              .singles = xcalloc((size_t)c->n_single + 1, sizeof *m->singles)};
    linear_bind(&m->x_embedder, w, d, c->in_channels, true, "x_embedder");
    linear_bind(&m->context_embedder, w, d, c->text_width, true, "context_embedder");
    embedder_bind(&m->time, w, d, SINUSOID_WIDTH, "timestep_embedder");
    embedder_bind(&m->pooled, w, d, c->pooled_width, "text_embedder");
    if (c->has_guidance) {
        embedder_bind(&m->guidance, w, d, SINUSOID_WIDTH, "guidance_embedder");
    }
    for (int i = 0; i < (int)c->n_double; i++) {
        stream_bind(&m->doubles[i].image, w, d, c->head_width, i, &IMAGE);
        stream_bind(&m->doubles[i].text, w, d, c->head_width, i, &TEXT);
    }
    for (int i = 0; i < (int)c->n_single; i++) {
        single_block_bind(&m->singles[i], w, d, c->head_width, i);
    }
    linear_bind(&m->norm_out, w, 2 * d, d, true, "norm_out.linear");
    linear_bind(&m->proj_out, w, c->out_channels, d, true, "proj_out");
}

void transformer_free(struct transformer *m)
{
    free(m->doubles);
    free(m->singles);
    m->doubles = NULL;
    m->singles = NULL;
}

/* --- embeddings -------------------------------------------------------------------------------*/

static struct tensor embed(struct backend *b, struct tensor x, const struct embedder *e)
{
    return linear_new(b, linear_new(b, x, &e->linear_1, ACT_SILU), &e->linear_2, ACT_NONE);
}

/* A number as cosines and sines of falling frequencies, [B, 256]. Frequency and product are
 * rounded to float on purpose: the reference's are, and it shows (angles reach thousands). */
static struct tensor sinusoid(struct backend *b, float x, int64_t batch)
{
    enum { HALF = SINUSOID_WIDTH / 2 };
    float host[SINUSOID_WIDTH];
    for (int i = 0; i < HALF; i++) {
        float frequency = expf(-9.210340371976184f * (float)i / (float)HALF); /* ln 10000 */
        float angle = x * frequency;
        host[i] = cosf(angle);
        host[HALF + i] = sinf(angle);
    }
    struct tensor row = upload_new(b, host, SHAPE(1, SINUSOID_WIDTH));
    struct tensor rows = scratch_take(b, b->compute, SHAPE(batch, SINUSOID_WIDTH));
    op_copy(b, rows, tensor_repeat(row, 0, batch));
    return rows;
}

/* Rotations of token positions: text tokens are all at the origin, image tokens at (0, row,
 * column), and each axis has its share of a head's feature pairs. */
static void rotations(struct backend *b, const struct transformer_config *c, int64_t n_text,
                      struct span image, int64_t columns, struct tensor *cos_out,
                      struct tensor *sin_out)
{
    int64_t length = n_text + image.count, half = c->head_width / 2;
    *cos_out = scratch_take(b, DTYPE_F32, SHAPE(length, half));
    *sin_out = scratch_take(b, DTYPE_F32, SHAPE(length, half));
    if (backend_is_plan(b)) {
        return;
    }
    float *host_cos = xmalloc(tensor_bytes(*cos_out)), *host_sin = xmalloc(tensor_bytes(*sin_out));
    for (int64_t token = 0; token < length; token++) {
        int64_t at = token < n_text ? 0 : token - n_text + image.start;
        int64_t position[ROPE_AXES] = {0, at / columns, at % columns};
        int64_t pair = token * half;
        for (int axis = 0; axis < ROPE_AXES; axis++) {
            for (int64_t i = 0; i < c->rope_axes[axis]; i += 2, pair++) {
                double frequency = pow(10000.0, -(double)i / (double)c->rope_axes[axis]);
                host_cos[pair] = (float)cos((double)position[axis] * frequency);
                host_sin[pair] = (float)sin((double)position[axis] * frequency);
            }
        }
    }
    backend_upload(b, *cos_out, host_cos);
    backend_upload(b, *sin_out, host_sin);
    free(host_cos);
    free(host_sin);
}

struct condition transformer_condition(struct backend *b, const struct transformer *m,
                                       struct tensor text, struct tensor pooled, float guidance,
                                       int64_t rows, int64_t columns, struct tap *tap)
{
    int64_t batch = text.dims[0];
    struct span words = span_own(b, text.dims[1]), image = span_own(b, rows * columns);
    struct tensor own = tensor_slice(text, 1, words.start, words.count);
    struct condition c = {.context = linear_new(b, own, &m->context_embedder, ACT_NONE),
                          .pooled = embed(b, pooled, &m->pooled),
                          .shares = shares_of(b, text.dims[1], rows * columns)};
    if (m->config.has_guidance) {
        float scaled = dtype_round(b->compute, 1000.0f * dtype_round(b->compute, guidance));
        c.guidance = embed(b, sinusoid(b, scaled, batch), &m->guidance);
    }
    rotations(b, &m->config, words.count, image, columns, &c.cos, &c.sin);
    tap_show(tap, "dbg.context_embed", c.context);
    tap_show(tap, "dbg.rope.cos", tensor_repeat(tensor_unsqueeze(c.cos, 2), 2, 2)); /* both */
    tap_show(tap, "dbg.rope.sin", tensor_repeat(tensor_unsqueeze(c.sin, 2), 2, 2)); /* of a pair */
    return c;
}

/* --- blocks -----------------------------------------------------------------------------------*/

/* Vector i of n that a modulation layer made side by side: [B, n D] -> [B, D]. */
static struct tensor chunk(struct tensor t, int i, int n)
{
    int64_t d = t.dims[1] / n;
    return tensor_slice(t, 1, i * d, d);
}

/* Layer norm without parameters, then * (1 + scale) + shift. */
static struct tensor modulated_norm(struct backend *b, struct tensor x, struct tensor shift,
                                    struct tensor scale)
{
    struct tensor out = scratch_take(b, b->compute, SHAPE(x.dims[0], x.dims[1], x.dims[2]));
    op_layer_norm(b, out, x, tensor_none(), tensor_none(), scale, shift, EPS);
    return out;
}

/* Project x to one of queries and keys, normalise it head by head and rotate it by its place among
 * all tokens, of which it is those from `start` on. out [B, L, H, Dh]. */
static void project_placed(struct backend *b, struct tensor out, struct tensor x,
                           const struct linear *l, const struct norm *n, const struct condition *c,
                           int64_t start)
{
    linear(b, tensor_join(out, 2), x, l, ACT_NONE);
    op_rms_norm_rope(b, out, n->weight, EPS, tensor_slice(c->cos, 0, start, out.dims[1]),
                     tensor_slice(c->sin, 0, start, out.dims[1]));
}

static void double_block(struct backend *b, const struct transformer *m,
                         const struct double_block *block, struct tensor x, int64_t n_text,
                         struct tensor act_temb, const struct condition *condition, struct tap *tap)
{
    size_t mark = scratch_mark(b);
    const struct stream *streams[2] = {&block->text, &block->image};
    int64_t start[2] = {0, n_text}, count[2] = {n_text, x.dims[1] - n_text};
    int64_t heads = m->config.n_heads, head_width = m->config.head_width;
    struct shape shape = SHAPE(x.dims[0], x.dims[1], heads, head_width);
    struct tensor q = scratch_take(b, b->compute, shape), k = scratch_take(b, b->compute, shape);
    struct tensor v = scratch_take(b, b->compute, shape), a = scratch_take(b, b->compute, shape);
    struct tensor mod[2]; /* [B, 6 D] */

    for (int i = 0; i < 2; i++) {
        const struct stream *s = streams[i];
        mod[i] = linear_new(b, act_temb, &s->modulation, ACT_NONE);
        struct tensor n = modulated_norm(b, tensor_slice(x, 1, start[i], count[i]),
                                         chunk(mod[i], 0, 6), chunk(mod[i], 1, 6));
        project_placed(b, tensor_slice(q, 1, start[i], count[i]), n, &s->q, &s->norm_q, condition,
                       start[i]);
        project_placed(b, tensor_slice(k, 1, start[i], count[i]), n, &s->k, &s->norm_k, condition,
                       start[i]);
        linear(b, tensor_join(tensor_slice(v, 1, start[i], count[i]), 2), n, &s->v, ACT_NONE);
    }
    ulysses_attention(b, a, q, k, v, 1.0f / sqrtf((float)head_width), &condition->shares);

    for (int i = 0; i < 2; i++) {
        const struct stream *s = streams[i];
        struct tensor xs = tensor_slice(x, 1, start[i], count[i]); /* [B, Ls, D] */
        size_t inner = scratch_mark(b);
        struct tensor attended = linear_new(
            b, tensor_join(tensor_slice(a, 1, start[i], count[i]), 2), &s->out, ACT_NONE);
        tap_show(tap, i == 0 ? "dbg.double0.attn.txt" : "dbg.double0.attn.img", attended);
        op_gated_add(b, xs, chunk(mod[i], 2, 6), attended);
        struct tensor n = modulated_norm(b, xs, chunk(mod[i], 3, 6), chunk(mod[i], 4, 6));
        struct tensor h = linear_new(b, n, &s->mlp_in, ACT_GELU_TANH); /* [B, Ls, 4 D] */
        op_gated_add(b, xs, chunk(mod[i], 5, 6), linear_new(b, h, &s->mlp_out, ACT_NONE));
        tap_show(tap, i == 0 ? "dbg.double0.txt" : "dbg.double0.img", xs);
        scratch_release(b, inner);
    }
    scratch_release(b, mark);
}

static void single_block(struct backend *b, const struct transformer *m,
                         const struct single_block *block, struct tensor x, struct tensor act_temb,
                         const struct condition *condition)
{
    size_t mark = scratch_mark(b);
    int64_t d = m->width, heads = m->config.n_heads, head_width = m->config.head_width;
    struct shape shape = SHAPE(x.dims[0], x.dims[1], heads, head_width);
    struct tensor q = scratch_take(b, b->compute, shape), k = scratch_take(b, b->compute, shape);
    struct tensor v = scratch_take(b, b->compute, shape);
    struct tensor both =
        scratch_take(b, b->compute, SHAPE(x.dims[0], x.dims[1], (1 + MLP_RATIO) * d));

    struct tensor mod = linear_new(b, act_temb, &block->modulation, ACT_NONE); /* [B, 3 D] */
    struct tensor n = modulated_norm(b, x, chunk(mod, 0, 3), chunk(mod, 1, 3));
    project_placed(b, q, n, &block->q, &block->norm_q, condition, 0);
    project_placed(b, k, n, &block->k, &block->norm_k, condition, 0);
    linear(b, tensor_join(v, 2), n, &block->v, ACT_NONE);
    linear(b, tensor_slice(both, 2, d, MLP_RATIO * d), n, &block->mlp, ACT_GELU_TANH);
    ulysses_attention(b, tensor_split(tensor_slice(both, 2, 0, d), 2, heads), q, k, v,
                      1.0f / sqrtf((float)head_width), &condition->shares);
    op_gated_add(b, x, chunk(mod, 2, 3), linear_new(b, both, &block->out, ACT_NONE));
    scratch_release(b, mark);
}

/* --- the whole --------------------------------------------------------------------------------*/

/* The vector that steers all blocks: time, guidance and pooled text, [B, D]. */
static struct tensor steer(struct backend *b, const struct transformer *m, float time,
                           const struct condition *c)
{
    float scaled = dtype_round(b->compute, 1000.0f * time);
    struct tensor temb = embed(b, sinusoid(b, scaled, c->pooled.dims[0]), &m->time);
    if (m->config.has_guidance) {
        op_add(b, temb, temb, c->guidance);
    }
    op_add(b, temb, temb, c->pooled);
    return temb;
}

void transformer_forward(struct backend *b, const struct transformer *m, struct tensor velocity,
                         struct tensor latents, float time, const struct condition *condition,
                         struct tap *tap)
{
    size_t mark = scratch_mark(b);
    int64_t batch = latents.dims[0], n_image = latents.dims[1], n_text = condition->context.dims[1];
    struct tensor x = scratch_take(b, b->compute, SHAPE(batch, n_text + n_image, m->width));
    struct tensor text = tensor_slice(x, 1, 0, n_text);        /* [B, Lt, D] */
    struct tensor image = tensor_slice(x, 1, n_text, n_image); /* [B, Li, D] */
    linear(b, image, latents, &m->x_embedder, ACT_NONE);
    op_copy(b, text, condition->context);
    tap_show(tap, "dbg.x_embed", image);

    struct tensor act_temb = steer(b, m, time, condition); /* [B, D] */
    tap_show(tap, "dbg.temb", act_temb);
    op_activate(b, act_temb, act_temb, ACT_SILU);

    for (int64_t i = 0; i < m->config.n_double; i++) {
        backend_range_begin(b, "double", (int)i);
        double_block(b, m, &m->doubles[i], x, n_text, act_temb, condition, i == 0 ? tap : NULL);
        backend_range_end(b);
    }
    for (int64_t i = 0; i < m->config.n_single; i++) {
        backend_range_begin(b, "single", (int)i);
        single_block(b, m, &m->singles[i], x, act_temb, condition);
        backend_range_end(b);
        if (i == 0) {
            tap_show(tap, "dbg.single0.txt", text);
            tap_show(tap, "dbg.single0.img", image);
        }
    }
    struct tensor mod = linear_new(b, act_temb, &m->norm_out, ACT_NONE); /* scale, shift */
    struct tensor n = modulated_norm(b, image, chunk(mod, 1, 2), chunk(mod, 0, 2));
    tap_show(tap, "dbg.norm_out", n);
    linear(b, velocity, n, &m->proj_out, ACT_NONE);
    scratch_release(b, mark);
}
