/* Operands from a trial's numbers, and the call itself. */
#include "cuda/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dtype.h"
#include "tensor/quant.h"

/* --- operands ---------------------------------------------------------------------------------*/

enum { PERIOD = 65521 /* numbers that are drawn; more repeat them, never in step with rows */ };

/* About normal: the sum of four uniform numbers, of variance one. */
static float draw(struct operands *o)
{
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) {
        o->random = o->random * 6364136223846793005ull + 1442695040888963407ull;
        sum += (float)(o->random >> 40) * 0x1p-24f - 0.5f;
    }
    return sum * 1.73205081f;
}

static bool has_failed(const struct operands *o) { return o->err.code != ERR_NONE; }

static void *host_new(struct operands *o, enum dtype dtype, struct shape shape, float scale)
{
    struct tensor t = tensor_make(NULL, dtype, shape);
    int64_t n = tensor_elements(t);
    void *host = malloc(tensor_bytes(t) + 1);
    if (!host || o->n == TRIAL_OPERANDS) {
        free(host);
        fail(&o->err, ERR_MEMORY, "no memory for %lld values", (long long)n);
        return NULL;
    }
    int64_t drawn = n < PERIOD ? n : PERIOD;
    for (int64_t i = 0; i < drawn; i++) {
        float x = draw(o) * scale;
        if (dtype == DTYPE_I32)
            ((int32_t *)host)[i] = (int32_t)(o->random >> 33) % (int32_t)scale;
        else if (dtype == DTYPE_U8)
            ((uint8_t *)host)[i] = 0;
        else
            dtype_store(host, dtype, i, x);
    }
    size_t bytes = dtype_bytes(dtype);
    for (int64_t i = drawn; i < n; i += drawn)
        memcpy((char *)host + (size_t)i * bytes, host,
               (size_t)(n - i < drawn ? n - i : drawn) * bytes);
    o->hosts[o->n] = host;
    return host;
}

/* Random numbers of a type: normal times scale; integers below scale. */
static struct tensor make(struct operands *o, enum dtype dtype, struct shape shape, float scale)
{
    struct tensor t = tensor_make(NULL, dtype, shape);
    void *host = has_failed(o) ? NULL : host_new(o, dtype, shape, scale);
    if (!host)
        return tensor_none();
    t.data = backend_alloc(o->b, tensor_bytes(t), &o->err);
    o->memory[o->n++] = t.data;
    if (!t.data)
        return tensor_none();
    backend_upload(o->b, t, host);
    o->bytes += (double)tensor_bytes(t);
    return t;
}

static struct tensor weight(struct operands *o, enum weight_use use, struct shape shape)
{
    enum dtype dtype = use == WEIGHT_VECTOR ? DTYPE_F32 : DTYPE_BF16;
    int64_t fan = 1;
    for (int i = 1; i < shape.rank; i++)
        fan *= shape.dims[i];
    void *host = has_failed(o) ? NULL : host_new(o, dtype, shape, 1.0f / sqrtf((float)fan));
    struct tensor t = tensor_none();
    if (!host)
        return t;
    o->n++;
    struct tensor in = tensor_make(host, dtype, shape);
    (void)backend_adopt(o->b, in, use, &t, &o->err);
    o->bytes += (double)tensor_bytes(in);
    return t;
}

/* The types of matrices, by a trial's number; those with rounded inputs come last. */
static const struct {
    const char *name;
    enum dtype dtype;
    bool rounds_inputs;
} MATRICES[] = {
    [MATRIX_BF16] = {"linear", DTYPE_BF16, false},
    [MATRIX_INT8] = {"linear int8", DTYPE_INT8, false},
    [MATRIX_FP8] = {"linear fp8", DTYPE_FP8, false},
    [MATRIX_Q4] = {"linear q4", DTYPE_Q4, false},
    [MATRIX_INT8_INPUTS] = {"int8 x int8", DTYPE_INT8, true},
    [MATRIX_FP8_INPUTS] = {"fp8 x fp8", DTYPE_FP8, true},
};

bool trial_is_possible(const struct trial *trial, const struct backend *b)
{
    bool is_rounded = trial->op == TRIAL_LINEAR && MATRICES[trial->p[5]].rounds_inputs;
    return !is_rounded ||
           (trial->p[5] == MATRIX_FP8_INPUTS ? b->multiplies_fp8 : b->multiplies_int8);
}

