/* Normalisations and rotary positions. Statistics are f32 sums of short blocks, joined in double,
 * so that a group of a million pixels is as exact as a row of a hundred. Work is cut by shape
 * only, never by the number of threads: results do not depend on it. */
#include <math.h>

#include "cpu/cpu_internal.h"
#include "cpu/isa.h"
#include "cpu/vecmath.h"
#include "cpu/walk.h"

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

/* --- rows -------------------------------------------------------------------------------------*/

/* Partial sums side by side: for the vector units, and so that errors stay small. */
enum { LANES = 16 };

static float lanes_sum(const float *lanes)
{
    float sum = 0.0f;
    for (int j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

static float sum_block(const float *x, int64_t n)
{
    float lanes[LANES] = {0};
    int64_t whole = n - n % LANES;
    for (int64_t i = 0; i < whole; i += LANES) {
        for (int j = 0; j < LANES; j++)
            lanes[j] += x[i + j];
    }
    for (int64_t i = whole; i < n; i++)
        lanes[i - whole] += x[i];
    return lanes_sum(lanes);
}

static float square_block(const float *x, float mean, int64_t n)
{
    float lanes[LANES] = {0};
    int64_t whole = n - n % LANES;
    for (int64_t i = 0; i < whole; i += LANES) {
        for (int j = 0; j < LANES; j++)
            lanes[j] += (x[i + j] - mean) * (x[i + j] - mean);
    }
    for (int64_t i = whole; i < n; i++)
        lanes[i - whole] += (x[i] - mean) * (x[i] - mean);
    return lanes_sum(lanes);
}

/* Sum, and sum of squared differences from mean, of a row of any length. */
static double row_sum(const void *row, enum dtype dtype, int64_t width)
{
    float buffer[BLOCK];
    double sum = 0.0;
    for (int64_t d = 0; d < width; d += BLOCK) {
        int64_t n = min_i64(width - d, BLOCK);
        const char *from = (const char *)row + d * (int64_t)dtype_bytes(dtype);
        sum += (double)sum_block(block_read(buffer, from, dtype, n), n);
    }
    return sum;
}

static double row_squares(const void *row, enum dtype dtype, float mean, int64_t width)
{
    float buffer[BLOCK];
    double sum = 0.0;
    for (int64_t d = 0; d < width; d += BLOCK) {
        int64_t n = min_i64(width - d, BLOCK);
        const char *from = (const char *)row + d * (int64_t)dtype_bytes(dtype);
        sum += (double)square_block(block_read(buffer, from, dtype, n), mean, n);
    }
    return sum;
}

/* Where row r of a window begins: the leading axes are counted row-major. */
static void *row_at(struct tensor t, int64_t r)
{
    int64_t offset = 0;
    for (int a = t.rank - 2; a >= 0; a--) {
        offset += r % t.dims[a] * t.strides[a];
        r /= t.dims[a];
    }
    return tensor_element(t, offset);
}

static int64_t row_count(struct tensor t)
{
    int64_t rows = 1;
    for (int a = 0; a < t.rank - 1; a++)
        rows *= t.dims[a];
    return rows;
}

/* What follows the normalisation of one row: pointers to its vectors, or NULL. */
struct row_affine {
    const float *weight, *bias;
    const void *scale, *shift; /* of the activations' type */
};

static void layer_norm_block(float *to, const float *x, int64_t n, float mean, float inverse,
                             const float *weight, const float *bias, const float *scale,
                             const float *shift)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (x[i] - mean) * inverse;
    if (weight) {
        for (int64_t i = 0; i < n; i++)
            to[i] *= weight[i];
    }
    if (bias) {
        for (int64_t i = 0; i < n; i++)
            to[i] += bias[i];
    }
    if (scale) {
        for (int64_t i = 0; i < n; i++)
            to[i] = to[i] * (1.0f + scale[i]) + shift[i];
    }
}

static void layer_norm_row(void *to, const void *x, enum dtype dtype, int64_t width, float eps,
                           struct row_affine a)
{
    double mean = row_sum(x, dtype, width) / (double)width;
    double variance = row_squares(x, dtype, (float)mean, width) / (double)width;
    float inverse = (float)(1.0 / sqrt(variance + (double)eps));
    int64_t bytes = (int64_t)dtype_bytes(dtype);
    for (int64_t d = 0; d < width; d += BLOCK) {
        int64_t n = min_i64(width - d, BLOCK), at = d * bytes;
        float xs[BLOCK], scales[BLOCK], shifts[BLOCK], results[BLOCK];
        const float *xf = block_read(xs, (const char *)x + at, dtype, n);
        const float *scale = NULL, *shift = NULL;
        if (a.scale) {
            scale = block_read(scales, (const char *)a.scale + at, dtype, n);
            shift = block_read(shifts, (const char *)a.shift + at, dtype, n);
        }
        float *target = block_target(results, (char *)to + at, dtype);
        layer_norm_block(target, xf, n, (float)mean, inverse, a.weight ? a.weight + d : NULL,
                         a.bias ? a.bias + d : NULL, scale, shift);
        block_write((char *)to + at, dtype, target, n);
    }
}

void KERNEL(layer_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                        struct tensor bias, struct tensor scale, struct tensor shift, float eps)
{
    const struct cpu *cpu = cpu_of(b);
    int64_t length = x.dims[1], width = x.dims[2], rows = x.dims[0] * length;
#pragma omp parallel for num_threads(cpu->threads) if (rows * width > WALK_PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        struct row_affine a = {.weight = weight.data, .bias = bias.data};
        if (!tensor_is_none(scale)) {
            a.scale = tensor_element(scale, r / length * scale.strides[0]);
            a.shift = tensor_element(shift, r / length * shift.strides[0]);
        }
        layer_norm_row(row_at(out, r), row_at(x, r), x.dtype, width, eps, a);
    }
}

