/* Normalisations, and the rotation by position that follows that of queries and keys. All are bound
 * by memory: every element is read once and written once, in runs of eight; statistics are f32 over
 * values held in registers, two passes (mean, then squares), joined over the threads by shuffles.
 * Speed: not measured on hardware. */
#include "cuda/common.cuh"

/* --- rows -------------------------------------------------------------------------------------*/

/* A team of threads normalises a row: thread t of it holds runs t, t + TEAM, ... up to ROW_RUNS. */
enum { ROW_RUNS = 4, ROW_THREADS = 256 };

struct norm_rows {
    int64_t rows, length; /* length: rows that share scale and shift, or an angle */
    int64_t tokens;       /* of a picture, with a row of angles each */
    int width;
    int64_t dims[2];                      /* of the row's count: (i0, i1, i2), the inner two */
    int64_t x_strides[3], out_strides[3]; /* in elements */
    int64_t scale_stride, shift_stride;
    float eps;
    bool is_aligned; /* x and out in pieces of 16 bytes */
    bool has_aligned_vectors, has_aligned_scale;
};

DEVICE int64_t row_offset(const struct norm_rows &p, const int64_t (&strides)[3], int64_t row)
{
    const int64_t t = row / p.dims[1];
    return t / p.dims[0] * strides[0] + t % p.dims[0] * strides[1] + row % p.dims[1] * strides[2];
}

/* (x0, x1) -> (x0 c - x1 s, x1 c + x0 s) for the first `left` of a run; angles of its first pair.
 */
DEVICE void rotate_run(float (&v)[RUN], int left, const float *cosine, const float *sine)
{
    UNROLL
    for (int k = 0; k < RUN / 2; k++) {
        const bool is_pair = 2 * k < left;
        const float c = is_pair ? cosine[k] : 0.0f, s = is_pair ? sine[k] : 0.0f;
        const float x0 = v[2 * k], x1 = v[2 * k + 1];
        v[2 * k] = x0 * c - x1 * s;
        v[2 * k + 1] = x1 * c + x0 * s;
    }
}

/* out = (x - mean) / sqrt(var + eps), or x / sqrt(mean(x^2) + eps) when IS_RMS; then * weight
 * + bias, then * (1 + scale) + shift, then (IS_RMS, rounded to T before) rotated, as far as they
 * are given. TEAM threads per row, 256 / TEAM rows per block; width <= TEAM * 32. */
template <class T, int TEAM, bool IS_RMS>
__global__ void __launch_bounds__(ROW_THREADS, 2)
    row_norm_kernel(struct norm_rows p, T *out, const T *x, const float *__restrict__ weight,
                    const float *__restrict__ bias, const T *__restrict__ scale,
                    const T *__restrict__ shift, const float *__restrict__ cosine,
                    const float *__restrict__ sine)
{
    SHARED(float, partial, [2][32]);
    const int tid = (int)threadIdx.x % TEAM, rows_each = ROW_THREADS / TEAM;
    const int64_t row = (int64_t)blockIdx.x * rows_each + (int)threadIdx.x / TEAM;
    const bool is_row = row < p.rows; /* a warp of the last block may have none */
    const T *from = is_row ? x + row_offset(p, p.x_strides, row) : x;
    float v[ROW_RUNS][RUN];
    float sum = 0.0f, squares = 0.0f;
    UNROLL
    for (int r = 0; r < ROW_RUNS; r++) {
        const int d = (r * TEAM + tid) * RUN;
        if (is_row && d < p.width)
            load_some(v[r], from + d, p.width - d, p.is_aligned);
        UNROLL
        for (int i = 0; i < RUN; i++) {
            v[r][i] = is_row && d + i < p.width ? v[r][i] : 0.0f;
            sum += v[r][i];
        }
    }
    const float mean = IS_RMS ? 0.0f : block_sum<TEAM>(sum, partial[0]) / (float)p.width;
    UNROLL
    for (int r = 0; r < ROW_RUNS; r++) {
        UNROLL
        for (int i = 0; i < RUN; i++) {
            const float difference = (r * TEAM + tid) * RUN + i < p.width ? v[r][i] - mean : 0.0f;
            squares = fmaf(difference, difference, squares);
        }
    }
    const float variance = block_sum<TEAM>(squares, partial[1]) / (float)p.width;
    const float inverse = 1.0f / sqrtf(variance + p.eps);
    if (!is_row)
        return;
    T *to = out + row_offset(p, p.out_strides, row);
    const int64_t image = row / p.length;
    UNROLL
    for (int r = 0; r < ROW_RUNS; r++) {
        const int d = (r * TEAM + tid) * RUN, left = p.width - d;
        if (left <= 0)
            continue;
        float f[RUN];
        UNROLL
        for (int i = 0; i < RUN; i++)
            v[r][i] = (v[r][i] - mean) * inverse;
        if (weight) {
            load_some(f, weight + d, left, p.has_aligned_vectors);
            UNROLL
            for (int i = 0; i < RUN; i++)
                v[r][i] *= f[i];
        }
        if (bias) {
            load_some(f, bias + d, left, p.has_aligned_vectors);
            UNROLL
            for (int i = 0; i < RUN; i++)
                v[r][i] += f[i];
        }
        if (scale) {
            float g[RUN];
            load_some(f, scale + image * p.scale_stride + d, left, p.has_aligned_scale);
            load_some(g, shift + image * p.shift_stride + d, left, p.has_aligned_scale);
            UNROLL
            for (int i = 0; i < RUN; i++)
                v[r][i] = v[r][i] * (1.0f + f[i]) + g[i];
        }
        if (IS_RMS && cosine) {
            const int64_t angle = image % p.tokens * (p.width / 2) + d / 2;
            UNROLL
            for (int i = 0; i < RUN; i++)
                v[r][i] = rounded(v[r][i], to);
            rotate_run(v[r], left, cosine + angle, sine + angle);
        }
        store_some(to + d, v[r], left, p.is_aligned);
    }
}

