/* Shapes are asserted here, once for all back ends; then the table does the work. */
#include "tensor/ops.h"

#include <assert.h>

static bool is_activation(struct tensor t)
{
    return (t.dtype == DTYPE_F32 || t.dtype == DTYPE_BF16) && !t.is_packed && t.data != NULL;
}

/* Two windows of one type whose last axes are contiguous. */
static bool is_pair(struct tensor out, struct tensor x)
{
    return is_activation(out) && is_activation(x) && out.dtype == x.dtype &&
           (out.strides[out.rank - 1] == 1 || out.dims[out.rank - 1] == 1) &&
           (x.strides[x.rank - 1] == 1 || x.dims[x.rank - 1] == 1);
}

static bool is_vector(struct tensor t, int64_t n)
{
    return t.dtype == DTYPE_F32 && t.rank == 1 && t.dims[0] == n;
}

static bool is_vector_or_none(struct tensor t, int64_t n)
{
    return tensor_is_none(t) || is_vector(t, n);
}

static int64_t last(struct tensor t) { return t.dims[t.rank - 1]; }

void op_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
               struct tensor bias, enum activation act)
{
    assert(is_pair(out, x) && out.rank == x.rank);
    assert(w.is_packed && w.rank == 2 && last(x) == w.dims[1] && last(out) == w.dims[0]);
    assert(is_vector_or_none(bias, w.dims[0]));
    for (int i = 0; i + 1 < x.rank; i++) {
        assert(x.dims[i] == out.dims[i]);
    }
    b->ops->linear(b, out, x, w, bias, act);
}

void op_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
               struct tensor bias, int stride, int pad_top, int pad_left, int upsample)
{
    assert(is_pair(out, x) && out.rank == 4 && x.rank == 4);
    assert(tensor_is_dense(out) && tensor_is_dense(x) && out.dims[0] == x.dims[0]);
    assert(w.is_packed && w.rank == 4 && x.dims[3] == w.dims[1] && out.dims[3] == w.dims[0]);
    assert(is_vector_or_none(bias, w.dims[0]) && stride > 0 && pad_top >= 0 && pad_left >= 0);
    assert(upsample == 1 || upsample == 2);
    b->ops->conv2d(b, out, x, w, bias, stride, pad_top, pad_left, upsample);
}

void op_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                  struct tensor v, struct tensor bias, float scale, bool is_causal)
{
    assert(is_pair(out, q) && is_pair(q, k) && is_pair(k, v));
    assert(q.rank == 4 && k.rank == 4 && tensor_same_shape(out, q) && tensor_same_shape(k, v));
    assert(q.dims[0] == k.dims[0] && q.dims[2] == k.dims[2] && q.dims[3] == k.dims[3]);
    assert(!is_causal || q.dims[1] == k.dims[1]);
    if (!tensor_is_none(bias)) {
        assert(bias.dtype == DTYPE_F32 && bias.rank == 3 && bias.dims[0] == q.dims[2]);
        assert(bias.dims[1] == q.dims[1] && bias.dims[2] == k.dims[1]);
    }
    b->ops->attention(b, out, q, k, v, bias, scale, is_causal);
}

void op_layer_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                   struct tensor bias, struct tensor scale, struct tensor shift, float eps)
{
    assert(is_pair(out, x) && x.rank == 3 && tensor_same_shape(out, x));
    assert(is_vector_or_none(weight, x.dims[2]) && is_vector_or_none(bias, x.dims[2]));
    assert(tensor_is_none(scale) == tensor_is_none(shift));
    if (!tensor_is_none(scale)) {
        assert(is_pair(scale, shift) && is_pair(scale, x) && tensor_same_shape(scale, shift));
        assert(scale.rank == 2 && scale.dims[0] == x.dims[0] && scale.dims[1] == x.dims[2]);
    }
    b->ops->layer_norm(b, out, x, weight, bias, scale, shift, eps);
}

void op_rms_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                 float eps)
{
    assert(is_pair(out, x) && tensor_same_shape(out, x) && is_vector(weight, last(x)));
    b->ops->rms_norm(b, out, x, weight, eps);
}

