/* Attention without the matrix of all scores: a block of queries meets the keys in blocks, and
 * the softmax is carried along (Milakov and Gimelshein 2018; Dao et al. 2022).
 *
 * Keys and values of a few heads at a time are first laid out as panels for the matrix product:
 * keys as [Lk / 64][Dh][64] (transposed), values as [Dh / 64][keys][64] for each block of keys,
 * all f32 and padded with zeros. Then every thread takes blocks of queries: scores = q k^T, one
 * step of the softmax, acc = acc decay + p v, and at the end out = acc / sum. */
#include <math.h>
#include <string.h>

#include "cpu/cpu_internal.h"

enum {
    QUERIES = 128, /* rows of a block */
    KEYS = 256, /* columns of a block. A longer sum of p v is less exact: it shows in T5 at 512 */
    TASKS_PER_THREAD = 8,
};

struct attention {
    struct cpu *cpu;
    struct tensor out, q, k, v, bias;
    float scale;
    bool is_causal;
    int64_t keys;  /* Lk rounded up to whole panels */
    int64_t depth; /* Dh rounded up to 16: inputs of q k^T */
    int64_t width; /* Dh rounded up to whole panels: outputs of p v */
    /* Products by [last queries?][last keys?]. */
    const struct gemm_tile *scores[2][2], *values[2][2];
    size_t scratch_bytes;
    float *packed; /* of the heads in work: keys, then values of each */
};

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

static char *row_of(struct tensor t, int64_t batch, int64_t l, int64_t head)
{
    int64_t at = batch * t.strides[0] + l * t.strides[1] + head * t.strides[2];
    return (char *)t.data + at * (int64_t)dtype_bytes(t.dtype);
}

static int64_t head_floats(const struct attention *a) { return a->keys * (a->depth + a->width); }

/* One panel of 64 keys and their values. row: a thread's 64 x depth floats. */
static void pack_keys(const struct attention *a, float *packed, int64_t batch, int64_t head,
                      int64_t first, float *rows)
{
    const struct cpu_kernels *kernels = a->cpu->kernels;
    int64_t lk = a->k.dims[1], dh = a->k.dims[3], count = min_i64(lk - first, CPU_PANEL);
    memset(rows, 0, (size_t)(CPU_PANEL * a->depth) * sizeof(float));
    for (int64_t i = 0; i < count; i++)
        kernels->widen(rows + i * a->depth, row_of(a->k, batch, first + i, head), a->k.dtype, dh);
    kernels->transpose(packed + first * a->depth, rows, CPU_PANEL, a->depth, a->depth,
                       sizeof(float));
    int64_t k0 = first / KEYS * KEYS, block_keys = min_i64(a->keys - k0, KEYS);
    float *values = packed + a->keys * a->depth + k0 * a->width;
    for (int64_t i = 0; i < CPU_PANEL; i++) {
        for (int64_t d = 0; d < a->width; d += CPU_PANEL) {
            float *to = values + d * block_keys + (first - k0 + i) * CPU_PANEL;
            int64_t n = i < count ? min_i64(dh - d, CPU_PANEL) : 0;
            if (n > 0) {
                const char *from = row_of(a->v, batch, first + i, head);
                kernels->widen(to, from + d * (int64_t)dtype_bytes(a->v.dtype), a->v.dtype, n);
            }
            memset(to + n, 0, (size_t)(CPU_PANEL - n) * sizeof(float));
        }
    }
}

/* A thread's buffers, laid out in its part of the work memory. */
struct block {
    float *q, *scores, *tile, *acc, *max, *sum, *decay;
    int64_t *valid;
    char *scratch;
};

static size_t block_bytes(const struct attention *a)
{
    size_t floats = (size_t)(QUERIES * (a->depth + KEYS + 2 * a->width) + 3 * QUERIES);
    return floats * sizeof(float) + QUERIES * sizeof(int64_t) + a->scratch_bytes;
}