/* --- groups of channels -----------------------------------------------------------------------*/

/* n values with their mean and sum of squared differences; two joined by Chan, Golub and LeVeque
 * 1979. */
struct moments {
    float mean, squares;
};

struct group_norm {
    int64_t pixels; /* of a picture */
    int channels, groups, chunk, chunks;
    float eps;
};

/* Moments of one channel over one chunk of pixels; a warp per 32 channels side by side, the eight
 * warps of a block share the chunk's pixels. Sums are of differences from the chunk's first pixel,
 * so that a large mean costs nothing.   grid: channels / 32, chunks, pictures */
template <class T>
__global__ void __launch_bounds__(ROW_THREADS)
    channel_moments_kernel(struct group_norm p, struct moments *__restrict__ out,
                           const T *__restrict__ x)
{
    enum { WARPS = ROW_THREADS / 32 };
    SHARED(float, sums, [2][WARPS][32]);
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const int c = (int)blockIdx.x * 32 + lane;
    const int64_t first = (int64_t)blockIdx.y * p.chunk;
    const int64_t left = p.pixels - first;
    const int n = left < p.chunk ? (int)left : p.chunk;
    const bool is_channel = c < p.channels;
    const T *from = x + ((int64_t)blockIdx.z * p.pixels + first) * p.channels + c;
    const float pivot = is_channel ? get(from) : 0.0f;
    float sum = 0.0f, squares = 0.0f;
    for (int i = warp; is_channel && i < n; i += WARPS) {
        const float d = get(from + (int64_t)i * p.channels) - pivot;
        sum += d;
        squares = fmaf(d, d, squares);
    }
    sums[0][warp][lane] = sum;
    sums[1][warp][lane] = squares;
    __syncthreads();
    if (warp > 0 || !is_channel)
        return;
    UNROLL
    for (int i = 1; i < WARPS; i++) {
        sum += sums[0][i][lane];
        squares += sums[1][i][lane];
    }
    const float mean = sum / (float)n;
    struct moments m = {pivot + mean, fmaxf(squares - sum * mean, 0.0f)};
    out[((int64_t)blockIdx.z * p.chunks + blockIdx.y) * p.channels + c] = m;
}

/* Joins the moments of a group's channels and chunks, in double since there are few, and turns
 * them into mean and gain (weight / sqrt(var + eps)) of each channel. One warp per group.
 *   table [B, C, 2]   grid: groups, pictures */
__global__ void __launch_bounds__(32)
    group_table_kernel(struct group_norm p, float2 *__restrict__ table,
                       const struct moments *__restrict__ in, const float *__restrict__ weight)
{
    const int lane = (int)threadIdx.x, width = p.channels / p.groups;
    const int first = (int)blockIdx.x * width, parts = width * p.chunks;
    double n = 0.0, mean = 0.0, squares = 0.0;
    for (int i = lane; i < parts; i += 32) {
        const int t = i / width, c = first + i % width;
        const int64_t left = p.pixels - (int64_t)t * p.chunk;
        const double m = left < p.chunk ? (double)left : (double)p.chunk;
        const struct moments part = in[((int64_t)blockIdx.y * p.chunks + t) * p.channels + c];
        const double all = n + m, delta = (double)part.mean - mean;
        mean += delta * m / all;
        squares += (double)part.squares + delta * delta * n * m / all;
        n = all;
    }
    UNROLL
    for (int step = 16; step > 0; step /= 2) {
        const double m = __shfl_xor_sync(0xffffffffu, n, step);
        const double other = __shfl_xor_sync(0xffffffffu, mean, step);
        const double their = __shfl_xor_sync(0xffffffffu, squares, step);
        const double all = n + m > 0.0 ? n + m : 1.0, delta = other - mean;
        /* the same sum on both sides, so that all lanes agree to the bit or nearly */
        mean = (mean * n + other * m) / all;
        squares += their + delta * delta * n * m / all;
        n += m;
    }
    const double inverse = 1.0 / sqrt(squares / n + (double)p.eps);
    for (int i = lane; i < width; i += 32)
        table[(int64_t)blockIdx.y * p.channels + first + i] =
            make_float2((float)mean, (float)(inverse * (double)weight[first + i]));
}

