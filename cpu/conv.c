/* Convolution by oneDNN's direct algorithm on channels-last pictures.
 *
 * The output is cut into bands of rows, and each thread runs bands by itself, so that results do
 * not depend on the number of threads. A band in the middle of a picture reads its neighbours'
 * rows; only the first and the last one are padded, which makes a few prepared convolutions per
 * shape. An upsampled picture exists a band at a time. Weights are brought from their panels into
 * oneDNN's order (narrower panels, at most) and into f32 at each call: that is a thousandth of the
 * work. Where oneDNN wants anything else (before AVX-512), conv_gather.c takes over. Winograd's
 * algorithm is not used: it loses digits. */
#include <assert.h>
#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu_internal.h"

enum {
    MAX_CONVS = 64,   /* prepared convolutions that are kept */
    BANDS = 32,       /* per picture, unless they would get too small or large */
    MIN_PIXELS = 256, /* of a band */
    MAX_PIXELS = 2048,
};

/* One band: what a prepared convolution depends on. */
struct band_shape {
    int64_t in, out, kernel_y, kernel_x, stride; /* channels, taps */
    int64_t in_y, in_x, out_y, out_x, pad_top, pad_left;
    int64_t has_bias;
};

struct prepared {
    struct band_shape shape;
    uint64_t used;              /* when, for replacing the oldest */
    dnnl_primitive_t primitive; /* owned; NULL: oneDNN's form does not fit ours */
    dnnl_memory_desc_t x, w, bias, out, scratch;
    int64_t block; /* output channels of a panel of w */
};

struct conv_cache {
    uint64_t clock;
    int n;
    struct prepared convs[MAX_CONVS];
};

static size_t align64(size_t bytes) { return (bytes + 63) / 64 * 64; }

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* --- prepared convolutions --------------------------------------------------------------------*/

void conv_cache_free(struct conv_cache *cache)
{
    for (int i = 0; cache && i < cache->n; i++) {
        if (cache->convs[i].primitive)
            dnnl_primitive_destroy(cache->convs[i].primitive);
    }
    free(cache);
}

/* Width of the panels when w is ordered [outputs / width][ky][kx][inputs][width], else 0. */
static int64_t panel_width(const dnnl_memory_desc_t *w, const struct band_shape *s)
{
    const dnnl_blocking_desc_t *f = &w->format_desc.blocking;
    if (w->format_kind != dnnl_blocked || f->inner_nblks != 1 || f->inner_idxs[0] != 0)
        return 0;
    int64_t width = f->inner_blks[0];
    bool is_ours = CPU_PANEL % width == 0 && f->strides[1] == width &&
                   f->strides[3] == s->in * width && f->strides[2] == s->kernel_x * s->in * width &&
                   f->strides[0] == s->kernel_y * s->kernel_x * s->in * width;
    return is_ours ? width : 0;
}

static bool describe(struct prepared *p)
{
    const struct band_shape *s = &p->shape;
    dnnl_dims_t x = {1, s->in, s->in_y, s->in_x}, out = {1, s->out, s->out_y, s->out_x};
    dnnl_dims_t w = {s->out, s->in, s->kernel_y, s->kernel_x}, bias = {s->out};
    return dnnl_memory_desc_init_by_tag(&p->x, 4, x, dnnl_f32, dnnl_nhwc) == dnnl_success &&
           dnnl_memory_desc_init_by_tag(&p->out, 4, out, dnnl_f32, dnnl_nhwc) == dnnl_success &&
           dnnl_memory_desc_init_by_tag(&p->w, 4, w, dnnl_f32, dnnl_format_tag_any) ==
               dnnl_success &&
           dnnl_memory_desc_init_by_tag(&p->bias, 1, bias, dnnl_f32, dnnl_a) == dnnl_success;
}

