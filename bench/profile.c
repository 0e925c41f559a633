/* One wrapper per operation; the original table and the rows are the file's only state. */
#include "bench/profile.h"

#include <string.h>

#include "base/clock.h"
#include "tensor/plan.h"

static const struct backend_ops *original;
static struct backend_ops wrapped;
static struct profile_row counted[PROFILE_OPS];

struct stamp {
    int64_t ns;
    double flops;
};

static struct stamp stamp_now(struct backend *b)
{
    return (struct stamp){clock_now_ns(), backend_is_plan(b) ? ((struct plan *)b)->flops : 0.0};
}

static void count(struct backend *b, int op, const char *name, struct stamp before)
{
    struct stamp after = stamp_now(b);
    counted[op].name = name;
    counted[op].calls++;
    counted[op].seconds += clock_seconds(after.ns - before.ns);
    counted[op].flops += after.flops - before.flops;
}

/* X(index, operation, parameters, arguments) */
#define OPERATIONS(X)                                                                              \
    X(0, linear,                                                                                   \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor w,                    \
       struct tensor bias, enum activation act),                                                   \
      (b, out, x, w, bias, act))                                                                   \
    X(1, conv2d,                                                                                   \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor w,                    \
       struct tensor bias, int stride, int top, int left, int upsample),                           \
      (b, out, x, w, bias, stride, top, left, upsample))                                           \
    X(2, attention,                                                                                \
      (struct backend * b, struct tensor out, struct tensor q, struct tensor k, struct tensor v,   \
       struct tensor bias, float scale, bool is_causal),                                           \
      (b, out, q, k, v, bias, scale, is_causal))                                                   \
    X(3, rms_norm_rope,                                                                            \
      (struct backend * b, struct tensor x, struct tensor weight, float eps, struct tensor c,      \
       struct tensor s),                                                                           \
      (b, x, weight, eps, c, s))                                                                   \
    X(4, layer_norm,                                                                               \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor weight,               \
       struct tensor bias, struct tensor scale, struct tensor shift, float eps),                   \
      (b, out, x, weight, bias, scale, shift, eps))                                                \
    X(5, rms_norm,                                                                                 \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor weight, float eps),   \
      (b, out, x, weight, eps))                                                                    \
    X(6, group_norm,                                                                               \
      (struct backend * b, struct tensor out, struct tensor x, struct tensor weight,               \
       struct tensor bias, int groups, float eps, enum activation act),                            \
      (b, out, x, weight, bias, groups, eps, act))                                                 \
    X(7, activate, (struct backend * b, struct tensor out, struct tensor x, enum activation act),  \
      (b, out, x, act))                                                                            \
    X(8, add, (struct backend * b, struct tensor out, struct tensor x, struct tensor y),           \
      (b, out, x, y))                                                                              \
    X(9, mul, (struct backend * b, struct tensor out, struct tensor x, struct tensor y),           \
      (b, out, x, y))                                                                              \
    X(10, gated_add, (struct backend * b, struct tensor out, struct tensor gate, struct tensor x), \
      (b, out, gate, x))                                                                           \
    X(11, axpy, (struct backend * b, struct tensor out, float alpha, struct tensor x),             \
      (b, out, alpha, x))                                                                          \
    X(12, affine,                                                                                  \
      (struct backend * b, struct tensor out, struct tensor x, float scale, float shift),          \
      (b, out, x, scale, shift))                                                                   \
    X(13, embed, (struct backend * b, struct tensor out, struct tensor table, struct tensor ids),  \
      (b, out, table, ids))                                                                        \
    X(14, copy, (struct backend * b, struct tensor out, struct tensor x), (b, out, x))             \
    X(15, to_rgb8, (struct backend * b, struct tensor out, struct tensor x), (b, out, x))

#define WRAP(index, op, parameters, arguments) \
    static void profiled_##op parameters       \
    {                                          \
        struct stamp before = stamp_now(b);    \
        original->op arguments;                \
        count(b, index, #op, before);          \
    }
OPERATIONS(WRAP)

#define INSTALL(index, op, parameters, arguments) wrapped.op = profiled_##op;

void profile_begin(struct backend *b)
{
    memset(counted, 0, sizeof counted);
    original = b->ops;
    wrapped = *original;
    OPERATIONS(INSTALL)
    b->ops = &wrapped;
}

void profile_end(struct backend *b, struct profile_row rows[PROFILE_OPS])
{
    b->ops = original;
    memcpy(rows, counted, sizeof counted);
}
