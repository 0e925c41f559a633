/* Counting instead of computing. Every operation reads its inputs and writes its output once; the
 * arithmetic that matters (matrix products, convolutions, attention) is counted in
 * multiply-adds, two operations each, as the field does. */
#include "tensor/plan.h"

#include <stdint.h>

#include "tensor/ops.h"

/* Made-up addresses begin here, so that a tensor never looks absent. */
#define PLAN_BASE ((char *)(uintptr_t)0x10000)
/* Of streamed weights: above all scratch. */
#define PLAN_STREAMED ((char *)(UINTPTR_MAX - (UINTPTR_MAX >> 2)))

static struct plan *plan_of(struct backend *b) { return (struct plan *)b; }

static void count(struct backend *b, double flops, const struct tensor *operands, int n)
{
    struct plan *p = plan_of(b);
    p->flops += flops;
    p->n_ops++;
    for (int i = 0; i < n; i++) {
        p->bytes_moved += (double)tensor_bytes(operands[i]);
    }
}

#define COUNT(flops, ...)                           \
    count(b, flops, (struct tensor[]){__VA_ARGS__}, \
          (int)(sizeof((struct tensor[]){__VA_ARGS__}) / sizeof(struct tensor)))

/* --- memory -----------------------------------------------------------------------------------*/

static void plan_close(struct backend *b) { (void)b; }

static void *plan_alloc(struct backend *b, size_t bytes, struct error *err)
{
    (void)b, (void)bytes, (void)err;
    return PLAN_BASE;
}

static void plan_free(struct backend *b, void *memory) { (void)b, (void)memory; }

/* f32 matrices are rounded to bf16 when that is what is computed in; tables stay as they are. */
static size_t device_bytes(const struct plan *p, struct tensor t, bool is_table)
{
    bool is_narrowed = t.dtype == DTYPE_F32 && p->backend.compute == DTYPE_BF16 && !is_table;
    return is_narrowed ? tensor_bytes(t) / 2 : tensor_bytes(t);
}

static void stream(struct plan *p, struct tensor host, bool is_table)
{
    const struct weight_home *home = &p->backend.home;
    bool is_same = home->chain == p->last.chain && home->layer == p->last.layer;
    p->last_bytes = (is_same ? p->last_bytes : 0) + device_bytes(p, host, is_table);
    p->last = *home;
    p->streamed_bytes += device_bytes(p, host, is_table);
    p->layer_bytes = p->last_bytes > p->layer_bytes ? p->last_bytes : p->layer_bytes;
}

/* An operation reads w: it is copied first when it is streamed. */
static void fetch(struct backend *b, struct tensor w, bool is_table)
{
    if ((char *)w.data >= PLAN_STREAMED) {
        plan_of(b)->streamed_moved += (double)device_bytes(plan_of(b), w, is_table);
    }
}

static bool plan_adopt(struct backend *b, struct tensor host, enum weight_use use,
                       struct tensor *out, struct error *err)
{
    (void)err;
    struct plan *p = plan_of(b);
    p->n_weights += tensor_elements(host);
    p->weight_bytes += tensor_bytes(host);
    bool is_streamed = b->home.chain != 0 && (use == WEIGHT_MATRIX || use == WEIGHT_TABLE);
    if (is_streamed) {
        stream(p, host, use == WEIGHT_TABLE);
    }
    *out = host;
    out->data = is_streamed ? PLAN_STREAMED : PLAN_BASE;
    out->is_packed = use == WEIGHT_MATRIX || use == WEIGHT_CONV;
    out->dtype = use == WEIGHT_VECTOR ? DTYPE_F32 : host.dtype;
    return true;
}

static void plan_upload(struct backend *b, struct tensor to, const void *host)
{
    (void)host;
    COUNT(0, to);
}

static void plan_download(struct backend *b, void *host, struct tensor from)
{
    (void)host;
    COUNT(0, from);
}

static void plan_sync(struct backend *b) { (void)b; }

/* --- operations -------------------------------------------------------------------------------*/

static double elements(struct tensor t) { return (double)tensor_elements(t); }

static void plan_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                        struct tensor bias, enum activation act)
{
    (void)bias, (void)act;
    fetch(b, w, false);
    COUNT(2 * elements(out) * (double)w.dims[1], out, x, w);
}

static void plan_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                        struct tensor bias, int stride, int pad_top, int pad_left, int upsample)
{
    (void)bias, (void)stride, (void)pad_top, (void)pad_left, (void)upsample;
    COUNT(2 * elements(out) * (double)(w.dims[1] * w.dims[2] * w.dims[3]), out, x, w);
}

