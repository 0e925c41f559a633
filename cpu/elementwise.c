/* Element-wise operations, embedding lookup, copies, pixels. All are bound by memory: each reads
 * its operands once, a block at a time, in f32, whatever the type (cpu/vecmath.h). */
#include "cpu/cpu_internal.h"
#include "cpu/isa.h"
#include "cpu/vecmath.h"
#include "cpu/walk.h"

/* n <= BLOCK elements with a stride as floats. */
static const float *read_strided(float *buffer, struct tensor t, int64_t offset, int64_t step,
                                 int64_t n)
{
    const void *from = tensor_element(t, offset);
    if (step == 1)
        return block_read(buffer, from, t.dtype, n);
    if (t.dtype == DTYPE_F32) {
        const float *f = from;
        for (int64_t i = 0; i < n; i++)
            buffer[i] = f[i * step];
        return buffer;
    }
    const uint16_t *h = from;
    for (int64_t i = 0; i < n; i++)
        buffer[i] = t.dtype == DTYPE_BF16 ? bf16_to_float(h[i * step]) : half_widen(h[i * step]);
    return buffer;
}

static void write_strided(struct tensor t, int64_t offset, int64_t step, const float *block,
                          int64_t n)
{
    void *to = tensor_element(t, offset);
    if (step == 1) {
        narrow_block(to, t.dtype, block, n);
        return;
    }
    if (t.dtype == DTYPE_F32) {
        float *f = to;
        for (int64_t i = 0; i < n; i++)
            f[i * step] = block[i];
        return;
    }
    uint16_t *h = to;
    for (int64_t i = 0; i < n; i++)
        h[i * step] = t.dtype == DTYPE_BF16 ? bf16_from_float(block[i]) : f16_from_float(block[i]);
}

/* What is done to a block: x and y are inputs, out is written; a and c are scalars. */
typedef void (*block_fn)(float *out, const float *x, const float *y, int64_t n, float a, float c);

/* Run f over windows[0] = f(windows[1], windows[2]); with two windows y is the old output. */
static void each_block(const struct cpu *cpu, int n_windows, const struct tensor *windows,
                       block_fn f, float a, float c)
{
    struct walk w = walk_begin(n_windows, windows);
    struct tensor out = windows[0], x = windows[1];
    struct tensor y = n_windows > 2 ? windows[2] : out;
#pragma omp parallel for num_threads(cpu->threads) if (w.pieces > 1) schedule(static)
    for (int64_t piece = 0; piece < w.pieces; piece++) {
        int64_t at[WALK_MAX];
        int64_t left = walk_piece(&w, piece, at);
        int64_t at_y = n_windows > 2 ? at[2] : at[0];
        int64_t step_y = n_windows > 2 ? w.steps[2] : w.steps[0];
        float xs[BLOCK], ys[BLOCK], results[BLOCK];
        for (; left > 0; left -= BLOCK) {
            int64_t n = left < BLOCK ? left : BLOCK;
            const float *xf = read_strided(xs, x, at[1], w.steps[1], n);
            const float *yf = read_strided(ys, y, at_y, step_y, n);
            bool is_direct = out.dtype == DTYPE_F32 && w.steps[0] == 1;
            float *target = is_direct ? tensor_element(out, at[0]) : results;
            f(target, xf, yf, n, a, c);
            if (!is_direct)
                write_strided(out, at[0], w.steps[0], results, n);
            at[0] += n * w.steps[0];
            at[1] += n * w.steps[1];
            at_y += n * step_y;
        }
    }
}

static void add_block(float *out, const float *x, const float *y, int64_t n, float a, float c)
{
    (void)a;
    (void)c;
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] + y[i];
}

static void mul_block(float *out, const float *x, const float *y, int64_t n, float a, float c)
{
    (void)a;
    (void)c;
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] * y[i];
}

static void axpy_block(float *out, const float *x, const float *y, int64_t n, float a, float c)
{
    (void)c;
    for (int64_t i = 0; i < n; i++)
        out[i] = y[i] + a * x[i];
}

static void affine_block(float *out, const float *x, const float *y, int64_t n, float a, float c)
{
    (void)y;
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] * a + c;
}

void KERNEL(add)(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    each_block(cpu_of(b), 3, (struct tensor[]){out, x, y}, add_block, 0, 0);
}

void KERNEL(mul)(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    each_block(cpu_of(b), 3, (struct tensor[]){out, x, y}, mul_block, 0, 0);
}

void KERNEL(axpy)(struct backend *b, struct tensor out, float alpha, struct tensor x)
{
    each_block(cpu_of(b), 2, (struct tensor[]){out, x}, axpy_block, alpha, 0);
}

void KERNEL(affine)(struct backend *b, struct tensor out, struct tensor x, float scale, float shift)
{
    each_block(cpu_of(b), 2, (struct tensor[]){out, x}, affine_block, scale, shift);
}