/* Ask oneDNN; p->primitive stays NULL when its form is not ours. */
static void prepare(struct prepared *p, dnnl_engine_t engine)
{
    const struct band_shape *s = &p->shape;
    int64_t below = (s->out_y - 1) * s->stride + s->kernel_y - s->in_y - s->pad_top;
    int64_t right = (s->out_x - 1) * s->stride + s->kernel_x - s->in_x - s->pad_left;
    dnnl_dims_t strides = {s->stride, s->stride}, before = {s->pad_top, s->pad_left};
    dnnl_dims_t after = {max_i64(below, 0), max_i64(right, 0)};
    dnnl_convolution_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    if (!describe(p) ||
        dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_direct,
                                           &p->x, &p->w, s->has_bias ? &p->bias : NULL, &p->out,
                                           strides, before, after) != dnnl_success ||
        dnnl_primitive_attr_create(&attr) != dnnl_success)
        return;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (dnnl_primitive_desc_create(&pd, &desc, attr, engine, NULL) == dnnl_success) {
        p->w = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
        p->scratch = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        p->block = panel_width(&p->w, s);
        if (p->block == 0 || dnnl_primitive_create(&p->primitive, pd) != dnnl_success)
            p->primitive = NULL;
        dnnl_primitive_desc_destroy(pd);
    }
    dnnl_primitive_attr_destroy(attr);
}

static struct prepared *cache_slot(struct conv_cache *cache)
{
    if (cache->n < MAX_CONVS)
        return &cache->convs[cache->n++];
    struct prepared *oldest = &cache->convs[0];
    for (int i = 1; i < MAX_CONVS; i++) {
        if (cache->convs[i].used < oldest->used)
            oldest = &cache->convs[i];
    }
    if (oldest->primitive)
        dnnl_primitive_destroy(oldest->primitive);
    return oldest;
}

/* The convolution of a band, from the cache or new; NULL when oneDNN's form is not ours. */
static const struct prepared *find(struct cpu *cpu, const struct band_shape *shape)
{
    if (!cpu->convs)
        cpu->convs = calloc(1, sizeof *cpu->convs);
    struct conv_cache *cache = cpu->convs;
    if (!cache)
        return NULL;
    for (int i = 0; i < cache->n; i++) {
        struct prepared *p = &cache->convs[i];
        if (memcmp(&p->shape, shape, sizeof *shape) == 0) {
            p->used = ++cache->clock;
            return p->primitive ? p : NULL;
        }
    }
    struct prepared *p = cache_slot(cache);
    *p = (struct prepared){.shape = *shape, .used = ++cache->clock};
    int threads = cpu_library_threads(1); /* a band belongs to one thread */
    prepare(p, gemm_engine(cpu->gemm));
    cpu_library_threads(threads);
    return p->primitive ? p : NULL;
}

/* --- one call ---------------------------------------------------------------------------------*/

struct conv {
    struct cpu *cpu;
    const struct cpu_weight *w;
    struct tensor out, x;
    int64_t stride, pad_top, pad_left, upsample;
    const float *bias; /* or NULL */
    int64_t bands, band_rows;
    const struct prepared *first, *middle, *last; /* bands of a picture; first also if alone */
    float *packed;                                /* the weight in oneDNN's order */
    size_t x_bytes, out_bytes, scratch_bytes;     /* of each thread; 0: not needed */
};

/* Rows of the output of band i, and what they read: rows in_first .. in_first + in_y of the picture
 * that x becomes by upsampling. */
static struct band_shape band_of(const struct conv *c, int64_t i, int64_t *in_first)
{
    int64_t row = i * c->band_rows, rows = min_i64(c->out.dims[1] - row, c->band_rows);
    int64_t first = row * c->stride - c->pad_top;
    int64_t end = first + (rows - 1) * c->stride + c->w->kernel_y;
    int64_t clipped = max_i64(first, 0);
    *in_first = clipped;
    return (struct band_shape){.in = c->x.dims[3],
                               .out = c->w->n,
                               .kernel_y = c->w->kernel_y,
                               .kernel_x = c->w->kernel_x,
                               .stride = c->stride,
                               .in_y = min_i64(end, c->x.dims[1] * c->upsample) - clipped,
                               .in_x = c->x.dims[2] * c->upsample,
                               .out_y = rows,
                               .out_x = c->out.dims[2],
                               .pad_top = clipped - first,
                               .pad_left = c->pad_left,
                               .has_bias = c->bias != NULL};
}

/* Do all bands between the first and the last have one shape? Not when the kernel is higher than
 * a band, so that padding reaches further in. */