static struct block block_at(const struct attention *a, char *memory)
{
    struct block b = {.scratch = memory};
    b.q = (float *)(memory + a->scratch_bytes);
    b.scores = b.q + QUERIES * a->depth;
    b.tile = b.scores + QUERIES * KEYS;
    b.acc = b.tile + QUERIES * a->width;
    b.max = b.acc + QUERIES * a->width;
    b.sum = b.max + QUERIES;
    b.decay = b.sum + QUERIES;
    b.valid = (int64_t *)(b.decay + QUERIES);
    return b;
}

static void block_begin(const struct attention *a, const struct block *b, int64_t batch,
                        int64_t head, int64_t first, int64_t rows)
{
    int64_t dh = a->q.dims[3];
    for (int64_t r = 0; r < rows; r++) {
        float *to = b->q + r * a->depth;
        a->cpu->kernels->widen(to, row_of(a->q, batch, first + r, head), a->q.dtype, dh);
        memset(to + dh, 0, (size_t)(a->depth - dh) * sizeof(float));
        b->max[r] = -INFINITY;
        b->sum[r] = 0.0f;
    }
    memset(b->acc, 0, (size_t)(rows * a->width) * sizeof(float));
}

static void block_end(const struct attention *a, const struct block *b, int64_t batch, int64_t head,
                      int64_t first, int64_t rows)
{
    int64_t dh = a->q.dims[3];
    for (int64_t r = 0; r < rows; r++) {
        float *acc = b->acc + r * a->width, inverse = 1.0f / b->sum[r];
        for (int64_t d = 0; d < dh; d++)
            acc[d] *= inverse;
        a->cpu->kernels->narrow(row_of(a->out, batch, first + r, head), a->out.dtype, acc, dh);
    }
}

/* Queries first .. first + rows of one head, all keys. */
static bool block_run(const struct attention *a, const struct block *b, const float *packed,
                      int64_t batch, int64_t head, int64_t first, int64_t rows)
{
    const struct cpu_kernels *kernels = a->cpu->kernels;
    int64_t lk = a->k.dims[1];
    int64_t limit = a->is_causal ? min_i64(lk, first + rows) : lk;
    const float *values = packed + a->keys * a->depth, *bias = NULL;
    bool is_done = true;
    block_begin(a, b, batch, head, first, rows);
    for (int64_t k0 = 0; k0 < limit; k0 += KEYS) {
        int64_t n = min_i64(a->keys - k0, KEYS);
        bool is_last_q = rows < QUERIES, is_last_k = n < KEYS;
        for (int64_t r = 0; r < rows; r++)
            b->valid[r] = (a->is_causal ? min_i64(lk, first + r + 1) : lk) - k0;
        if (!tensor_is_none(a->bias))
            bias = (const float *)a->bias.data + head * a->bias.strides[0] +
                   first * a->bias.strides[1] + k0 * a->bias.strides[2];
        is_done = gemm_run(a->scores[is_last_q][is_last_k], b->scores, b->q, packed + k0 * a->depth,
                           b->scratch) &&
                  is_done;
        kernels->softmax(b->scores, rows, n, n, b->valid, a->scale, bias, a->bias.strides[1],
                         a->bias.strides[2], b->max, b->sum, b->decay);
        is_done = gemm_run(a->values[is_last_q][is_last_k], b->tile, b->scores,
                           values + k0 * a->width, b->scratch) &&
                  is_done;
        kernels->accumulate(b->acc, b->tile, b->decay, rows, a->width);
    }
    block_end(a, b, batch, head, first, rows);
    return is_done;
}

