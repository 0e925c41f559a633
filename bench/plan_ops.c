/* What FLUX.1 asks of each operation: the model code runs over the counting back end, and every
 * call is noted with its shape. One CSV line per stage, operation and shape:
 *
 *     plan_ops MODEL_DIR SIZE_PX [DEVICES]     (MODEL_DIR: configs suffice)
 *     stage,op,shape,calls,flops,bytes
 *
 * Flops and bytes are those of all calls of the line; activations and weights are bf16. With
 * DEVICES they are those of the first of so many that make the picture together, and the bytes of
 * exchange those that it sends. Stages are
 * text (both encoders, 512 tokens), condition (once an image), step (one denoising step) and
 * decode. tools/performance_gpu.py makes the tables of docs/performance-gpu.md from it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flux/clip.h"
#include "flux/config.h"
#include "flux/t5.h"
#include "flux/transformer.h"
#include "flux/vae.h"
#include "flux/weights.h"
#include "tensor/ops.h"
#include "tensor/plan.h"

enum { MAX_LINES = 512, TEXT_TOKENS = 512, LATENT_PX = 8, TOKEN_PX = 16 };

struct line {
    const char *stage, *op;
    char shape[64];
    int calls;
    double flops, bytes;
};

static struct line lines[MAX_LINES];
static int n_lines;
static const char *stage;
static const struct backend_ops *counting; /* the plan's own table */

static void note(const char *op, const char *shape, double flops, double bytes)
{
    int i = 0;
    while (i < n_lines && (strcmp(lines[i].stage, stage) != 0 || strcmp(lines[i].op, op) != 0 ||
                           strcmp(lines[i].shape, shape) != 0))
        i++;
    if (i == MAX_LINES)
        abort();
    if (i == n_lines) {
        lines[n_lines++] = (struct line){.stage = stage, .op = op};
        snprintf(lines[i].shape, sizeof lines[i].shape, "%s", shape);
    }
    lines[i].calls++;
    lines[i].flops += flops;
    lines[i].bytes += bytes;
}

/* Calls the plan and notes what it counted. */
#define NOTED(op, arguments, ...)                                   \
    do {                                                            \
        struct plan *p = (struct plan *)b;                          \
        double flops = p->flops, bytes = p->bytes_moved;            \
        char shape[64];                                             \
        counting->op arguments;                                     \
        snprintf(shape, sizeof shape, __VA_ARGS__);                 \
        note(#op, shape, p->flops - flops, p->bytes_moved - bytes); \
    } while (0)

static long long last(struct tensor t) { return t.dims[t.rank - 1]; }

static long long rows(struct tensor t) { return tensor_elements(t) / t.dims[t.rank - 1]; }

static void note_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                        struct tensor bias, enum activation act)
{
    NOTED(linear, (b, out, x, w, bias, act), "%lld x %lld x %lld", rows(x), last(out), last(x));
}

static void note_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                        struct tensor bias, int stride, int top, int left, int upsample)
{
    NOTED(conv2d, (b, out, x, w, bias, stride, top, left, upsample),
          "%lld x %lld%s: %lld to %lld by %lld", (long long)out.dims[1], (long long)out.dims[2],
          upsample > 1 ? " upsampled" : "", last(x), last(out), (long long)w.dims[2]);
}

static void note_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                           struct tensor v, struct tensor bias, float scale, bool is_causal)
{
    NOTED(attention, (b, out, q, k, v, bias, scale, is_causal), "%lld tokens; %lld heads of %lld",
          (long long)q.dims[1], (long long)q.dims[2], last(q));
}

static void note_layer_norm(struct backend *b, struct tensor out, struct tensor x,
                            struct tensor weight, struct tensor bias, struct tensor scale,
                            struct tensor shift, float eps)
{
    NOTED(layer_norm, (b, out, x, weight, bias, scale, shift, eps), "%lld x %lld", rows(x),
          last(x));
}

static void note_rms_norm(struct backend *b, struct tensor out, struct tensor x,
                          struct tensor weight, float eps)
{
    NOTED(rms_norm, (b, out, x, weight, eps), "%lld x %lld", rows(x), last(x));
}

static void note_group_norm(struct backend *b, struct tensor out, struct tensor x,
                            struct tensor weight, struct tensor bias, int groups, float eps,
                            enum activation act)
{
    NOTED(group_norm, (b, out, x, weight, bias, groups, eps, act), "%lld x %lld", rows(x), last(x));
}

static void note_rms_norm_rope(struct backend *b, struct tensor x, struct tensor weight, float eps,
                               struct tensor c, struct tensor s)
{
    NOTED(rms_norm_rope, (b, x, weight, eps, c, s), "%lld x %lld", rows(x), last(x));
}

static void note_activate(struct backend *b, struct tensor out, struct tensor x,
                          enum activation act)
{
    NOTED(activate, (b, out, x, act), "%lld x %lld", rows(x), last(x));
}

