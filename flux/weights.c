/* Names to tensors, with every complaint in one report. */
#include "flux/weights.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dtype.h"

enum { NAME_MAX_BYTES = 256, PROBLEMS_SHOWN = 3 };

bool weights_open(struct weights *w, struct backend *b, const char *dir, const char *base,
                  struct error *err)
{
    *w = (struct weights){.backend = b, .source = WEIGHTS_FILE};
    return safetensors_open(&w->file, dir, base, err);
}

void weights_open_shapes(struct weights *w, struct backend *b, enum dtype dtype)
{
    *w = (struct weights){.backend = b, .source = WEIGHTS_SHAPES, .dtype = dtype};
}

void weights_open_random(struct weights *w, struct backend *b, enum dtype dtype, uint64_t seed)
{
    *w = (struct weights){
        .backend = b, .source = WEIGHTS_RANDOM, .dtype = dtype, .random = seed + 1};
}

/* --- sources ----------------------------------------------------------------------------------*/

static void print_shape(struct buf *out, int rank, const int64_t *dims)
{
    buf_putc(out, '[');
    for (int i = 0; i < rank; i++) {
        buf_printf(out, "%s%lld", i == 0 ? "" : ", ", (long long)dims[i]);
    }
    buf_putc(out, ']');
}

static void problem(struct weights *w, const char *text)
{
    if (w->n_problems++ < PROBLEMS_SHOWN) {
        buf_printf(&w->problems, "%s%s", w->n_problems == 1 ? "" : "; ", text);
    }
}

/* Uniform in [-1, 1), by the SplitMix64 mix of a counter. */
static float random_float(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (float)((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1.0f;
}

/* Values that keep activations near unit size: norm scales about 1, the rest with variance 1 /
 * fan-in (a uniform number in +-sqrt(3 / n) has variance 1 / n). */
static struct tensor make_random(struct weights *w, enum weight_use use, struct shape shape,
                                 const char *name)
{
    struct tensor t = tensor_make(NULL, w->dtype, shape);
    t.data = xmalloc(tensor_bytes(t));
    w->made = xrealloc(w->made, (w->n_made + 1) * sizeof *w->made);
    w->made[w->n_made++] = t.data;
    int64_t n = tensor_elements(t);
    int64_t fan_in = shape.rank > 1 && use != WEIGHT_TABLE ? n / shape.dims[0] : 1;
    bool is_scale = use == WEIGHT_VECTOR && strstr(name, "bias") == NULL;
    float spread = use == WEIGHT_VECTOR ? 0.02f : sqrtf(3.0f / (float)fan_in);
    for (int64_t i = 0; i < n; i++) {
        dtype_store(t.data, t.dtype, i,
                    (is_scale ? 1.0f : 0.0f) + spread * random_float(&w->random));
    }
    return t;
}

/* The host tensor of that name and shape; false when it is not to be had (and noted). */
static bool find(struct weights *w, struct shape shape, const char *name, struct tensor *host)
{
    struct error err = {0};
    if (!safetensors_find(w->file, name, host, &err)) {
        problem(w, err.text);
        return false;
    }
    bool is_float =
        host->dtype == DTYPE_F32 || host->dtype == DTYPE_BF16 || host->dtype == DTYPE_F16;
    bool same = host->rank == shape.rank;
    for (int i = 0; same && i < shape.rank; i++) {
        same = host->dims[i] == shape.dims[i];
    }
    /* A linear layer may be stored as the 1x1 convolution that it is, and the other way round. */
    if (!same && tensor_elements(*host) > 0 && shape.rank == 2 && host->rank == 4 &&
        host->dims[0] == shape.dims[0] && host->dims[1] == shape.dims[1] && host->dims[2] == 1 &&
        host->dims[3] == 1) {
        *host = tensor_reshape(*host, shape);
        same = true;
    }
    if (same && is_float) {
        return true;
    }
    struct buf text = {0};
    buf_printf(&text, "%s: want ", name);
    print_shape(&text, shape.rank, shape.dims);
    buf_puts(&text, ", found ");
    print_shape(&text, host->rank, host->dims);
    buf_printf(&text, " %s", dtype_name(host->dtype));
    problem(w, text.data);
    buf_free(&text);
    return false;
}

/* --- public -----------------------------------------------------------------------------------*/

bool weights_has(const struct weights *w, const char *name)
{
    struct tensor ignored;
    return w->source != WEIGHTS_FILE || safetensors_find(w->file, name, &ignored, NULL);
}

void weights_want(struct weights *w, struct tensor *out, enum weight_use use, struct shape shape,
                  const char *format, ...)
{
    char name[NAME_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);

    struct tensor host = tensor_make(NULL, w->dtype, shape);
    if (w->source == WEIGHTS_FILE && !find(w, shape, name, &host)) {
        return;
    }
    if (w->source == WEIGHTS_RANDOM) {
        host = make_random(w, use, shape, name);
    }
    w->n_parameters += tensor_elements(host);
    w->bytes += tensor_bytes(host);
    struct error err = {0};
    if (!backend_adopt(w->backend, host, use, out, &err)) {
        (void)error_prefix(&err, "%s", name);
        problem(w, err.text);
    }
}

float *weights_host(struct weights *w, struct shape shape, const char *format, ...)
{
    char name[NAME_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);

    struct tensor host = tensor_make(NULL, w->dtype, shape);
    int64_t n = tensor_elements(host);
    float *values = xcalloc((size_t)n, sizeof *values);
    if (w->source == WEIGHTS_RANDOM) {
        host = make_random(w, WEIGHT_TABLE, shape, name);
    } else if (w->source == WEIGHTS_FILE && !find(w, shape, name, &host)) {
        return values;
    }
    w->n_parameters += n;
    w->bytes += tensor_bytes(host);
    for (int64_t i = 0; host.data != NULL && i < n; i++) {
        values[i] = dtype_load(host.data, host.dtype, i);
    }
    return values;
}

bool weights_finish(struct weights *w, struct error *err)
{
    if (w->n_problems == 0) {
        return true;
    }
    int more = w->n_problems - PROBLEMS_SHOWN;
    return more > 0 ? fail(err, ERR_INVALID, "%s; and %d more", w->problems.data, more)
                    : fail(err, ERR_INVALID, "%s", w->problems.data);
}

void weights_close(struct weights *w)
{
    safetensors_close(w->file);
    for (size_t i = 0; i < w->n_made; i++) {
        free(w->made[i]);
    }
    free(w->made);
    buf_free(&w->problems);
    *w = (struct weights){0};
}