/* A quantised matrix of random numbers. */
static struct tensor matrix(struct operands *o, int64_t n, int64_t k, int64_t type)
{
    struct tensor t = tensor_none();
    if (MATRICES[type].dtype == DTYPE_BF16)
        return weight(o, WEIGHT_MATRIX, SHAPE(n, k));
    struct tensor to = tensor_make(NULL, MATRICES[type].dtype, SHAPE(n, k));
    float *from =
        has_failed(o) ? NULL : host_new(o, DTYPE_F32, SHAPE(n, k), 1.0f / sqrtf((float)k));
    if (!from)
        return t;
    o->n++;
    to.data = host_new(o, DTYPE_U8, SHAPE((int64_t)tensor_bytes(to) + 3), 0.0f);
    if (!to.data)
        return t;
    o->n++;
    size_t scales_at = (quant_codes_size(to) + 3) / 4 * 4;
    to.scales = (char *)to.data + scales_at;
    for (int64_t r = 0; r < n; r++)
        (void)quant_row(to, tensor_make(from, DTYPE_F32, SHAPE(n, k)), r, NULL, NULL);
    o->b->rounds_inputs = MATRICES[type].rounds_inputs;
    (void)backend_adopt(o->b, to, WEIGHT_MATRIX, &t, &o->err);
    o->b->rounds_inputs = false;
    o->bytes += (double)tensor_bytes(to);
    return t;
}

static struct tensor activations(struct operands *o, struct shape shape)
{
    return make(o, o->b->compute, shape, 1.0f);
}

/* --- operations -------------------------------------------------------------------------------*/

struct call trial_prepare(const struct trial *trial, struct operands *o)
{
    const int64_t *p = trial->p;
    struct call c = {.trial = trial};
    struct tensor *t = c.t;
    switch (trial->op) {
    case TRIAL_LINEAR: /* rows, N, K, activation, has bias, type of the matrix */
        t[1] = activations(o, SHAPE(p[0], p[2]));
        t[2] = matrix(o, p[1], p[2], p[5]);
        t[3] = p[4] ? weight(o, WEIGHT_VECTOR, SHAPE(p[1])) : tensor_none();
        t[0] = activations(o, SHAPE(p[0], p[1]));
        o->flops = 2.0 * (double)p[0] * (double)p[1] * (double)p[2];
        break;
    case TRIAL_CONV2D: /* Y, X, inputs, outputs, kernel, stride, upsample; padded by kernel / 2 */
        t[1] = activations(o, SHAPE(1, p[0], p[1], p[2]));
        t[2] = weight(o, WEIGHT_CONV, SHAPE(p[3], p[2], p[4], p[4]));
        t[3] = weight(o, WEIGHT_VECTOR, SHAPE(p[3]));
        t[0] = activations(o, SHAPE(1, (p[0] * p[6] + p[4] / 2 * 2 - p[4]) / p[5] + 1,
                                    (p[1] * p[6] + p[4] / 2 * 2 - p[4]) / p[5] + 1, p[3]));
        o->flops = has_failed(o)
                       ? 0.0
                       : 2.0 * (double)tensor_elements(t[0]) * (double)(p[2] * p[4] * p[4]);
        break;
    case TRIAL_ATTENTION: /* Lq, Lk, heads, width, is causal, has bias */
        t[1] = activations(o, SHAPE(1, p[0], p[2], p[3]));
        t[2] = activations(o, SHAPE(1, p[1], p[2], p[3]));
        t[3] = activations(o, SHAPE(1, p[1], p[2], p[3]));
        t[4] = p[5] ? make(o, DTYPE_F32, SHAPE(p[2], p[0], p[1]), 1.0f) : tensor_none();
        t[0] = activations(o, SHAPE(1, p[0], p[2], p[3]));
        o->flops = 4.0 * (double)(p[0] * p[2] * p[3]) * (double)p[1];
        break;
    case TRIAL_LAYER_NORM: /* L, D */
        t[1] = activations(o, SHAPE(1, p[0], p[1]));
        t[2] = activations(o, SHAPE(1, p[1]));
        t[3] = activations(o, SHAPE(1, p[1]));
        t[0] = activations(o, SHAPE(1, p[0], p[1]));
        break;
    case TRIAL_RMS_NORM: /* rows, D */
        t[1] = activations(o, SHAPE(p[0], p[1]));
        t[2] = weight(o, WEIGHT_VECTOR, SHAPE(p[1]));
        t[0] = activations(o, SHAPE(p[0], p[1]));
        break;
    case TRIAL_GROUP_NORM: /* Y, X, C, groups */
        t[1] = activations(o, SHAPE(1, p[0], p[1], p[2]));
        t[2] = weight(o, WEIGHT_VECTOR, SHAPE(p[2]));
        t[3] = weight(o, WEIGHT_VECTOR, SHAPE(p[2]));
        t[0] = activations(o, SHAPE(1, p[0], p[1], p[2]));
        break;
    case TRIAL_RMS_NORM_ROPE: /* L, heads, width */
        t[1] = make(o, DTYPE_F32, SHAPE(p[0], p[2] / 2), 1.0f);
        t[2] = make(o, DTYPE_F32, SHAPE(p[0], p[2] / 2), 1.0f);
        t[3] = weight(o, WEIGHT_VECTOR, SHAPE(p[2]));
        t[0] = activations(o, SHAPE(1, p[0], p[1], p[2]));
        break;
    case TRIAL_GATED_ADD: /* L, D */
        t[1] = activations(o, SHAPE(1, p[1]));
        t[2] = activations(o, SHAPE(1, p[0], p[1]));
        t[0] = activations(o, SHAPE(1, p[0], p[1]));
        break;
    case TRIAL_ADD: /* rows, D */
    case TRIAL_MUL:
        t[1] = activations(o, SHAPE(p[0], p[1]));
        t[2] = activations(o, SHAPE(p[0], p[1]));
        t[0] = activations(o, SHAPE(p[0], p[1]));
        break;
    case TRIAL_ACTIVATE: /* rows, D, activation */
    case TRIAL_AXPY:
    case TRIAL_AFFINE:
    case TRIAL_COPY:
        t[1] = activations(o, SHAPE(p[0], p[1]));
        t[0] = activations(o, trial->op == TRIAL_COPY ? SHAPE(p[1], p[0]) : SHAPE(p[0], p[1]));
        break;
    case TRIAL_EMBED: /* rows of the table, D, ids */
        t[1] = weight(o, WEIGHT_TABLE, SHAPE(p[0], p[1]));
        t[2] = make(o, DTYPE_I32, SHAPE(p[2]), (float)p[0]);
        t[0] = activations(o, SHAPE(p[2], p[1]));
        break;
    case TRIAL_TO_RGB8: /* Y, X */
        t[1] = activations(o, SHAPE(p[0], p[1], 3));
        t[0] = make(o, DTYPE_U8, SHAPE(p[0], p[1], 3), 0.0f);
        break;
    }
    o->out = t[0];
    return c;
}

