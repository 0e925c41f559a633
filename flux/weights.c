/* Names to tensors, with every complaint in one report. */
#include "flux/weights.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flux/quantise.h"
#include "flux/weights_random.h"
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

/* --- made-up values ---------------------------------------------------------------------------*/

static struct tensor make_random(const struct weights *w, enum weight_use use, enum quant quant,
                                 struct shape shape, const char *name)
{
    struct tensor t = tensor_make(NULL, w->dtype, shape);
    if (quant != QUANT_NONE) {
        t = quantise_new(quant, shape.dims[0], shape.dims[1]);
    } else {
        t.data = xmalloc(tensor_bytes(t));
    }
    weights_random_fill(w->backend, t, use, name, w->seed);
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

/* What was found in place of a tensor of that shape and (unless "") type. */
static void shape_problem(struct weights *w, const char *name, struct shape shape, const char *type,
                          const char *stored_name, struct tensor found, const char *found_type)
{
    struct buf text = {0};
    buf_printf(&text, "%s: want ", name);
    print_shape(&text, shape.rank, shape.dims);
    buf_printf(&text, "%s%s, found ", *type ? " " : "", type);
    if (strcmp(name, stored_name) != 0) {
        buf_printf(&text, "in %s ", stored_name);
    }
    print_shape(&text, found.rank, found.dims);
    buf_printf(&text, " %s", found_type);
    problem(w, text.data);
    buf_free(&text);
}

/* A stored tensor of that type and shape, else a problem. */
static bool check_stored(struct weights *w, const struct safetensors_raw *raw, const char *type,
                         int64_t rows, int64_t columns)
{
    if (strcmp(raw->type, type) == 0 && raw->rank == 2 && raw->dims[0] == rows &&
        raw->dims[1] == columns) {
        return true;
    }
    struct tensor found = {.rank = raw->rank};
    memcpy(found.dims, raw->dims, sizeof found.dims);
    shape_problem(w, raw->name, SHAPE(rows, columns), type, raw->name, found, raw->type);
    return false;
}

/* A matrix that the file holds quantised: codes under its name, scales beside them. *is_there tells
 * whether it has scales, and so is quantised; false when something is wrong with it (and noted). */
static bool find_quantised(struct weights *w, struct shape shape, const char *name,
                           struct tensor *host, bool *is_there)
{
    const struct safetensors *file = w->file.safetensors;
    struct safetensors_raw codes = {.name = name, .type = "nothing"}, scales;
    char scale_name[NAME_MAX_BYTES + sizeof QUANTISE_SCALE_SUFFIX];
    snprintf(scale_name, sizeof scale_name, "%s%s", name, QUANTISE_SCALE_SUFFIX);
    *is_there = shape.rank == 2 && w->file.layout == LAYOUT_DIFFUSERS && file != NULL &&
                safetensors_find_raw(file, scale_name, &scales);
    if (!*is_there) {
        return true;
    }
    (void)safetensors_find_raw(file, name, &codes);
    enum quant quant = quantise_of_stored(codes.type);
    int64_t n = shape.dims[0], k = shape.dims[1];
    if (quant == QUANT_NONE) {
        return check_stored(w, &codes, "I8, F8_E4M3 or U8", n, k); /* a problem */
    }
    enum dtype dtype = quant_dtype(quant);
    if (!check_stored(w, &codes, codes.type, n, quant_code_bytes(dtype, k)) ||
        !check_stored(w, &scales, quantise_stored_scale(quant), n, quant_n_scales(dtype, k))) {
        return false;
    }
    if ((uintptr_t)scales.data % scales.type_bytes != 0) {
        struct error err = {0};
        (void)fail(&err, ERR_INVALID, "%s: data is not aligned to its type", scale_name);
        problem(w, err.text);
        return false;
    }
    *host = tensor_make((void *)(uintptr_t)codes.data, dtype, shape);
    host->scales = (void *)(uintptr_t)scales.data;
    return true;
}

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
    shape_problem(w, name, shape, is_float ? "" : "in f32, bf16 or f16", out->name, *host,
                  out->blocks != NULL ? out->blocks->name : dtype_name(host->dtype));
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

/* The parameter as the back end is to have it: *made is memory to free once it was adopted, or
 * NULL. False when there is none (and noted). */
static bool load(struct weights *w, enum quant quant, struct shape shape, const char *name,
                 struct tensor *host, void **made)
{
    bool is_quantised;
    struct stored stored;
    struct error err = {0};
    if (!find_quantised(w, shape, name, host, &is_quantised)) {
        return false;
    }
    if (is_quantised && !w->backend->takes_quantised) {
        (void)fail(&err, ERR_INVALID, "is quantised as %s, which the %s back end can't read",
                   dtype_name(host->dtype), w->backend->name);
    }
    if (!is_quantised) {
        if (!find(w, shape, name, &stored)) {
            return false;
        }
        *host = host_of(w, &stored, made);
    }
    if (!is_quantised && quant != QUANT_NONE) {
        void *floats = *made;
        (void)quantise_matrix(w->backend, *host, quant, host, NULL, &err);
        free(floats);
        *made = host->data;
    }
    if (err.code == ERR_NONE) {
        return true;
    }
    (void)error_prefix(&err, "%s", name);
    problem(w, err.text);
    return false;
}

/* --- layers -----------------------------------------------------------------------------------*/

/* Length of a name up to the end of its first number; 0 when it has none between dots. */
static size_t layer_length(const char *name)
{
    const char *p = name;
    while (*p != '\0' && !(p[0] == '.' && isdigit((unsigned char)p[1]))) {
        p++;
    }
    size_t n = *p == '\0' ? 0 : (size_t)(p - name) + 1;
    while (n > 0 && isdigit((unsigned char)name[n])) {
        n++;
    }
    return n > 0 && name[n] == '.' ? n : 0;
}

/* Tell the back end where the parameter of that name is to live, and what is to be multiplied. */
static void set_home(struct weights *w, enum weight_use use, const char *name)
{
    size_t n = use == WEIGHT_MATRIX ? layer_length(name) : use == WEIGHT_TABLE ? strlen(name) : 0;
    n = n < sizeof w->layer_name ? n : sizeof w->layer_name - 1;
    w->backend->home = (struct weight_home){0};
    w->backend->rounds_inputs = w->rounds_inputs;
    if (w->home.chain == 0 || n == 0) {
        return;
    }
    if (strncmp(w->layer_name, name, n) != 0 || w->layer_name[n] != '\0') {
        memcpy(w->layer_name, name, n);
        w->layer_name[n] = '\0';
        w->home.layer++;
    }
    w->backend->home = w->home;
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

    enum quant quant =
        use == WEIGHT_MATRIX ? quantise_scheme(w->quant, name, shape.rank) : QUANT_NONE;
    struct tensor host =
        tensor_make(NULL, quant != QUANT_NONE ? quant_dtype(quant) : w->dtype, shape);
    void *made = NULL;
    if (w->source == WEIGHTS_FILE) {
        if (!load(w, quant, shape, name, &host, &made)) {
            return;
        }
    }
    set_home(w, use, name);
    bool is_random = w->source == WEIGHTS_RANDOM;
    bool is_made_there = is_random && quant == QUANT_NONE && backend_makes(w->backend, use);
    if (is_random && !is_made_there) {
        host = make_random(w, use, quant, shape, name);
        made = host.data;
    }
    w->n_parameters += tensor_elements(host);
    w->bytes += tensor_bytes(host);
    w->quantised_bytes += dtype_is_quantised(host.dtype) ? tensor_bytes(host) : 0;
    struct error err = {0};
    struct random_values values = weights_random_values(host, use, name, w->seed);
    if (is_made_there ? !backend_adopt_made(w->backend, host, use, &values, out, &err)
                      : !backend_adopt(w->backend, host, use, out, &err)) {
        (void)error_prefix(&err, "%s", name);
        problem(w, err.text);
    }
    w->backend->home = (struct weight_home){0};
    w->backend->rounds_inputs = false;
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
        host = make_random(w, WEIGHT_TABLE, QUANT_NONE, shape, name);
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
