/* Names to tensors, with every complaint in one report. */
#include "flux/weights.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dtype.h"

enum { NAME_MAX_BYTES = 256, PROBLEMS_SHOWN = 3 };

/* Blocks are decoded to the type that is computed in: no further rounding follows. */
static struct weights of_files(struct backend *b)
{
    return (struct weights){.backend = b,
                            .source = WEIGHTS_FILE,
                            .dtype = b->compute == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32};
}

bool weights_open(struct weights *w, struct backend *b, const char *dir, const char *base,
                  struct error *err)
{
    *w = of_files(b);
    return checkpoint_open_folder(&w->file, dir, base, err);
}

bool weights_open_file(struct weights *w, struct backend *b, const char *path, enum part part,
                       struct error *err)
{
    *w = of_files(b);
    return checkpoint_open_file(&w->file, path, part, err);
}

void weights_open_shapes(struct weights *w, struct backend *b, enum dtype dtype)
{
    *w = (struct weights){.backend = b, .source = WEIGHTS_SHAPES, .dtype = dtype};
}

void weights_open_random(struct weights *w, struct backend *b, enum dtype dtype, uint64_t seed)
{
    *w = (struct weights){.backend = b, .source = WEIGHTS_RANDOM, .dtype = dtype, .seed = seed};
}

/* --- problems ---------------------------------------------------------------------------------*/

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

/* --- random values ----------------------------------------------------------------------------*/

/* Random bits index a table of values that are already in the tensor's type:
 * billions of weights are then a matter of seconds. */
enum { TABLE_BITS = 12, TABLE_SIZE = 1 << TABLE_BITS };

/* The SplitMix64 mix of a counter. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A generator of each parameter's own, so that one does not depend on which others are loaded. */
static uint64_t random_of(uint64_t seed, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *name != '\0'; name++) {
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    }
    return h ^ seed;
}

/* Layers that add to a residual stream are small, so that dozens of them do not let it grow; so
 * are those that make the pipeline's outputs. */
static float damping(const char *name)
{
    static const char *const OUTPUTS[] = {
        ".out_proj.weight", ".fc2.weight",      ".SelfAttention.o.weight",
        ".wo.weight",       ".to_out.0.weight", ".to_add_out.weight",
        ".net.2.weight",    "proj_out.weight",  ".conv2.weight",
    };
    for (size_t i = 0; i < sizeof OUTPUTS / sizeof OUTPUTS[0]; i++) {
        size_t size = strlen(name), tail = strlen(OUTPUTS[i]);
        if (size >= tail && strcmp(name + size - tail, OUTPUTS[i]) == 0) {
            return 0.25f;
        }
    }
    return 1.0f;
}

/* Values are uniform in +-sqrt(3 / fan-in), whose variance is 1 / fan-in: a layer's outputs are
 * then as large as its inputs. Norm scales are 1, biases nearly 0, table rows of unit variance. */
static void fill_random(struct tensor t, enum weight_use use, const char *name, uint64_t seed)
{
    int64_t n = tensor_elements(t);
    int64_t fan_in = t.rank > 1 && use != WEIGHT_TABLE ? n / t.dims[0] : 1;
    bool is_vector = use == WEIGHT_VECTOR, is_scale = is_vector && strstr(name, "bias") == NULL;
    float spread = is_scale    ? 0.0f
                   : is_vector ? 0.02f
                               : damping(name) * sqrtf(3.0f / (float)fan_in);
    union {
        uint32_t wide[TABLE_SIZE];
        uint16_t narrow[TABLE_SIZE];
    } table;
    for (int i = 0; i < TABLE_SIZE; i++) {
        float x = ((float)i + 0.5f) * 2.0f / TABLE_SIZE - 1.0f;
        dtype_store(&table, t.dtype, i, (is_scale ? 1.0f : 0.0f) + spread * x);
    }
    uint64_t state = random_of(seed, name), bits = 0;
    enum { DRAWS = 64 / TABLE_BITS };
    bool is_wide = dtype_bytes(t.dtype) == sizeof(uint32_t);
    for (int64_t i = 0; i < n; i++) {
        bits = i % DRAWS == 0 ? random_next(&state) : bits >> TABLE_BITS;
        if (is_wide) {
            ((uint32_t *)t.data)[i] = table.wide[bits % TABLE_SIZE];
        } else {
            ((uint16_t *)t.data)[i] = table.narrow[bits % TABLE_SIZE];
        }
    }
}