static void plan_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                           struct tensor v, struct tensor bias, float scale, bool is_causal)
{
    (void)bias, (void)scale, (void)is_causal;
    COUNT(4 * elements(q) * (double)k.dims[1], out, q, k, v); /* q k^T, then times v */
}

static void plan_unary(struct backend *b, struct tensor out, struct tensor x) { COUNT(0, out, x); }

/* Of a streamed table a window is counted, though all of it is copied: it is a small one. */
static void plan_copy(struct backend *b, struct tensor out, struct tensor x)
{
    fetch(b, x, true);
    COUNT(0, out, x);
}

static void plan_binary(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    COUNT(0, out, x, y);
}

static void plan_layer_norm(struct backend *b, struct tensor out, struct tensor x,
                            struct tensor weight, struct tensor bias, struct tensor scale,
                            struct tensor shift, float eps)
{
    (void)weight, (void)bias, (void)scale, (void)shift, (void)eps;
    COUNT(0, out, x);
}

static void plan_rms_norm(struct backend *b, struct tensor out, struct tensor x,
                          struct tensor weight, float eps)
{
    (void)weight, (void)eps;
    COUNT(0, out, x);
}

static void plan_rms_norm_rope(struct backend *b, struct tensor x, struct tensor weight, float eps,
                               struct tensor cos, struct tensor sin)
{
    (void)weight, (void)eps;
    COUNT(0, x, x, cos, sin);
}

static void plan_group_norm(struct backend *b, struct tensor out, struct tensor x,
                            struct tensor weight, struct tensor bias, int groups, float eps,
                            enum activation act)
{
    (void)weight, (void)bias, (void)groups, (void)eps, (void)act;
    COUNT(0, out, x);
}

static void plan_activate(struct backend *b, struct tensor out, struct tensor x,
                          enum activation act)
{
    (void)act;
    COUNT(0, out, x);
}

static void plan_gated_add(struct backend *b, struct tensor out, struct tensor gate,
                           struct tensor x)
{
    (void)gate;
    COUNT(0, out, out, x);
}

static void plan_axpy(struct backend *b, struct tensor out, float alpha, struct tensor x)
{
    (void)alpha;
    COUNT(0, out, out, x);
}

static void plan_affine(struct backend *b, struct tensor out, struct tensor x, float scale,
                        float shift)
{
    (void)scale, (void)shift;
    COUNT(0, out, x);
}

static void plan_embed(struct backend *b, struct tensor out, struct tensor table, struct tensor ids)
{
    fetch(b, table, true);
    COUNT(0, out, out, ids); /* reads as many rows as it writes */
}

/* What is sent; as much is received. */
static void plan_exchange(struct backend *b, struct tensor to, struct tensor from,
                          const int64_t *counts)
{
    int64_t rows = to.rank == 3 ? (int64_t)(b->share.n - 1) * counts[b->share.rank]
                                : from.dims[1] - counts[b->share.rank];
    int64_t batch = to.rank == 3 ? to.dims[0] : from.dims[0], width = from.dims[from.rank - 1];
    COUNT(0, to, from);
    plan_of(b)->exchanged += (double)(batch * rows * width) * (double)dtype_bytes(from.dtype);
}

static const struct backend_ops PLAN_OPS = {
    .close = plan_close,
    .alloc = plan_alloc,
    .free = plan_free,
    .adopt = plan_adopt,
    .upload = plan_upload,
    .download = plan_download,
    .sync = plan_sync,
    .linear = plan_linear,
    .conv2d = plan_conv2d,
    .attention = plan_attention,
    .layer_norm = plan_layer_norm,
    .rms_norm = plan_rms_norm,
    .rms_norm_rope = plan_rms_norm_rope,
    .group_norm = plan_group_norm,
    .activate = plan_activate,
    .add = plan_binary,
    .mul = plan_binary,
    .gated_add = plan_gated_add,
    .axpy = plan_axpy,
    .affine = plan_affine,
    .embed = plan_embed,
    .copy = plan_copy,
    .exchange = plan_exchange,
    .to_rgb8 = plan_unary,
};

void plan_init(struct plan *p, enum dtype compute)
{
    *p = (struct plan){
        .backend = {.ops = &PLAN_OPS,
                    .name = "plan",
                    .device = "no device: counts only",
                    .compute = compute,
                    .takes_quantised = true,
                    .multiplies_int8 = true,
                    .multiplies_fp8 = true,
                    .scratch = {.base = PLAN_BASE, .capacity = SIZE_MAX / 2}},
    };
}

void plan_reset(struct plan *p)
{
    p->flops = p->bytes_moved = p->streamed_moved = p->exchanged = 0;
    p->n_ops = 0;
    p->backend.scratch.used = p->backend.scratch.peak = 0;
}