static bool attention_prepare(struct attention *a)
{
    int64_t last_q = a->q.dims[1] % QUERIES, last_k = a->keys % KEYS;
    int64_t rows[2] = {QUERIES, last_q}, keys[2] = {KEYS, last_k};
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            bool is_needed = (i == 0 ? a->q.dims[1] >= QUERIES : last_q > 0) &&
                             (j == 0 ? a->keys >= KEYS : last_k > 0);
            if (!is_needed)
                continue;
            a->scores[i][j] = gemm_prepare(a->cpu, DTYPE_F32, rows[i], keys[j], a->depth);
            a->values[i][j] = gemm_prepare(a->cpu, DTYPE_F32, rows[i], a->width, keys[j]);
            if (!a->scores[i][j] || !a->values[i][j])
                return false;
            size_t s = gemm_scratch_bytes(a->scores[i][j]);
            size_t v = gemm_scratch_bytes(a->values[i][j]);
            a->scratch_bytes = s > a->scratch_bytes ? s : a->scratch_bytes;
            a->scratch_bytes = v > a->scratch_bytes ? v : a->scratch_bytes;
        }
    }
    a->scratch_bytes = (size_t)round_up((int64_t)a->scratch_bytes, 64);
    return true;
}

/* Heads first .. first + n, counted over the batch: pack, then attend. */
static bool attend_heads(const struct attention *a, int64_t first, int64_t n, char *threads_work,
                         size_t thread_bytes)
{
    int64_t heads = a->q.dims[2], lq = a->q.dims[1];
    int64_t panels = a->keys / CPU_PANEL, blocks = (lq + QUERIES - 1) / QUERIES;
    int team = cpu_team(a->cpu, (double)(n * lq * a->keys) * (double)(a->depth + a->width));
    bool is_done = true;
#pragma omp parallel num_threads(team) reduction(&& : is_done)
    {
        cpu_library_threads(1);
        char *memory = threads_work + (size_t)cpu_thread() * thread_bytes;
        struct block b = block_at(a, memory);
#pragma omp for schedule(static)
        for (int64_t t = 0; t < n * panels; t++) {
            int64_t i = t / panels, h = first + i;
            pack_keys(a, a->packed + i * head_floats(a), h / heads, h % heads,
                      t % panels * CPU_PANEL, b.q);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t t = 0; t < n * blocks; t++) {
            int64_t i = t / blocks, h = first + i, row = t % blocks * QUERIES;
            is_done = block_run(a, &b, a->packed + i * head_floats(a), h / heads, h % heads, row,
                                min_i64(lq - row, QUERIES)) &&
                      is_done;
        }
    }
    return is_done;
}

void cpu_attention(struct backend *backend, struct tensor out, struct tensor q, struct tensor k,
                   struct tensor v, struct tensor bias, float scale, bool is_causal)
{
    struct attention a = {.cpu = cpu_of(backend),
                          .out = out,
                          .q = q,
                          .k = k,
                          .v = v,
                          .bias = bias,
                          .scale = scale,
                          .is_causal = is_causal};
    a.keys = round_up(k.dims[1], CPU_PANEL);
    a.depth = round_up(q.dims[3], 16);
    a.width = round_up(q.dims[3], CPU_PANEL);
    int64_t heads = q.dims[0] * q.dims[2], blocks = (q.dims[1] + QUERIES - 1) / QUERIES;
    if (heads == 0 || blocks == 0 || !attention_prepare(&a))
        return;
    /* As many heads at once as keep all threads busy. */
    int64_t group = (TASKS_PER_THREAD * a.cpu->threads + blocks - 1) / blocks;
    group = min_i64(group, heads);
    size_t packed_bytes = (size_t)(group * head_floats(&a)) * sizeof(float);
    size_t thread_bytes = (size_t)round_up((int64_t)block_bytes(&a), 64);
    char *work = cpu_work(a.cpu, packed_bytes + (size_t)a.cpu->threads * thread_bytes);
    if (!work)
        return;
    a.packed = (float *)work;
    bool is_done = true;
    for (int64_t h = 0; h < heads; h += group)
        is_done =
            attend_heads(&a, h, min_i64(heads - h, group), work + packed_bytes, thread_bytes) &&
            is_done;
    if (!is_done)
        fail(&backend->fault, ERR_INTERNAL, "attention: oneDNN failed");
}