static bool plan_bands(struct conv *c)
{
    int64_t rows = c->out.dims[1], columns = c->out.dims[2];
    int64_t pixels = rows * columns / BANDS;
    pixels = min_i64(max_i64(pixels, MIN_PIXELS), MAX_PIXELS);
    c->band_rows = min_i64(max_i64(pixels / columns, 1), rows);
    c->bands = (rows + c->band_rows - 1) / c->band_rows;
    const struct prepared **slots[3] = {&c->first, &c->middle, &c->last};
    for (int64_t i = 0; i < c->bands; i++) {
        const struct prepared **slot = slots[i == 0 ? 0 : i + 1 == c->bands ? 2 : 1];
        int64_t in_first;
        struct band_shape shape = band_of(c, i, &in_first);
        if (shape.in_y < 1)
            return false;
        if (!*slot)
            *slot = find(c->cpu, &shape);
        if (!*slot || memcmp(&(*slot)->shape, &shape, sizeof shape) != 0 ||
            (*slot)->block != c->first->block)
            return false;
        size_t scratch = align64(dnnl_memory_desc_get_size(&(*slot)->scratch));
        c->scratch_bytes = scratch > c->scratch_bytes ? scratch : c->scratch_bytes;
        size_t x = align64(dnnl_memory_desc_get_size(&(*slot)->x));
        size_t out = align64(dnnl_memory_desc_get_size(&(*slot)->out));
        bool is_f32 = c->x.dtype == DTYPE_F32;
        c->x_bytes = (!is_f32 || c->upsample > 1) && x > c->x_bytes ? x : c->x_bytes;
        c->out_bytes = !is_f32 && out > c->out_bytes ? out : c->out_bytes;
    }
    return true;
}

/* Panels of the weight, [K][64] of any type, to panels [K][block] of f32, padded with zeros. */
static void pack_weight(const struct conv *c)
{
    const struct cpu_weight *w = c->w;
    int64_t block = c->first->block, blocks = (w->n + block - 1) / block;
    int64_t bytes = (int64_t)dtype_bytes(w->dtype);
#pragma omp parallel for num_threads(cpu_team(c->cpu, (double)(w->n * w->k))) schedule(static)
    for (int64_t i = 0; i < blocks; i++) {
        int64_t o = i * block, panel = o / CPU_PANEL * CPU_PANEL;
        int64_t width = min_i64(w->n - panel, CPU_PANEL), n = min_i64(w->n - o, block);
        const char *from = (const char *)w->data + (panel * w->k + o - panel) * bytes;
        float *to = c->packed + o * w->k;
        if (width == block) {
            c->cpu->kernels->widen(to, from, w->dtype, w->k * width);
            continue;
        }
        for (int64_t k = 0; k < w->k; k++) {
            c->cpu->kernels->widen(to + k * block, from + k * width * bytes, w->dtype, n);
            memset(to + k * block + n, 0, (size_t)(block - n) * sizeof(float));
        }
    }
}

static bool execute(const struct conv *c, const struct prepared *p, const float *x, float *out,
                    char *scratch)
{
    const struct {
        int arg;
        const dnnl_memory_desc_t *md;
        const void *data;
    } operands[] = {
        {DNNL_ARG_SRC, &p->x, x},           {DNNL_ARG_WEIGHTS, &p->w, c->packed},
        {DNNL_ARG_DST, &p->out, out},       {DNNL_ARG_SCRATCHPAD, &p->scratch, scratch},
        {DNNL_ARG_BIAS, &p->bias, c->bias},
    };
    enum { N_OPERANDS = sizeof operands / sizeof operands[0] };
    int wanted = c->bias ? N_OPERANDS : N_OPERANDS - 1, n = 0;
    dnnl_exec_arg_t args[N_OPERANDS];
    bool is_done = true;
    for (; n < wanted && is_done; n++) {
        args[n].arg = operands[n].arg;
        args[n].memory = NULL;
        is_done = dnnl_memory_create(&args[n].memory, operands[n].md, gemm_engine(c->cpu->gemm),
                                     (void *)operands[n].data) == dnnl_success;
    }
    if (is_done)
        is_done = dnnl_primitive_execute(p->primitive, gemm_stream(c->cpu->gemm), n, args) ==
                  dnnl_success;
    for (int i = 0; i < n; i++)
        dnnl_memory_destroy(args[i].memory);
    return is_done;
}

