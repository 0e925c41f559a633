/* Convolution as a product, where conv.c's direct form is not to be had: a strip of output pixels
 * gathers what each of them sees, [pixels][K] with K = (kernel row, kernel column, channel), which
 * is one run of memory per kernel row in a channels-last picture; then every panel of the weight is
 * multiplied with it. The gather costs K / outputs of the product and stays in cache. Pixels
 * outside the picture are zeros. */
#include <string.h>

#include "cpu/cpu_internal.h"

enum { STRIP_PIXELS = 256 };

struct gathered {
    struct cpu *cpu;
    const struct cpu_weight *w;
    struct tensor out, x;
    int stride, pad_top, pad_left, upsample;
    const float *bias;   /* or NULL */
    const float *panels; /* the weight in f32 */
    /* Products by [last strip?][last panel?]. */
    const struct gemm_tile *tiles[2][2];
    size_t gather_bytes, tile_bytes, scratch_bytes; /* of each thread */
};

static size_t align64(size_t bytes) { return (bytes + 63) / 64 * 64; }

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

/* One kernel row of one output pixel: n columns of the input, starting at column x0 (which may be
 * outside) of the picture row `from`. */
static void gather_row(const struct gathered *c, float *to, const char *from, int64_t x0, int64_t n)
{
    int64_t width = c->x.dims[2] * c->upsample, channels = c->x.dims[3];
    int64_t left = min_i64(x0 < 0 ? -x0 : 0, n);
    int64_t right = min_i64(x0 + n > width ? x0 + n - width : 0, n);
    /* Columns that are side by side in x too; upsampled ones are taken one by one. */
    int64_t each = c->upsample == 1 ? n - left - right : 1;
    memset(to, 0, (size_t)(left * channels) * sizeof(float));
    for (int64_t i = left; i < n - right; i += each) {
        int64_t at = (x0 + i) / c->upsample * channels * (int64_t)dtype_bytes(c->x.dtype);
        c->cpu->kernels->widen(to + i * channels, from + at, c->x.dtype, each * channels);
    }
    memset(to + (n - right) * channels, 0, (size_t)(right * channels) * sizeof(float));
}

/* What output pixels first .. first + n (counted over all pictures) see. */
static void gather(const struct gathered *c, float *to, int64_t first, int64_t n)
{
    int64_t out_y = c->out.dims[1], out_x = c->out.dims[2];
    int64_t row_bytes = c->x.strides[1] * (int64_t)dtype_bytes(c->x.dtype);
    int64_t run = c->w->kernel_x * c->x.dims[3];
    for (int64_t p = first; p < first + n; p++) {
        int64_t column = p % out_x, row = p / out_x % out_y, picture = p / out_x / out_y;
        for (int64_t i = 0; i < c->w->kernel_y; i++, to += run) {
            int64_t y = row * c->stride - c->pad_top + i;
            if (y < 0 || y >= c->x.dims[1] * c->upsample) {
                memset(to, 0, (size_t)run * sizeof(float));
                continue;
            }
            const char *from =
                (const char *)c->x.data + (picture * c->x.dims[1] + y / c->upsample) * row_bytes;
            gather_row(c, to, from, column * c->stride - c->pad_left, c->w->kernel_x);
        }
    }
}

/* All outputs of a strip of n pixels whose inputs are a, [n][k]. */
static bool gathered_strip(const struct gathered *c, const float *a, int64_t first, int64_t n,
                           char *buffer)
{
    int64_t outputs = c->w->n;
    bool is_done = true;
    for (int64_t o = 0; o < outputs; o += CPU_PANEL) {
        int64_t width = min_i64(outputs - o, CPU_PANEL);
        const struct gemm_tile *tile = c->tiles[n < STRIP_PIXELS][width < CPU_PANEL];
        char *to = (char *)c->out.data + (first * outputs + o) * (int64_t)dtype_bytes(c->out.dtype);
        is_done =
            gemm_run(tile, (float *)buffer, a, c->panels + o * c->w->k, buffer + c->tile_bytes) &&
            is_done;
        c->cpu->kernels->finish(to, c->out.dtype, outputs, (float *)buffer, n, width,
                                c->bias ? c->bias + o : NULL, ACT_NONE);
    }
    return is_done;
}