static void note_add(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    NOTED(add, (b, out, x, y), "%lld x %lld", rows(x), last(x));
}

static void note_mul(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    NOTED(mul, (b, out, x, y), "%lld x %lld", rows(x), last(x));
}

static void note_gated_add(struct backend *b, struct tensor out, struct tensor gate,
                           struct tensor x)
{
    NOTED(gated_add, (b, out, gate, x), "%lld x %lld", rows(x), last(x));
}

static void note_copy(struct backend *b, struct tensor out, struct tensor x)
{
    NOTED(copy, (b, out, x), "%lld x %lld", rows(x), last(x));
}

static void note_embed(struct backend *b, struct tensor out, struct tensor table, struct tensor ids)
{
    NOTED(embed, (b, out, table, ids), "%lld x %lld", rows(out), last(out));
}

static void note_exchange(struct backend *b, struct tensor to, struct tensor from,
                          const int64_t *counts)
{
    struct plan *p = (struct plan *)b;
    double before = p->exchanged;
    char shape[64];
    counting->exchange(b, to, from, counts);
    snprintf(shape, sizeof shape, "%lld x %lld", rows(from), last(from));
    note("exchange", shape, 0, p->exchanged - before);
}

static void run(struct plan *p, const struct flux_config *c, int64_t size_px)
{
    struct backend *b = &p->backend;
    struct weights w;
    struct clip clip = {0};
    struct t5 t5 = {0};
    struct transformer transformer = {0};
    struct vae vae = {0};
    int64_t side = size_px / TOKEN_PX, map = size_px / LATENT_PX;
    weights_open_shapes(&w, b, DTYPE_BF16);
    clip_bind(&clip, &c->clip, &w);
    t5_bind(&t5, &c->t5, &w);
    transformer_bind(&transformer, &c->transformer, &w);
    vae_bind(&vae, &c->vae, &w, false);

    struct tensor text = scratch_take(b, b->compute, SHAPE(1, TEXT_TOKENS, c->t5.width));
    struct tensor pooled = scratch_take(b, b->compute, SHAPE(1, c->clip.width));
    struct tensor latents = scratch_take(
        b, b->compute, SHAPE(1, span_own(b, side * side).count, c->transformer.in_channels));
    struct tensor image = scratch_take(b, b->compute, SHAPE(1, size_px, size_px, 3));
    struct tensor latent = scratch_take(b, b->compute, SHAPE(1, map, map, c->vae.latent_channels));
    stage = "text";
    clip_forward(b, &clip, pooled, NULL, 1, c->clip.max_positions);
    t5_forward(b, &t5, text, NULL);
    stage = "condition";
    struct condition condition =
        transformer_condition(b, &transformer, text, pooled, 3.5f, side, side, NULL);
    stage = "step";
    transformer_forward(b, &transformer, latents, latents, 0.5f, &condition, NULL);
    stage = "decode";
    vae_decode(b, &vae, image, latent);

    clip_free(&clip);
    t5_free(&t5);
    transformer_free(&transformer);
    vae_free(&vae);
    weights_close(&w);
}

int main(int argc, char **argv)
{
    struct flux_config config = {0};
    struct error err = {0};
    struct plan p;
    long size_px = argc >= 3 ? strtol(argv[2], NULL, 10) : 0;
    long devices = argc >= 4 ? strtol(argv[3], NULL, 10) : 1;
    if (argc > 4 || size_px <= 0 || size_px % TOKEN_PX != 0 || devices < 1 || devices > SHARE_MAX) {
        fprintf(stderr, "usage: plan_ops MODEL_DIR SIZE_PX [DEVICES] (a multiple of %d; 1 to %d)\n",
                TOKEN_PX, SHARE_MAX);
        return 2;
    }
    if (!flux_config_read(&config, argv[1], &err)) {
        fprintf(stderr, "plan_ops: %s\n", err.text);
        return 1;
    }
    plan_init(&p, DTYPE_BF16);
    p.backend.share = (struct share){.n = (int)devices};
    counting = p.backend.ops;
    struct backend_ops noted = *counting;
    noted.linear = note_linear;
    noted.conv2d = note_conv2d;
    noted.attention = note_attention;
    noted.layer_norm = note_layer_norm;
    noted.rms_norm = note_rms_norm;
    noted.group_norm = note_group_norm;
    noted.rms_norm_rope = note_rms_norm_rope;
    noted.activate = note_activate;
    noted.add = note_add;
    noted.mul = note_mul;
    noted.gated_add = note_gated_add;
    noted.copy = note_copy;
    noted.embed = note_embed;
    noted.exchange = note_exchange;
    p.backend.ops = &noted;
    run(&p, &config, size_px);
    printf("stage,op,shape,calls,flops,bytes\n");
    for (int i = 0; i < n_lines; i++)
        printf("%s,%s,%s,%d,%.0f,%.0f\n", lines[i].stage, lines[i].op, lines[i].shape,
               lines[i].calls, lines[i].flops, lines[i].bytes);
    return 0;
}