void KERNEL(activate)(struct backend *b, struct tensor out, struct tensor x, enum activation act)
{
    const struct cpu *cpu = cpu_of(b);
    struct walk w = walk_begin(2, (struct tensor[]){out, x});
#pragma omp parallel for num_threads(cpu->threads) if (w.pieces > 1) schedule(static)
    for (int64_t piece = 0; piece < w.pieces; piece++) {
        int64_t at[WALK_MAX];
        int64_t left = walk_piece(&w, piece, at);
        float xs[BLOCK], results[BLOCK];
        for (; left > 0; left -= BLOCK) {
            int64_t n = left < BLOCK ? left : BLOCK;
            const float *xf = read_strided(xs, x, at[1], w.steps[1], n);
            activate_block(results, xf, n, act);
            write_strided(out, at[0], w.steps[0], results, n);
            at[0] += n * w.steps[0];
            at[1] += n * w.steps[1];
        }
    }
}

void KERNEL(gated_add)(struct backend *b, struct tensor out, struct tensor gate, struct tensor x)
{
    const struct cpu *cpu = cpu_of(b);
    int64_t length = x.dims[1], width = x.dims[2], rows = x.dims[0] * length;
#pragma omp parallel for num_threads(cpu->threads) if (rows * width > WALK_PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        int64_t i = r / length, l = r % length;
        for (int64_t d = 0; d < width; d += BLOCK) {
            int64_t n = width - d < BLOCK ? width - d : BLOCK;
            float outs[BLOCK], xs[BLOCK], gates[BLOCK], results[BLOCK];
            void *to = tensor_element(out, i * out.strides[0] + l * out.strides[1] + d);
            const void *from = tensor_element(x, i * x.strides[0] + l * x.strides[1] + d);
            const float *of = block_read(outs, to, out.dtype, n);
            const float *xf = block_read(xs, from, x.dtype, n);
            const float *gf =
                block_read(gates, tensor_element(gate, i * gate.strides[0] + d), gate.dtype, n);
            float *target = block_target(results, to, out.dtype);
            for (int64_t k = 0; k < n; k++)
                target[k] = of[k] + gf[k] * xf[k];
            block_write(to, out.dtype, target, n);
        }
    }
}

void KERNEL(copy)(struct backend *b, struct tensor out, struct tensor x)
{
    const struct cpu *cpu = cpu_of(b);
    struct walk w = walk_begin(2, (struct tensor[]){out, x});
    bool is_same = out.dtype == x.dtype && w.steps[0] == 1 && w.steps[1] == 1;
    size_t bytes = dtype_bytes(out.dtype);
#pragma omp parallel for num_threads(cpu->threads) if (w.pieces > 1) schedule(static)
    for (int64_t piece = 0; piece < w.pieces; piece++) {
        int64_t at[WALK_MAX];
        int64_t left = walk_piece(&w, piece, at);
        if (is_same) {
            memmove(tensor_element(out, at[0]), tensor_element(x, at[1]), (size_t)left * bytes);
            continue;
        }
        float xs[BLOCK];
        for (; left > 0; left -= BLOCK) {
            int64_t n = left < BLOCK ? left : BLOCK;
            const float *xf = read_strided(xs, x, at[1], w.steps[1], n);
            write_strided(out, at[0], w.steps[0], xf, n);
            at[0] += n * w.steps[0];
            at[1] += n * w.steps[1];
        }
    }
}

void KERNEL(embed)(struct backend *b, struct tensor out, struct tensor table, struct tensor ids)
{
    const struct cpu *cpu = cpu_of(b);
    const int32_t *index = ids.data;
    int64_t width = out.dims[1];
#pragma omp parallel for num_threads(cpu->threads) if (out.dims[0] * width > WALK_PIECE)
    for (int64_t r = 0; r < out.dims[0]; r++) {
        for (int64_t d = 0; d < width; d += BLOCK) {
            int64_t n = width - d < BLOCK ? width - d : BLOCK;
            float row[BLOCK];
            const void *from = tensor_element(table, index[r] * table.strides[0] + d);
            widen_block(row, from, table.dtype, n);
            narrow_block(tensor_element(out, r * out.strides[0] + d), out.dtype, row, n);
        }
    }
}

/* Half-even rounding of 0 .. 255 by adding 1.5 * 2^23, whose last bit counts ones. */
static uint8_t pixel_from(float v)
{
    const float round = 12582912.0f;
    return (uint8_t)((v + round) - round);
}

static float clip_unit(float x)
{
    x = x > 0.0f ? x : 0.0f; /* NaN becomes black */
    return x < 1.0f ? x : 1.0f;
}

void KERNEL(to_rgb8)(struct backend *b, struct tensor out, struct tensor x)
{
    const struct cpu *cpu = cpu_of(b);
    int64_t width = x.dims[1] * 3;
    bool is_bf16 = x.dtype == DTYPE_BF16;
#pragma omp parallel for num_threads(cpu->threads) if (x.dims[0] * width > WALK_PIECE)
    for (int64_t y = 0; y < x.dims[0]; y++) {
        uint8_t *to = (uint8_t *)out.data + y * width;
        for (int64_t d = 0; d < width; d += BLOCK) {
            int64_t n = width - d < BLOCK ? width - d : BLOCK;
            float buffer[BLOCK];
            const float *xf = block_read(buffer, tensor_element(x, y * width + d), x.dtype, n);
            for (int64_t i = 0; i < n; i++) {
                float half = xf[i] * 0.5f;
                half = is_bf16 ? bf16_to_float(bf16_from_float(half)) : half;
                float unit = half + 0.5f;
                unit = is_bf16 ? bf16_to_float(bf16_from_float(unit)) : unit;
                to[d + i] = pixel_from(255.0f * clip_unit(unit));
            }
        }
    }
}