/* Rows first .. first + rows of the upsampled picture in f32; x is the picture as it is. */
static void upsample_rows(const struct conv *c, float *to, const char *x, int64_t first,
                          int64_t rows)
{
    int64_t channels = c->x.dims[3], bytes = (int64_t)dtype_bytes(c->x.dtype);
    int64_t row = c->x.dims[2] * c->upsample * channels;
    for (int64_t y = first; y < first + rows; y++, to += row) {
        if (y > first && y % c->upsample != 0) {
            memcpy(to, to - row, (size_t)row * sizeof(float));
            continue;
        }
        const char *from = x + y / c->upsample * c->x.strides[1] * bytes;
        for (int64_t i = 0; i < row; i += channels) {
            int64_t column = i / channels / c->upsample;
            c->cpu->kernels->widen(to + i, from + column * channels * bytes, c->x.dtype, channels);
        }
    }
}

/* Band i of a picture; memory is the thread's own. */
static bool run_band(const struct conv *c, int64_t picture, int64_t i, char *memory)
{
    int64_t in_first;
    struct band_shape s = band_of(c, i, &in_first);
    const struct prepared *p = i == 0 ? c->first : i + 1 == c->bands ? c->last : c->middle;
    int64_t bytes = (int64_t)dtype_bytes(c->x.dtype);
    const char *x = (const char *)c->x.data + picture * c->x.strides[0] * bytes;
    const char *x_rows = x + in_first * c->x.strides[1] * bytes; /* unless upsampled */
    char *out = (char *)c->out.data +
                (picture * c->out.strides[0] + i * c->band_rows * c->out.strides[1]) * bytes;
    float *x_wide = (float *)memory, *out_wide = (float *)(memory + c->x_bytes);
    char *scratch = memory + c->x_bytes + c->out_bytes;
    if (c->upsample > 1)
        upsample_rows(c, x_wide, x, in_first, s.in_y);
    else if (c->x.dtype != DTYPE_F32)
        c->cpu->kernels->widen(x_wide, x_rows, c->x.dtype, s.in_y * s.in_x * s.in);
    else
        x_wide = (float *)x_rows;
    if (c->x.dtype == DTYPE_F32)
        return execute(c, p, x_wide, (float *)out, scratch);
    bool is_done = execute(c, p, x_wide, out_wide, scratch);
    c->cpu->kernels->narrow(out, c->out.dtype, out_wide, s.out_y * s.out_x * s.out);
    return is_done;
}

void cpu_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                struct tensor bias, int stride, int pad_top, int pad_left, int upsample)
{
    struct conv c = {.cpu = cpu_of(b),
                     .w = w.data,
                     .out = out,
                     .x = x,
                     .stride = stride,
                     .pad_top = pad_top,
                     .pad_left = pad_left,
                     .upsample = upsample,
                     .bias = bias.data};
    if (tensor_elements(out) == 0)
        return;
    if (!plan_bands(&c)) {
        conv_gather(c.cpu, out, x, w, bias, stride, pad_top, pad_left, upsample);
        return;
    }
    assert(c.first && c.first->block > 0);
    int64_t outputs = (c.w->n + c.first->block - 1) / c.first->block * c.first->block;
    size_t packed_bytes = align64((size_t)(outputs * c.w->k) * sizeof(float));
    size_t thread_bytes = c.x_bytes + c.out_bytes + c.scratch_bytes;
    char *work = cpu_work(c.cpu, packed_bytes + (size_t)c.cpu->threads * thread_bytes);
    if (!work)
        return;
    c.packed = (float *)work;
    pack_weight(&c);
    int team = cpu_team(c.cpu, (double)(tensor_elements(out) * c.w->k));
    bool is_done = true;
#pragma omp parallel num_threads(team) reduction(&& : is_done)
    {
        cpu_library_threads(1);
        char *memory = work + packed_bytes + (size_t)cpu_thread() * thread_bytes;
#pragma omp for schedule(dynamic, 1)
        for (int64_t t = 0; t < out.dims[0] * c.bands; t++)
            is_done = run_band(&c, t / c.bands, t % c.bands, memory) && is_done;
    }
    if (!is_done)
        fail(&b->fault, ERR_INTERNAL, "conv2d: oneDNN failed");
}