/* out = (x - mean) gain + bias, activated; one run of channels of a pixel per thread. */
template <class T>
__global__ void __launch_bounds__(ROW_THREADS)
    group_apply_kernel(struct group_norm p, T *out, const T *x, const float2 *__restrict__ table,
                       const float *__restrict__ bias, int64_t runs, bool is_silu, bool is_aligned)
{
    const int64_t i = (int64_t)blockIdx.x * ROW_THREADS + threadIdx.x;
    const int runs_per_pixel = (p.channels + RUN - 1) / RUN;
    if (i >= runs)
        return;
    const int64_t pixel = i / runs_per_pixel;
    const int c = (int)(i - pixel * runs_per_pixel) * RUN, left = p.channels - c;
    const float2 *gains = table + pixel / p.pixels * p.channels + c;
    float v[RUN];
    load_some(v, x + pixel * p.channels + c, left, is_aligned);
    UNROLL
    for (int e = 0; e < RUN; e++) {
        if (e >= left)
            continue;
        const float2 g = gains[e];
        const float y = (v[e] - g.x) * g.y + bias[c + e];
        v[e] = is_silu ? y * sigmoid(y) : y;
    }
    store_some(out + pixel * p.channels + c, v, left, is_aligned);
}

/* --- launchers --------------------------------------------------------------------------------*/

static bool is_at_16(const void *p) { return (uintptr_t)p % 16 == 0; }

/* The leading axes (0 to 3) of a window as three strides. */
static void set_strides(int64_t (&strides)[3], struct tensor t)
{
    for (int i = 0; i < 3; i++) {
        const int a = t.rank - 4 + i;
        strides[i] = a >= 0 ? t.strides[a] : 0;
    }
}

static struct norm_rows norm_rows_of(struct tensor out, struct tensor x, float eps)
{
    struct norm_rows p = {};
    p.width = (int)x.dims[x.rank - 1];
    p.rows = tensor_elements(x) / p.width;
    p.length = p.rows > 0 ? p.rows : 1;
    p.dims[0] = x.rank >= 3 ? x.dims[x.rank - 3] : 1;
    p.dims[1] = x.rank >= 2 ? x.dims[x.rank - 2] : 1;
    set_strides(p.x_strides, x);
    set_strides(p.out_strides, out);
    p.eps = eps;
    p.is_aligned = is_at_16(x.data) && is_at_16(out.data);
    for (int i = 0; i < 3; i++)
        p.is_aligned = p.is_aligned && p.x_strides[i] % RUN == 0 && p.out_strides[i] % RUN == 0;
    return p;
}

/* What follows a row's normalisation; any may be absent. */
struct norm_vectors {
    const void *weight, *bias, *scale, *shift, *cosine, *sine;
};

template <class T, int TEAM, bool IS_RMS>
static void launch_rows(struct cuda *c, const struct norm_rows &p, void *out, const void *x,
                        const struct norm_vectors &v)
{
    const int rows_each = ROW_THREADS / TEAM;
    const unsigned blocks = (unsigned)((p.rows + rows_each - 1) / rows_each);
    LAUNCH((row_norm_kernel<T, TEAM, IS_RMS>), blocks, ROW_THREADS, 0, c->stream, p, (T *)out,
           (const T *)x, (const float *)v.weight, (const float *)v.bias, (const T *)v.scale,
           (const T *)v.shift, (const float *)v.cosine, (const float *)v.sine);
}

/* A warp per row up to 1024 elements, which covers the heads; a block for the model's width. */
template <class T, bool IS_RMS>
static void run_rows(struct cuda *c, const struct norm_rows &p, void *out, const void *x,
                     const struct norm_vectors &v)
{
    enum { EACH = ROW_RUNS * RUN };
    if (p.width <= 32 * EACH)
        launch_rows<T, 32, IS_RMS>(c, p, out, x, v);
    else if (p.width <= ROW_THREADS * EACH)
        launch_rows<T, ROW_THREADS, IS_RMS>(c, p, out, x, v);
    else
        fail(&c->backend.fault, ERR_INVALID, "norm of rows of %d: at most %d on CUDA", p.width,
             ROW_THREADS * EACH);
}