void op_rms_norm_rope(struct backend *b, struct tensor x, struct tensor weight, float eps,
                      struct tensor cos, struct tensor sin)
{
    assert(is_activation(x) && x.rank == 4 && x.strides[3] == 1 && x.dims[3] % 2 == 0);
    assert(cos.dtype == DTYPE_F32 && cos.rank == 2 && tensor_is_dense(cos));
    assert(sin.dtype == DTYPE_F32 && tensor_is_dense(sin) && tensor_same_shape(cos, sin));
    assert(cos.dims[0] == x.dims[1] && cos.dims[1] == x.dims[3] / 2);
    assert(is_vector(weight, last(x)));
    b->ops->rms_norm_rope(b, x, weight, eps, cos, sin);
}

void op_group_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                   struct tensor bias, int groups, float eps, enum activation act)
{
    assert(is_pair(out, x) && x.rank == 4 && tensor_same_shape(out, x));
    assert(tensor_is_dense(out) && tensor_is_dense(x) && groups > 0 && x.dims[3] % groups == 0);
    assert(is_vector(weight, x.dims[3]) && is_vector(bias, x.dims[3]));
    assert(act == ACT_NONE || act == ACT_SILU);
    b->ops->group_norm(b, out, x, weight, bias, groups, eps, act);
}

void op_activate(struct backend *b, struct tensor out, struct tensor x, enum activation act)
{
    assert(is_pair(out, x) && tensor_same_shape(out, x));
    b->ops->activate(b, out, x, act);
}

void op_add(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    assert(is_pair(out, x) && is_pair(out, y));
    assert(tensor_same_shape(out, x) && tensor_same_shape(out, y));
    b->ops->add(b, out, x, y);
}

void op_mul(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    assert(is_pair(out, x) && is_pair(out, y));
    assert(tensor_same_shape(out, x) && tensor_same_shape(out, y));
    b->ops->mul(b, out, x, y);
}

void op_gated_add(struct backend *b, struct tensor out, struct tensor gate, struct tensor x)
{
    assert(is_pair(out, x) && is_pair(out, gate) && x.rank == 3 && tensor_same_shape(out, x));
    assert(gate.rank == 2 && gate.dims[0] == x.dims[0] && gate.dims[1] == x.dims[2]);
    b->ops->gated_add(b, out, gate, x);
}

void op_axpy(struct backend *b, struct tensor out, float alpha, struct tensor x)
{
    assert(is_pair(out, x) && tensor_same_shape(out, x));
    b->ops->axpy(b, out, alpha, x);
}

void op_affine(struct backend *b, struct tensor out, struct tensor x, float scale, float shift)
{
    assert(is_pair(out, x) && tensor_same_shape(out, x));
    b->ops->affine(b, out, x, scale, shift);
}

void op_embed(struct backend *b, struct tensor out, struct tensor table, struct tensor ids)
{
    assert(is_activation(out) && out.rank == 2 && out.strides[1] == 1);
    assert(table.rank == 2 && tensor_is_dense(table) && table.dims[1] == out.dims[1]);
    assert(ids.dtype == DTYPE_I32 && ids.rank == 1 && ids.strides[0] == 1);
    assert(ids.dims[0] == out.dims[0]);
    b->ops->embed(b, out, table, ids);
}

void op_copy(struct backend *b, struct tensor out, struct tensor x)
{
    assert(tensor_same_shape(out, x) && !out.is_packed && !x.is_packed);
    b->ops->copy(b, out, x);
}

void op_exchange(struct backend *b, struct tensor to, struct tensor from, const int64_t *counts)
{
    struct tensor joined = to.rank == 3 ? to : from, split = to.rank == 3 ? from : to;
    int64_t all = 0;
    for (int i = 0; i < b->share.n; i++) {
        all += counts[i];
    }
    assert(b->share.n > 1 && is_pair(to, from) && joined.rank == 3 && split.rank == 4);
    assert(tensor_is_dense(joined) && joined.dims[1] == all && split.dims[0] == b->share.n);
    assert(split.dims[1] == joined.dims[0] && split.dims[2] == counts[b->share.rank]);
    assert(split.dims[3] == joined.dims[2] && split.strides[2] == split.dims[3]);
    b->ops->exchange(b, to, from, counts);
}

void op_to_rgb8(struct backend *b, struct tensor out, struct tensor x)
{
    assert(is_activation(x) && x.rank == 3 && x.dims[2] == 3 && tensor_is_dense(x));
    assert(out.dtype == DTYPE_U8 && tensor_same_shape(out, x) && tensor_is_dense(out));
    b->ops->to_rgb8(b, out, x);
}
