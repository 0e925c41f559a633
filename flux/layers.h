/* The few layers that every model part is made of: parameters, how they are bound and applied. */
#pragma once

#include "flux/weights.h"
#include "tensor/ops.h"

struct linear {
    struct tensor weight, bias; /* [N, K], [N] or none */
};

struct norm {
    struct tensor weight, bias; /* [D], [D] or none */
};

struct conv {
    struct tensor weight, bias; /* [O, I, kh, kw], [O] */
};

/* Bind prefix.weight and, if asked for, prefix.bias. */
void linear_bind(struct linear *l, struct weights *w, int64_t n, int64_t k, bool has_bias,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));
void norm_bind(struct norm *l, struct weights *w, int64_t d, bool has_bias, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void conv_bind(struct conv *l, struct weights *w, int64_t o, int64_t i, int64_t kernel,
               const char *format, ...) __attribute__((format(printf, 6, 7)));

static inline void linear(struct backend *b, struct tensor out, struct tensor x,
                          const struct linear *l, enum activation act)
{
    op_linear(b, out, x, l->weight, l->bias, act);
}

/* A linear layer into new scratch memory: x [B, L, K] or [B, K] -> [.., N]. */
struct tensor linear_new(struct backend *b, struct tensor x, const struct linear *l,
                         enum activation act);

/* Host floats as a tensor of the compute type in scratch. */
struct tensor upload_new(struct backend *b, const float *host, struct shape shape);

/* Where intermediate tensors are handed to somebody who wants to look at them. Device tensors,
 * any strides; fn copies what it needs. NULL: nobody looks. */
struct tap {
    void (*fn)(struct tap *tap, const char *name, struct tensor t);
};

static inline void tap_show(struct tap *tap, const char *name, struct tensor t)
{
    if (tap != NULL) {
        tap->fn(tap, name, t);
    }
}