static struct tensor make_random(const struct weights *w, enum weight_use use, struct shape shape,
                                 const char *name)
{
    struct tensor t = tensor_make(NULL, w->dtype, shape);
    t.data = xmalloc(tensor_bytes(t));
    fill_random(t, use, name, w->seed);
    return t;
}

/* What the back end keeps in place has to stay until it is closed; of the rest it has a copy. */
static void keep_or_free(struct weights *w, void *made, const void *adopted)
{
    if (made != adopted) {
        free(made);
        return;
    }
    w->made = xrealloc(w->made, (w->n_made + 1) * sizeof *w->made);
    w->made[w->n_made++] = made;
}

/* --- files ------------------------------------------------------------------------------------*/

/* The parameter of that name and shape; false when it is not to be had (and noted). */
static bool find(struct weights *w, struct shape shape, const char *name, struct stored *out)
{
    struct error err = {0};
    if (!checkpoint_find(&w->file, name, out, &err)) {
        problem(w, err.text);
        return false;
    }
    struct tensor *host = &out->window;
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
    if (strcmp(name, out->name) != 0) {
        buf_printf(&text, "in %s ", out->name);
    }
    print_shape(&text, host->rank, host->dims);
    buf_printf(&text, " %s", out->blocks != NULL ? out->blocks->name : dtype_name(host->dtype));
    problem(w, text.data);
    buf_free(&text);
    return false;
}

/* The parameter's values: the window itself, or what is decoded from it, which is *made then. */
static struct tensor host_of(const struct weights *w, const struct stored *s, void **made)
{
    if (s->blocks == NULL && !s->swaps_halves) {
        return s->window;
    }
    struct shape shape = {.rank = s->window.rank};
    memcpy(shape.dims, s->window.dims, sizeof shape.dims);
    enum dtype dtype = s->blocks == NULL ? s->window.dtype : w->dtype;
    struct tensor t = tensor_make(NULL, dtype, shape);
    *made = t.data = xmalloc(tensor_bytes(t));
    stored_decode(s, t.data, dtype);
    return t;
}

/* --- public -----------------------------------------------------------------------------------*/

bool weights_has(const struct weights *w, const char *name)
{
    return w->source != WEIGHTS_FILE || checkpoint_has(&w->file, name);
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
    struct stored stored;
    void *made = NULL;
    if (w->source == WEIGHTS_FILE) {
        if (!find(w, shape, name, &stored)) {
            return;
        }
        host = host_of(w, &stored, &made);
    } else if (w->source == WEIGHTS_RANDOM) {
        host = make_random(w, use, shape, name);
        made = host.data;
    }
    w->n_parameters += tensor_elements(host);
    w->bytes += tensor_bytes(host);
    struct error err = {0};
    if (!backend_adopt(w->backend, host, use, out, &err)) {
        (void)error_prefix(&err, "%s", name);
        problem(w, err.text);
    }
    if (made != NULL) {
        keep_or_free(w, made, out->data);
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
    struct stored stored;
    void *made = NULL;
    if (w->source == WEIGHTS_RANDOM) {
        host = make_random(w, WEIGHT_TABLE, shape, name);
        made = host.data;
    } else if (w->source == WEIGHTS_FILE) {
        if (!find(w, shape, name, &stored)) {
            return values;
        }
        host = host_of(w, &stored, &made);
    }
    w->n_parameters += n;
    w->bytes += tensor_bytes(host);
    for (int64_t i = 0; host.data != NULL && i < n; i++) {
        values[i] = dtype_load(host.data, host.dtype, i);
    }
    free(made);
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
    checkpoint_close(&w->file);
    for (size_t i = 0; i < w->n_made; i++) {
        free(w->made[i]);
    }
    free(w->made);
    buf_free(&w->problems);
    *w = (struct weights){0};
}