static void rms_norm_row(char *to, const char *from, enum dtype dtype, int64_t width, float eps,
                         const float *weight)
{
    int64_t bytes = (int64_t)dtype_bytes(dtype);
    double mean_square = row_squares(from, dtype, 0.0f, width) / (double)width;
    float inverse = (float)(1.0 / sqrt(mean_square + (double)eps));
    for (int64_t d = 0; d < width; d += BLOCK) {
        int64_t n = min_i64(width - d, BLOCK);
        float xs[BLOCK], results[BLOCK];
        const float *xf = block_read(xs, from + d * bytes, dtype, n);
        float *target = block_target(results, to + d * bytes, dtype);
        for (int64_t i = 0; i < n; i++)
            target[i] = xf[i] * inverse * weight[d + i];
        block_write(to + d * bytes, dtype, target, n);
    }
}

void KERNEL(rms_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                      float eps)
{
    const struct cpu *cpu = cpu_of(b);
    int64_t width = x.dims[x.rank - 1], rows = row_count(x);
#pragma omp parallel for num_threads(cpu->threads) if (rows * width > WALK_PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++)
        rms_norm_row(row_at(out, r), row_at(x, r), x.dtype, width, eps, weight.data);
}

/* --- rotary positions -------------------------------------------------------------------------*/

static void rotate_block(float *to, const float *x, const float *cos, const float *sin,
                         int64_t pairs)
{
    for (int64_t i = 0; i < pairs; i++) {
        float x0 = x[2 * i], x1 = x[2 * i + 1];
        to[2 * i] = x0 * cos[i] - x1 * sin[i];
        to[2 * i + 1] = x1 * cos[i] + x0 * sin[i];
    }
}

