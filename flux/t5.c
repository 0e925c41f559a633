/* The bias depends on the distance alone, so one row of 2 L - 1 values per head is enough: the
 * [H, L, L] matrix is a window on it with stride -1 along the queries. */
#include "flux/t5.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tensor/dtype.h"

void t5_bind(struct t5 *m, const struct t5_config *config, struct weights *w)
{
    const struct t5_config *c = config;
    int64_t inner = c->n_heads * c->head_width;
    *m = (struct t5){.config = *c, .layers = xcalloc((size_t)c->n_layers, sizeof *m->layers)};
    weights_want(w, &m->shared, WEIGHT_TABLE, SHAPE(c->vocab_size, c->width), "%s.weight",
                 weights_has(w, "shared.weight") ? "shared" : "encoder.embed_tokens");
    m->relative_bias =
        weights_host(w, SHAPE(c->n_buckets, c->n_heads),
                     "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
    for (int i = 0; i < (int)c->n_layers; i++) {
        struct t5_layer *l = &m->layers[i];
        const char *p = "encoder.block";
        norm_bind(&l->attention_norm, w, c->width, false, "%s.%d.layer.0.layer_norm", p, i);
        linear_bind(&l->q, w, inner, c->width, false, "%s.%d.layer.0.SelfAttention.q", p, i);
        linear_bind(&l->k, w, inner, c->width, false, "%s.%d.layer.0.SelfAttention.k", p, i);
        linear_bind(&l->v, w, inner, c->width, false, "%s.%d.layer.0.SelfAttention.v", p, i);
        linear_bind(&l->o, w, c->width, inner, false, "%s.%d.layer.0.SelfAttention.o", p, i);
        norm_bind(&l->mlp_norm, w, c->width, false, "%s.%d.layer.1.layer_norm", p, i);
        linear_bind(&l->wi_0, w, c->mlp_width, c->width, false, "%s.%d.layer.1.DenseReluDense.wi_0",
                    p, i);
        linear_bind(&l->wi_1, w, c->mlp_width, c->width, false, "%s.%d.layer.1.DenseReluDense.wi_1",
                    p, i);
        linear_bind(&l->wo, w, c->width, c->mlp_width, false, "%s.%d.layer.1.DenseReluDense.wo", p,
                    i);
    }
    norm_bind(&m->final_layer_norm, w, c->width, false, "encoder.final_layer_norm");
}

void t5_free(struct t5 *m)
{
    free(m->layers);
    free(m->relative_bias);
    m->layers = NULL;
    m->relative_bias = NULL;
}

/* --- relative position bias -------------------------------------------------------------------*/

/* Bucket of a distance (key position - query position): half of the buckets for each direction,
 * small distances one by one, larger ones on a logarithmic scale. */
static int64_t bucket(const struct t5_config *c, int64_t distance)
{
    int64_t half = c->n_buckets / 2, exact = half / 2;
    int64_t base = distance > 0 ? half : 0;
    int64_t size = distance < 0 ? -distance : distance;
    if (size < exact) {
        return base + size;
    }
    float scaled = logf((float)size / (float)exact) /
                   (float)log((double)c->max_distance / (double)exact) * (float)(half - exact);
    int64_t step = exact + (int64_t)scaled;
    return base + (step < half ? step : half - 1);
}

/* [H, L, L] f32 window: bias[h][i][j] = table[bucket(j - i)][h]. */
static struct tensor relative_bias(struct backend *b, const struct t5 *m, int64_t length)
{
    const struct t5_config *c = &m->config;
    int64_t span = 2 * length - 1;
    struct tensor rows = scratch_take(b, DTYPE_F32, SHAPE(c->n_heads, span));
    if (!backend_is_plan(b)) {
        float *host = xmalloc(tensor_bytes(rows));
        for (int64_t h = 0; h < c->n_heads; h++) {
            for (int64_t i = 0; i < span; i++) {
                float value = m->relative_bias[bucket(c, i - (length - 1)) * c->n_heads + h];
                host[h * span + i] = dtype_round(b->compute, value);
            }
        }
        backend_upload(b, rows, host);
        free(host);
    }
    struct tensor bias = tensor_unsqueeze(tensor_slice(rows, 1, length - 1, length), 1);
    bias.dims[1] = length;
    bias.strides[1] = -1;
    return bias;
}

/* --- forward ----------------------------------------------------------------------------------*/

static struct tensor rms_norm_new(struct backend *b, struct tensor x, const struct norm *n,
                                  float eps)
{
    struct tensor out = scratch_take(b, b->compute, SHAPE(x.dims[0], x.dims[1], x.dims[2]));
    op_rms_norm(b, out, x, n->weight, eps);
    return out;
}

static void layer_forward(struct backend *b, const struct t5_config *c, const struct t5_layer *l,
                          struct tensor x, struct tensor bias)
{
    size_t mark = scratch_mark(b);
    struct tensor n = rms_norm_new(b, x, &l->attention_norm, c->norm_eps); /* [B, L, D] */
    struct tensor q = linear_new(b, n, &l->q, ACT_NONE);                   /* [B, L, H Dh] */
    struct tensor k = linear_new(b, n, &l->k, ACT_NONE);
    struct tensor v = linear_new(b, n, &l->v, ACT_NONE);
    struct tensor a = scratch_take(b, b->compute, SHAPE(q.dims[0], q.dims[1], q.dims[2]));
    op_attention(b, tensor_split(a, 2, c->n_heads), tensor_split(q, 2, c->n_heads),
                 tensor_split(k, 2, c->n_heads), tensor_split(v, 2, c->n_heads), bias, 1.0f, false);
    op_add(b, x, x, linear_new(b, a, &l->o, ACT_NONE));
    scratch_release(b, mark);

    n = rms_norm_new(b, x, &l->mlp_norm, c->norm_eps);
    struct tensor gate = linear_new(b, n, &l->wi_0, c->act); /* [B, L, Dff] */
    op_mul(b, gate, gate, linear_new(b, n, &l->wi_1, ACT_NONE));
    op_add(b, x, x, linear_new(b, gate, &l->wo, ACT_NONE));
    scratch_release(b, mark);
}

void t5_forward(struct backend *b, const struct t5 *m, struct tensor hidden, const int32_t *ids)
{
    const struct t5_config *c = &m->config;
    int64_t batch = hidden.dims[0], length = hidden.dims[1];
    size_t mark = scratch_mark(b);
    struct tensor device_ids = scratch_take(b, DTYPE_I32, SHAPE(batch * length));
    backend_upload(b, device_ids, ids);
    struct tensor x = scratch_take(b, b->compute, SHAPE(batch, length, c->width));
    op_embed(b, tensor_join(x, 0), m->shared, device_ids);
    struct tensor bias = relative_bias(b, m, length); /* [H, L, L] */

    for (int64_t i = 0; i < c->n_layers; i++) {
        backend_range_begin(b, "t5 layer", (int)i);
        layer_forward(b, c, &m->layers[i], x, bias);
        backend_range_end(b);
    }
    op_rms_norm(b, hidden, x, m->final_layer_norm.weight, c->norm_eps);
    scratch_release(b, mark);
}