const char *trial_run(struct backend *b, const struct call *c)
{
    const struct tensor *t = c->t;
    const int64_t *p = c->trial->p;
    const float eps = 1e-6f;
    switch (c->trial->op) {
    case TRIAL_LINEAR:
        op_linear(b, t[0], t[1], t[2], t[3], (enum activation)p[3]);
        return MATRICES[p[5]].name;
    case TRIAL_CONV2D:
        op_conv2d(b, t[0], t[1], t[2], t[3], (int)p[5], (int)p[4] / 2, (int)p[4] / 2, (int)p[6]);
        return "conv2d";
    case TRIAL_ATTENTION:
        op_attention(b, t[0], t[1], t[2], t[3], t[4], 1.0f / sqrtf((float)p[3]), p[4] != 0);
        return "attention";
    case TRIAL_LAYER_NORM:
        op_layer_norm(b, t[0], t[1], tensor_none(), tensor_none(), t[2], t[3], eps);
        return "layer_norm";
    case TRIAL_RMS_NORM:
        op_rms_norm(b, t[0], t[1], t[2], eps);
        return "rms_norm";
    case TRIAL_GROUP_NORM:
        op_group_norm(b, t[0], t[1], t[2], t[3], (int)p[3], eps, ACT_SILU);
        return "group_norm";
    case TRIAL_RMS_NORM_ROPE:
        op_rms_norm_rope(b, t[0], t[3], eps, t[1], t[2]);
        return "rms_norm_rope";
    case TRIAL_GATED_ADD:
        op_gated_add(b, t[0], t[1], t[2]);
        return "gated_add";
    case TRIAL_ADD:
        op_add(b, t[0], t[1], t[2]);
        return "add";
    case TRIAL_MUL:
        op_mul(b, t[0], t[1], t[2]);
        return "mul";
    case TRIAL_ACTIVATE:
        op_activate(b, t[0], t[1], (enum activation)p[2]);
        return "activate";
    case TRIAL_AXPY:
        op_axpy(b, t[0], -0.375f, t[1]);
        return "axpy";
    case TRIAL_AFFINE:
        op_affine(b, t[0], t[1], 0.75f, 0.125f);
        return "affine";
    case TRIAL_COPY: /* transposing */
        op_copy(b, t[0], tensor_swap(t[1], 0, 1));
        return "copy";
    case TRIAL_EMBED:
        op_embed(b, t[0], t[1], t[2]);
        return "embed";
    case TRIAL_TO_RGB8:
        op_to_rgb8(b, t[0], t[1]);
        return "to_rgb8";
    }
    return "";
}

void operands_release(struct operands *o)
{
    for (int i = 0; i < o->n; i++) {
        backend_free(o->b, o->memory[i]);
        o->memory[i] = NULL;
    }
}

void operands_free(struct operands *o)
{
    for (int i = 0; i < TRIAL_OPERANDS; i++)
        free(o->hosts[i]);
    *o = (struct operands){0};
}