/* Row r of x [B, L, H, Dh]. */
static void rotate_row(struct tensor x, int64_t r, struct tensor cos, struct tensor sin)
{
    int64_t width = x.dims[3], l = r / x.dims[2] % x.dims[1];
    char *row = row_at(x, r);
    const float *c = (const float *)cos.data + l * (width / 2);
    const float *s = (const float *)sin.data + l * (width / 2);
    for (int64_t d = 0; d < width; d += BLOCK) {
        int64_t pairs = min_i64(width - d, BLOCK) / 2;
        char *at = row + d * (int64_t)dtype_bytes(x.dtype);
        float xs[BLOCK], results[BLOCK];
        const float *xf = block_read(xs, at, x.dtype, 2 * pairs);
        rotate_block(results, xf, c + d / 2, s + d / 2, pairs);
        narrow_block(at, x.dtype, results, 2 * pairs);
    }
}

void KERNEL(rms_norm_rope)(struct backend *b, struct tensor x, struct tensor weight, float eps,
                           struct tensor cos, struct tensor sin)
{
    const struct cpu *cpu = cpu_of(b);
    int64_t rows = row_count(x), width = x.dims[3];
#pragma omp parallel for num_threads(cpu->threads) if (rows * width > WALK_PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        rms_norm_row(row_at(x, r), row_at(x, r), x.dtype, width, eps, weight.data);
        rotate_row(x, r, cos, sin);
    }
}

/* --- groups of channels -----------------------------------------------------------------------*/

/* Mean and sum of squared differences of n values; two joined by Chan, Golub and LeVeque 1979. */
struct moments {
    double n, mean, squares;
};

static struct moments moments_join(struct moments a, struct moments b)
{
    double n = a.n + b.n, delta = b.mean - a.mean;
    return (struct moments){n, a.mean + delta * b.n / n,
                            a.squares + b.squares + delta * delta * a.n * b.n / n};
}

/* Pixels of one chunk: its values stay in the second-level cache between the two passes. */
static int64_t chunk_pixels(int64_t channels)
{
    int64_t pixels = 65536 / channels;
    return pixels < 1 ? 1 : pixels > 256 ? 256 : pixels;
}

/* sums[c] += x[p][c], or (x[p][c] - mean[c])^2 when mean is given, over a chunk of pixels. */
static void channel_sums(float *sums, const void *x, enum dtype dtype, int64_t pixels,
                         int64_t channels, const float *mean)
{
    float buffer[BLOCK];
    memset(sums, 0, (size_t)channels * sizeof *sums);
    for (int64_t p = 0; p < pixels; p++) {
        for (int64_t c = 0; c < channels; c += BLOCK) {
            int64_t n = min_i64(channels - c, BLOCK);
            const char *at = (const char *)x + (p * channels + c) * (int64_t)dtype_bytes(dtype);
            const float *xf = block_read(buffer, at, dtype, n);
            float *to = sums + c;
            if (!mean) {
                for (int64_t i = 0; i < n; i++)
                    to[i] += xf[i];
                continue;
            }
            const float *m = mean + c;
            for (int64_t i = 0; i < n; i++)
                to[i] += (xf[i] - m[i]) * (xf[i] - m[i]);
        }
    }
}

/* Moments of each group over one chunk. row: 2 x channels floats of scratch. */
static void chunk_moments(struct moments *groups, int n_groups, const void *x, enum dtype dtype,
                          int64_t pixels, int64_t channels, float *row)
{
    float *sums = row, *means = row + channels;
    int64_t width = channels / n_groups;
    channel_sums(sums, x, dtype, pixels, channels, NULL);
    for (int g = 0; g < n_groups; g++) {
        double sum = 0.0;
        for (int64_t c = g * width; c < (g + 1) * width; c++)
            sum += (double)sums[c];
        groups[g].n = (double)(pixels * width);
        groups[g].mean = sum / groups[g].n;
        for (int64_t c = g * width; c < (g + 1) * width; c++)
            means[c] = (float)groups[g].mean;
    }
    channel_sums(sums, x, dtype, pixels, channels, means);
    for (int g = 0; g < n_groups; g++) {
        groups[g].squares = 0.0;
        for (int64_t c = g * width; c < (g + 1) * width; c++)
            groups[g].squares += (double)sums[c];
    }
}

