/* See Radford et al. 2021; padding needs no mask, since the causal one hides it from the end
 * token. */
#include "flux/clip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

void clip_bind(struct clip *m, const struct clip_config *config, struct weights *w)
{
    const struct clip_config *c = config;
    *m = (struct clip){.config = *c, .layers = xcalloc((size_t)c->n_layers, sizeof *m->layers)};
    /* Checkpoints of transformers 5 leave the prefix out. */
    const char *top = weights_has(w, "text_model.final_layer_norm.weight") ? "text_model." : "";
    weights_want(w, &m->token_embedding, WEIGHT_TABLE, SHAPE(c->vocab_size, c->width),
                 "%sembeddings.token_embedding.weight", top);
    weights_want(w, &m->position_embedding, WEIGHT_TABLE, SHAPE(c->max_positions, c->width),
                 "%sembeddings.position_embedding.weight", top);
    for (int i = 0; i < (int)c->n_layers; i++) {
        struct clip_layer *l = &m->layers[i];
        char p[64];
        snprintf(p, sizeof p, "%sencoder.layers.%d", top, i);
        norm_bind(&l->layer_norm1, w, c->width, true, "%s.layer_norm1", p);
        linear_bind(&l->q_proj, w, c->width, c->width, true, "%s.self_attn.q_proj", p);
        linear_bind(&l->k_proj, w, c->width, c->width, true, "%s.self_attn.k_proj", p);
        linear_bind(&l->v_proj, w, c->width, c->width, true, "%s.self_attn.v_proj", p);
        linear_bind(&l->out_proj, w, c->width, c->width, true, "%s.self_attn.out_proj", p);
        norm_bind(&l->layer_norm2, w, c->width, true, "%s.layer_norm2", p);
        linear_bind(&l->fc1, w, c->mlp_width, c->width, true, "%s.mlp.fc1", p);
        linear_bind(&l->fc2, w, c->width, c->mlp_width, true, "%s.mlp.fc2", p);
    }
    norm_bind(&m->final_layer_norm, w, c->width, true, "%sfinal_layer_norm", top);
}

void clip_free(struct clip *m)
{
    free(m->layers);
    m->layers = NULL;
}

/* Position of the first end token; by the old rule that is the largest id. */
static int64_t end_position(const struct clip_config *c, const int32_t *ids, int64_t length)
{
    enum { OLD_RULE = 2 };
    int64_t best = 0;
    for (int64_t i = 0; i < length; i++) {
        if (c->end_id != OLD_RULE && ids[i] == c->end_id) {
            return i;
        }
        if (c->end_id == OLD_RULE && ids[i] > ids[best]) {
            best = i;
        }
    }
    return best;
}

static struct tensor layer_norm_new(struct backend *b, struct tensor x, const struct norm *n,
                                    float eps)
{
    struct tensor out = scratch_take(b, b->compute, SHAPE(x.dims[0], x.dims[1], x.dims[2]));
    op_layer_norm(b, out, x, n->weight, n->bias, tensor_none(), tensor_none(), eps);
    return out;
}

static void layer_forward(struct backend *b, const struct clip_config *c,
                          const struct clip_layer *l, struct tensor x)
{
    size_t mark = scratch_mark(b);
    int64_t head_width = c->width / c->n_heads;
    struct tensor n = layer_norm_new(b, x, &l->layer_norm1, c->norm_eps); /* [B, L, D] */
    struct tensor q = linear_new(b, n, &l->q_proj, ACT_NONE);             /* [B, L, D] */
    struct tensor k = linear_new(b, n, &l->k_proj, ACT_NONE);
    struct tensor v = linear_new(b, n, &l->v_proj, ACT_NONE);
    struct tensor a = scratch_take(b, b->compute, SHAPE(x.dims[0], x.dims[1], x.dims[2]));
    op_attention(b, tensor_split(a, 2, c->n_heads), tensor_split(q, 2, c->n_heads),
                 tensor_split(k, 2, c->n_heads), tensor_split(v, 2, c->n_heads), tensor_none(),
                 1.0f / sqrtf((float)head_width), true);
    op_add(b, x, x, linear_new(b, a, &l->out_proj, ACT_NONE));
    scratch_release(b, mark);

    n = layer_norm_new(b, x, &l->layer_norm2, c->norm_eps);
    struct tensor h = linear_new(b, n, &l->fc1, c->act); /* [B, L, 4D] */
    op_add(b, x, x, linear_new(b, h, &l->fc2, ACT_NONE));
    scratch_release(b, mark);
}

void clip_forward(struct backend *b, const struct clip *m, struct tensor pooled, const int32_t *ids,
                  int64_t batch, int64_t length)
{
    const struct clip_config *c = &m->config;
    size_t mark = scratch_mark(b);
    struct tensor device_ids = scratch_take(b, DTYPE_I32, SHAPE(batch * length));
    backend_upload(b, device_ids, ids);
    struct tensor x = scratch_take(b, b->compute, SHAPE(batch, length, c->width)); /* [B, L, D] */
    op_embed(b, tensor_join(x, 0), m->token_embedding, device_ids);
    struct tensor positions = scratch_take(b, b->compute, SHAPE(1, length, c->width));
    op_copy(b, tensor_at(positions, 0, 0), tensor_slice(m->position_embedding, 0, 0, length));
    op_add(b, x, x, tensor_repeat(positions, 0, batch));

    for (int64_t i = 0; i < c->n_layers; i++) {
        backend_range_begin(b, "clip layer", (int)i);
        layer_forward(b, c, &m->layers[i], x);
        backend_range_end(b);
    }
    struct tensor final = layer_norm_new(b, x, &m->final_layer_norm, c->norm_eps);
    for (int64_t row = 0; row < batch; row++) {
        int64_t end = ids == NULL ? length - 1 : end_position(c, ids + row * length, length);
        op_copy(b, tensor_slice(pooled, 0, row, 1),
                tensor_slice(tensor_at(final, 0, row), 0, end, 1));
    }
    scratch_release(b, mark);
}