void cuda_layer_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                     struct tensor bias, struct tensor scale, struct tensor shift, float eps)
{
    struct cuda *c = cuda_use(b);
    struct norm_rows p = norm_rows_of(out, x, eps);
    const struct norm_vectors v = {weight.data, bias.data, scale.data, shift.data, NULL, NULL};
    if (p.rows == 0)
        return;
    p.length = x.dims[1];
    p.has_aligned_vectors = is_at_16(weight.data) && is_at_16(bias.data);
    p.scale_stride = scale.strides[0];
    p.shift_stride = shift.strides[0];
    p.has_aligned_scale = is_at_16(scale.data) && is_at_16(shift.data) &&
                          p.scale_stride % RUN == 0 && p.shift_stride % RUN == 0;
    if (x.dtype == DTYPE_BF16)
        run_rows<__nv_bfloat16, false>(c, p, out.data, x.data, v);
    else
        run_rows<float, false>(c, p, out.data, x.data, v);
    cuda_launched(c, "layer_norm");
}

static void run_rms(struct cuda *c, struct norm_rows p, struct tensor out, struct tensor x,
                    const struct norm_vectors &v)
{
    if (p.rows == 0)
        return;
    p.has_aligned_vectors = is_at_16(v.weight);
    if (x.dtype == DTYPE_BF16)
        run_rows<__nv_bfloat16, true>(c, p, out.data, x.data, v);
    else
        run_rows<float, true>(c, p, out.data, x.data, v);
    cuda_launched(c, "rms_norm");
}

void cuda_rms_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                   float eps)
{
    const struct norm_vectors v = {weight.data, NULL, NULL, NULL, NULL, NULL};
    run_rms(cuda_use(b), norm_rows_of(out, x, eps), out, x, v);
}

void cuda_rms_norm_rope(struct backend *b, struct tensor x, struct tensor weight, float eps,
                        struct tensor cos, struct tensor sin)
{
    const struct norm_vectors v = {weight.data, NULL, NULL, NULL, cos.data, sin.data};
    struct norm_rows p = norm_rows_of(x, x, eps);
    p.length = x.dims[2];
    p.tokens = x.dims[1];
    run_rms(cuda_use(b), p, x, x, v);
}

/* Pixels of a chunk: short sums are exact ones, but there must not be too many parts to join. */
static int choose_chunk(int64_t pixels)
{
    const int64_t even = (pixels + 255) / 256;
    return even < 256 ? 256 : (int)even;
}

template <class T>
static void run_group_norm(struct cuda *c, const struct group_norm &p, int pictures, void *work,
                           struct tensor out, struct tensor x, const float *weight,
                           const float *bias, bool is_silu)
{
    float2 *table = (float2 *)work;
    struct moments *parts = (struct moments *)(table + (int64_t)pictures * p.channels);
    const int64_t runs = pictures * p.pixels * ((p.channels + RUN - 1) / RUN);
    const bool is_aligned = p.channels % RUN == 0 && is_at_16(x.data) && is_at_16(out.data);
    LAUNCH(channel_moments_kernel<T>,
           dim3((unsigned)(p.channels + 31) / 32, (unsigned)p.chunks, (unsigned)pictures),
           ROW_THREADS, 0, c->stream, p, parts, (const T *)x.data);
    LAUNCH(group_table_kernel, dim3((unsigned)p.groups, (unsigned)pictures), 32, 0, c->stream, p,
           table, parts, weight);
    LAUNCH(group_apply_kernel<T>, (unsigned)((runs + ROW_THREADS - 1) / ROW_THREADS), ROW_THREADS,
           0, c->stream, p, (T *)out.data, (const T *)x.data, table, bias, runs, is_silu,
           is_aligned);
}

void cuda_group_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                     struct tensor bias, int groups, float eps, enum activation act)
{
    struct cuda *c = cuda_use(b);
    struct group_norm p = {};
    const int pictures = (int)x.dims[0];
    p.pixels = x.dims[1] * x.dims[2];
    p.channels = (int)x.dims[3];
    p.groups = groups;
    p.chunk = choose_chunk(p.pixels);
    p.chunks = (int)((p.pixels + p.chunk - 1) / p.chunk);
    p.eps = eps;
    if (tensor_elements(x) == 0)
        return;
    const size_t entries = (size_t)pictures * (size_t)p.channels;
    void *work =
        cuda_work(c, entries * (sizeof(float2) + (size_t)p.chunks * sizeof(struct moments)));
    if (!work)
        return;
    if (x.dtype == DTYPE_BF16)
        run_group_norm<__nv_bfloat16>(c, p, pictures, work, out, x, (const float *)weight.data,
                                      (const float *)bias.data, act == ACT_SILU);
    else
        run_group_norm<float>(c, p, pictures, work, out, x, (const float *)weight.data,
                              (const float *)bias.data, act == ACT_SILU);
    cuda_launched(c, "group_norm");
}