/* out = (x - mean[c]) * gain[c] + bias[c], activated, for a chunk of pixels. */
static void normalise_chunk(void *out, const void *x, enum dtype dtype, int64_t pixels,
                            int64_t channels, const float *mean, const float *gain,
                            const float *bias, enum activation act)
{
    float xs[BLOCK], results[BLOCK];
    int64_t bytes = (int64_t)dtype_bytes(dtype);
    for (int64_t p = 0; p < pixels; p++) {
        for (int64_t c = 0; c < channels; c += BLOCK) {
            int64_t n = min_i64(channels - c, BLOCK), at = (p * channels + c) * bytes;
            const float *xf = block_read(xs, (const char *)x + at, dtype, n);
            for (int64_t i = 0; i < n; i++)
                results[i] = (xf[i] - mean[c + i]) * gain[c + i] + bias[c + i];
            if (act == ACT_SILU) {
                for (int64_t i = 0; i < n; i++)
                    results[i] = results[i] * sigmoid_f32(results[i]);
            }
            narrow_block((char *)out + at, dtype, results, n);
        }
    }
}

void KERNEL(group_norm)(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                        struct tensor bias, int groups, float eps, enum activation act)
{
    struct cpu *cpu = cpu_of(b);
    int64_t batch = x.dims[0], pixels = x.dims[1] * x.dims[2], channels = x.dims[3];
    int64_t chunk = chunk_pixels(channels), chunks = (pixels + chunk - 1) / chunk;
    int64_t width = channels / groups;
    size_t n_moments = (size_t)(batch * chunks * groups);
    size_t n_rows = 2 * (size_t)channels * (size_t)(cpu->threads > batch ? cpu->threads : batch);
    char *work = cpu_work(cpu, n_moments * sizeof(struct moments) + n_rows * sizeof(float));
    if (!work)
        return;
    struct moments *moments = (struct moments *)work;
    float *rows = (float *)(work + n_moments * sizeof(struct moments));
    bool is_large = tensor_elements(x) > WALK_PIECE;
    int64_t pixel_bytes = channels * (int64_t)dtype_bytes(x.dtype);
#pragma omp parallel for num_threads(cpu->threads) if (is_large) schedule(static)
    for (int64_t t = 0; t < batch * chunks; t++) {
        int64_t first = t % chunks * chunk, n = min_i64(pixels - first, chunk);
        const char *from = (const char *)x.data + (t / chunks * pixels + first) * pixel_bytes;
        chunk_moments(moments + t * groups, groups, from, x.dtype, n, channels,
                      rows + 2 * channels * cpu_thread());
    }
    /* From here on rows hold mean and gain of each channel of each picture. */
    for (int64_t i = 0; i < batch; i++) {
        float *mean = rows + 2 * channels * i, *gain = mean + channels;
        for (int g = 0; g < groups; g++) {
            struct moments all = moments[i * chunks * groups + g];
            for (int64_t t = 1; t < chunks; t++)
                all = moments_join(all, moments[(i * chunks + t) * groups + g]);
            double inverse = 1.0 / sqrt(all.squares / all.n + (double)eps);
            for (int64_t c = g * width; c < (g + 1) * width; c++) {
                mean[c] = (float)all.mean;
                gain[c] = (float)(inverse * (double)((const float *)weight.data)[c]);
            }
        }
    }
#pragma omp parallel for num_threads(cpu->threads) if (is_large) schedule(static)
    for (int64_t t = 0; t < batch * chunks; t++) {
        int64_t i = t / chunks, first = t % chunks * chunk, n = min_i64(pixels - first, chunk);
        int64_t at = (i * pixels + first) * pixel_bytes;
        const float *mean = rows + 2 * channels * i;
        normalise_chunk((char *)out.data + at, (const char *)x.data + at, x.dtype, n, channels,
                        mean, mean + channels, bias.data, act);
    }
}
