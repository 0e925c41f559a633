/* Names of parameters follow one pattern: prefix.weight, prefix.bias. */
#include "flux/layers.h"

#include <stdarg.h>
#include <stdio.h>

#define FORMAT_PREFIX(prefix, format)                    \
    do {                                                 \
        va_list args;                                    \
        va_start(args, format);                          \
        vsnprintf(prefix, sizeof(prefix), format, args); \
        va_end(args);                                    \
    } while (0)

void linear_bind(struct linear *l, struct weights *w, int64_t n, int64_t k, bool has_bias,
                 const char *format, ...)
{
    char prefix[192];
    FORMAT_PREFIX(prefix, format);
    weights_want(w, &l->weight, WEIGHT_MATRIX, SHAPE(n, k), "%s.weight", prefix);
    if (has_bias) {
        weights_want(w, &l->bias, WEIGHT_VECTOR, SHAPE(n), "%s.bias", prefix);
    }
}

void norm_bind(struct norm *l, struct weights *w, int64_t d, bool has_bias, const char *format, ...)
{
    char prefix[192];
    FORMAT_PREFIX(prefix, format);
    weights_want(w, &l->weight, WEIGHT_VECTOR, SHAPE(d), "%s.weight", prefix);
    if (has_bias) {
        weights_want(w, &l->bias, WEIGHT_VECTOR, SHAPE(d), "%s.bias", prefix);
    }
}

void conv_bind(struct conv *l, struct weights *w, int64_t o, int64_t i, int64_t kernel,
               const char *format, ...)
{
    char prefix[192];
    FORMAT_PREFIX(prefix, format);
    weights_want(w, &l->weight, WEIGHT_CONV, SHAPE(o, i, kernel, kernel), "%s.weight", prefix);
    weights_want(w, &l->bias, WEIGHT_VECTOR, SHAPE(o), "%s.bias", prefix);
}

struct tensor linear_new(struct backend *b, struct tensor x, const struct linear *l,
                         enum activation act)
{
    struct shape shape = {.rank = x.rank};
    for (int i = 0; i < x.rank; i++) {
        shape.dims[i] = x.dims[i];
    }
    shape.dims[x.rank - 1] = l->weight.dims[0];
    struct tensor out = scratch_take(b, b->compute, shape);
    linear(b, out, x, l, act);
    return out;
}

struct tensor upload_new(struct backend *b, const float *host, struct shape shape)
{
    struct tensor out = scratch_take(b, b->compute, shape);
    if (b->compute == DTYPE_F32) {
        backend_upload(b, out, host);
        return out;
    }
    size_t mark = scratch_mark(b);
    struct tensor wide = scratch_take(b, DTYPE_F32, shape);
    backend_upload(b, wide, host);
    op_copy(b, out, wide);
    scratch_release(b, mark);
    return out;
}