static bool gathered_prepare(struct gathered *c, int64_t pixels)
{
    int64_t last = pixels % STRIP_PIXELS, last_width = c->w->n % CPU_PANEL, k = c->w->k;
    int64_t rows[2] = {STRIP_PIXELS, last}, widths[2] = {CPU_PANEL, last_width};
    c->gather_bytes = (size_t)(STRIP_PIXELS * k) * sizeof(float);
    c->tile_bytes = (size_t)STRIP_PIXELS * CPU_PANEL * sizeof(float);
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            bool is_needed = (i == 0 ? pixels >= STRIP_PIXELS : last > 0) &&
                             (j == 0 ? c->w->n >= CPU_PANEL : last_width > 0);
            if (!is_needed)
                continue;
            c->tiles[i][j] = gemm_prepare(c->cpu, DTYPE_F32, rows[i], widths[j], k);
            if (!c->tiles[i][j])
                return false;
            size_t bytes = align64(gemm_scratch_bytes(c->tiles[i][j]));
            c->scratch_bytes = bytes > c->scratch_bytes ? bytes : c->scratch_bytes;
        }
    }
    return true;
}

/* The weight in f32: itself, or widened into `to`. */
static const float *gathered_panels(const struct gathered *c, float *to)
{
    if (c->w->dtype == DTYPE_F32)
        return c->w->data;
    int64_t panels = (c->w->n + CPU_PANEL - 1) / CPU_PANEL;
#pragma omp parallel for num_threads(cpu_team(c->cpu, (double)(c->w->n * c->w->k)))
    for (int64_t p = 0; p < panels; p++) {
        int64_t at = p * CPU_PANEL * c->w->k;
        int64_t n = min_i64(c->w->n - p * CPU_PANEL, CPU_PANEL) * c->w->k;
        c->cpu->kernels->widen(to + at, (const uint16_t *)c->w->data + at, c->w->dtype, n);
    }
    return to;
}

void conv_gather(struct cpu *cpu, struct tensor out, struct tensor x, struct tensor w,
                 struct tensor bias, int stride, int pad_top, int pad_left, int upsample)
{
    struct gathered c = {.cpu = cpu,
                         .w = w.data,
                         .out = out,
                         .x = x,
                         .stride = stride,
                         .pad_top = pad_top,
                         .pad_left = pad_left,
                         .upsample = upsample,
                         .bias = bias.data};
    int64_t pixels = out.dims[0] * out.dims[1] * out.dims[2];
    if (pixels == 0 || !gathered_prepare(&c, pixels))
        return;
    size_t weight_bytes =
        c.w->dtype == DTYPE_F32 ? 0 : align64((size_t)(c.w->n * c.w->k) * sizeof(float));
    size_t thread_bytes = c.gather_bytes + c.tile_bytes + c.scratch_bytes;
    char *work = cpu_work(c.cpu, weight_bytes + (size_t)c.cpu->threads * thread_bytes);
    if (!work)
        return;
    c.panels = gathered_panels(&c, (float *)work);
    int64_t strips = (pixels + STRIP_PIXELS - 1) / STRIP_PIXELS;
    int team = cpu_team(cpu, (double)(pixels * c.w->n * c.w->k));
    bool is_done = true;
#pragma omp parallel num_threads(team) reduction(&& : is_done)
    {
        cpu_library_threads(1);
        char *buffer = work + weight_bytes + (size_t)cpu_thread() * thread_bytes;
#pragma omp for schedule(dynamic, 1)
        for (int64_t s = 0; s < strips; s++) {
            int64_t first = s * STRIP_PIXELS, n = min_i64(pixels - first, STRIP_PIXELS);
            gather(&c, (float *)buffer, first, n);
            is_done =
                gathered_strip(&c, (const float *)buffer, first, n, buffer + c.gather_bytes) &&
                is_done;
        }
    }
    if (!is_done)
        fail(&c.cpu->backend.fault, ERR_INTERNAL, "conv2d: oneDNN failed");
}
