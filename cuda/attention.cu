/* Attention without the matrix of all scores: a block of queries meets the keys in blocks, and the
 * softmax is carried along (Milakov and Gimelshein 2018; Dao et al. 2022, 2023).
 *
 *     out = softmax(q k^T scale + bias) v      per head, bias any strides, causal or not
 *
 * Two kernels: heads of 64 and 128 in bf16 on the tensor cores, and one for any width and type.
 * Heads of 512 have one of their own (attention_wide.cu). */
#include "cuda/attention.cuh"

/* --- heads of 64 and 128 on tensor cores ------------------------------------------------------*/

enum { FLASH_WARPS = 4, FLASH_THREADS = 32 * FLASH_WARPS };

/* One step of the softmax for a thread's share of one row, which four lanes share: s times factor
 * are scores in powers of two. Turns s into weights; returns what earlier sums are to be multiplied
 * with. */
template <int COLUMNS>
DEVICE float softmax_step(float (&s)[COLUMNS][4], int half, float factor, float &largest,
                          float &sum)
{
    float m = largest;
    UNROLL
    for (int j = 0; j < COLUMNS; j++)
        m = fmaxf(m, fmaxf(s[j][2 * half], s[j][2 * half + 1]));
    m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
    m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2));
    /* A row without any visible key so far: all weights are zero, not NaN. */
    const float shift = m == -INFINITY ? 0.0f : m * factor;
    const float decay = fast_exp2(largest * factor - shift);
    float add = 0.0f;
    UNROLL
    for (int j = 0; j < COLUMNS; j++) {
        UNROLL
        for (int e = 2 * half; e < 2 * half + 2; e++) {
            s[j][e] = fast_exp2(fmaf(s[j][e], factor, -shift));
            add += s[j][e];
        }
    }
    largest = m;
    sum = fmaf(sum, decay, add);
    return decay;
}

/* FLASH_WARPS x TILES x 16 queries per block (grid: query blocks, heads, batch), KEYS keys at a
 * time. A warp owns TILES m-tiles of queries: scores, weights and output stay in its registers,
 * weights go from the accumulator to the operand layout without shared memory. The values of a
 * block travel while its scores are computed, the next keys while values are multiplied.
 *
 * Bound: arithmetic, 4 Lq Lk WIDTH flops a head; beside it one exp2 per score on the special-
 * function units (16 a cycle and processor: at WIDTH 128 two thirds of the tensor time on sm_90).
 * With TILES = 2 a read of shared memory feeds 3.2 mma. Shared memory: (queries + 2 KEYS) WIDTH 2
 * bytes. Needs windows in aligned runs of 8 and scale > 0. Speed: not measured on hardware. */
template <int WIDTH, int TILES, int KEYS, bool HAS_BIAS>
__global__ void __launch_bounds__(FLASH_THREADS, 2) flash_kernel(struct attention p)
{
    enum {
        QUERIES = FLASH_WARPS * TILES * 16,
        STEPS = WIDTH / 16,  /* of q k^T */
        COLUMNS = KEYS / 8,  /* mma tiles of scores */
        OUTPUTS = WIDTH / 8, /* mma tiles of outputs */
        PIECES = WIDTH / RUN,
    };
    SHARED_DYN(__nv_bfloat16, qs);
    __nv_bfloat16 *ks = qs + QUERIES * WIDTH, *vs = ks + KEYS * WIDTH;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const int first = (int)blockIdx.x * QUERIES, head = (int)blockIdx.y, batch = (int)blockIdx.z;
    const int warp_row = warp * TILES * 16;
    /* For ldmatrix: the lane's row within 16, of a and transposed b, and of b; its swizzle, to
     * which the number of the piece is added by xor. All rows of a lane are equal modulo 8. */
    const int row_a = lane % 16 * WIDTH, row_b = (lane / 16 * 8 + lane % 8) * WIDTH;
    const int swizzle_a = lane / 16 ^ lane % 8, swizzle_b = lane / 8 % 2 ^ lane % 8;
    const __nv_bfloat16 *q =
        static_cast<const __nv_bfloat16 *>(p.q) + head_offset(p.q_strides, batch, head);
    const __nv_bfloat16 *k =
        static_cast<const __nv_bfloat16 *>(p.k) + head_offset(p.k_strides, batch, head);
    const __nv_bfloat16 *v =
        static_cast<const __nv_bfloat16 *>(p.v) + head_offset(p.v_strides, batch, head);
    const float log2_e = 1.44269504f;
    const float factor = HAS_BIAS ? 1.0f : p.scale * log2_e;
    const int limit = p.is_causal ? min(p.lk, first + QUERIES) : p.lk;

    load_rows<WIDTH, QUERIES, FLASH_THREADS>(qs, q, p.q_strides[1], first, p.lq);
    load_rows<WIDTH, KEYS, FLASH_THREADS>(ks, k, p.k_strides[1], 0, p.lk);
    cp_async_commit();

    float acc[TILES][OUTPUTS][4] = {};
    float largest[TILES][2], sum[TILES][2];
    UNROLL
    for (int i = 0; i < TILES; i++) {
        largest[i][0] = largest[i][1] = -INFINITY;
        sum[i][0] = sum[i][1] = 0.0f;
    }
    for (int k0 = 0; k0 < limit; k0 += KEYS) {
        cp_async_wait<0>();
        __syncthreads(); /* keys are there; everybody has left the values before */
        load_rows<WIDTH, KEYS, FLASH_THREADS>(vs, v, p.v_strides[1], k0, p.lk);
        cp_async_commit();

        float s[TILES][COLUMNS][4] = {};
        UNROLL
        for (int step = 0; step < STEPS; step++) {
            uint32_t a[TILES][4];
            UNROLL
            for (int i = 0; i < TILES; i++)
                ldmatrix_x4(a[i], qs + (warp_row + i * 16) * WIDTH + row_a +
                                      (swizzle_a ^ step * 2) * RUN);
            UNROLL
            for (int j = 0; j < COLUMNS; j += 2) {
                uint32_t b[4];
                ldmatrix_x4(b, ks + j * 8 * WIDTH + row_b + (swizzle_b ^ step * 2) * RUN);
                UNROLL
                for (int i = 0; i < TILES; i++) {
                    mma_bf16(s[i][j], a[i], b[0], b[1]);
                    mma_bf16(s[i][j + 1], a[i], b[2], b[3]);
                }
            }
        }

        const bool is_edge = k0 + KEYS > p.lk || (p.is_causal && k0 + KEYS > first + warp_row);
        UNROLL
        for (int i = 0; i < TILES; i++) {
            UNROLL
            for (int half = 0; half < 2; half++) {
                const int row = first + warp_row + i * 16 + lane / 4 + half * 8;
                if (HAS_BIAS || is_edge) {
                    const int end = (p.is_causal ? min(p.lk, row + 1) : p.lk) - k0;
                    const int step = HAS_BIAS ? (int)p.bias_strides[2] : 0;
                    const float *bias = HAS_BIAS ? p.bias + head * p.bias_strides[0] +
                                                       min(row, p.lq - 1) * p.bias_strides[1] +
                                                       (int64_t)k0 * step
                                                 : NULL;
                    UNROLL
                    for (int j = 0; j < COLUMNS; j++) {
                        UNROLL
                        for (int e = 0; e < 2; e++) {
                            const int key = j * 8 + lane % 4 * 2 + e;
                            float &score = s[i][j][2 * half + e];
                            if (HAS_BIAS && key < end)
                                score = fmaf(score, p.scale, bias[key * step]) * log2_e;
                            score = key < end ? score : -INFINITY;
                        }
                    }
                }
                const float decay =
                    softmax_step<COLUMNS>(s[i], half, factor, largest[i][half], sum[i][half]);
                if (__any_sync(0xffffffffu, decay != 1.0f)) { /* rare after the first blocks */
                    UNROLL
                    for (int j = 0; j < OUTPUTS; j++) {
                        acc[i][j][2 * half] *= decay;
                        acc[i][j][2 * half + 1] *= decay;
                    }
                }
            }
        }

        cp_async_wait<0>();
        __syncthreads(); /* values are there; everybody has left the keys */
        if (k0 + KEYS < limit)
            load_rows<WIDTH, KEYS, FLASH_THREADS>(ks, k, p.k_strides[1], k0 + KEYS, p.lk);
        cp_async_commit();
        UNROLL
        for (int step = 0; step < KEYS / 16; step++) {
            uint32_t a[TILES][4];
            UNROLL
            for (int i = 0; i < TILES; i++) {
                a[i][0] = bf16_pair(s[i][2 * step][0], s[i][2 * step][1]);
                a[i][1] = bf16_pair(s[i][2 * step][2], s[i][2 * step][3]);
                a[i][2] = bf16_pair(s[i][2 * step + 1][0], s[i][2 * step + 1][1]);
                a[i][3] = bf16_pair(s[i][2 * step + 1][2], s[i][2 * step + 1][3]);
            }
            UNROLL
            for (int j = 0; j < OUTPUTS; j += 2) {
                uint32_t b[4];
                ldmatrix_x4_trans(b, vs + step * 16 * WIDTH + row_a + (swizzle_a ^ j) * RUN);
                UNROLL
                for (int i = 0; i < TILES; i++) {
                    mma_bf16(acc[i][j], a[i], b[0], b[1]);
                    mma_bf16(acc[i][j + 1], a[i], b[2], b[3]);
                }
            }
        }
    }
    cp_async_wait<0>();

    /* The warp's own queries make room for its outputs, which leave in whole rows. */
    __syncwarp();
    UNROLL
    for (int i = 0; i < TILES; i++) {
        UNROLL
        for (int half = 0; half < 2; half++) {
            float total = sum[i][half];
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            const float inverse = 1.0f / total;
            UNROLL
            for (int j = 0; j < OUTPUTS; j++)
                *reinterpret_cast<uint32_t *>(
                    qs + piece_at<WIDTH>(warp_row + i * 16 + lane / 4 + half * 8, j) +
                    lane % 4 * 2) =
                    bf16_pair(acc[i][j][2 * half] * inverse, acc[i][j][2 * half + 1] * inverse);
        }
    }
    __syncwarp();
    __nv_bfloat16 *out =
        static_cast<__nv_bfloat16 *>(p.out) + head_offset(p.out_strides, batch, head);
    for (int at = lane; at < TILES * 16 * PIECES; at += 32) {
        const int row = warp_row + at / PIECES, chunk = at % PIECES;
        if (first + row < p.lq)
            *reinterpret_cast<uint4 *>(out + (int64_t)(first + row) * p.out_strides[1] +
                                       chunk * RUN) =
                *reinterpret_cast<const uint4 *>(qs + piece_at<WIDTH>(row, chunk));
    }
}

/* --- any width and type -----------------------------------------------------------------------*/

enum { ANY_THREADS = 128, ANY_QUERIES = 16, ANY_KEYS = 32, ANY_LANES = 8 };

/* Elements from row to row in shared memory: an odd number of words, or nearly. */
template <class T> static inline __host__ __device__ int any_pitch(int width)
{
    return width + 4 / (int)sizeof(T);
}

template <class T>
DEVICE void any_rows(T *to, const T *from, int64_t stride, int width, int first, int rows, int end)
{
    const int pitch = any_pitch<T>(width);
    for (int i = (int)threadIdx.x; i < rows * width; i += ANY_THREADS) {
        const int row = i / width, d = i % width;
        put(to + row * pitch + d,
            first + row < end ? get(from + (first + row) * stride + d) : 0.0f);
    }
}

/* 16 queries per block (grid: query blocks, heads, batch), eight lanes each; 32 keys at a time.
 * Lane t of a query computes the scores of keys t, t + 8, ... and owns outputs t, t + 8, ... up to
 * EACH of them. Everything is f32 but what lies in memory. Bound: shared memory, two reads per
 * multiply-add; it serves small models, f32 and odd widths. width <= 8 EACH. */
template <class T, int EACH>
__global__ void __launch_bounds__(ANY_THREADS, 2) attention_any_kernel(struct attention p)
{
    SHARED_DYN(T, qs);
    SHARED(float, weights, [ANY_QUERIES][ANY_KEYS + 1]);
    const int pitch = any_pitch<T>(p.width);
    T *kvs = qs + ANY_QUERIES * pitch;
    const int tid = (int)threadIdx.x, row = tid / ANY_LANES, t = tid % ANY_LANES;
    const int first = (int)blockIdx.x * ANY_QUERIES, head = (int)blockIdx.y;
    const int batch = (int)blockIdx.z, query = first + row;
    const T *k = static_cast<const T *>(p.k) + head_offset(p.k_strides, batch, head);
    const T *v = static_cast<const T *>(p.v) + head_offset(p.v_strides, batch, head);
    const int limit = p.is_causal ? min(p.lk, first + ANY_QUERIES) : p.lk;
    const int end = p.is_causal ? min(p.lk, query + 1) : p.lk;
    const float *bias = p.bias ? p.bias + head * p.bias_strides[0] +
                                     (int64_t)min(query, p.lq - 1) * p.bias_strides[1]
                               : NULL;
    float acc[EACH] = {}, largest = -INFINITY, sum = 0.0f;
    any_rows<T>(qs, static_cast<const T *>(p.q) + head_offset(p.q_strides, batch, head),
                p.q_strides[1], p.width, first, ANY_QUERIES, p.lq);
    for (int k0 = 0; k0 < limit; k0 += ANY_KEYS) {
        float s[ANY_KEYS / ANY_LANES], m = largest;
        any_rows<T>(kvs, k, p.k_strides[1], p.width, k0, ANY_KEYS, p.lk);
        __syncthreads();
        UNROLL
        for (int j = 0; j < ANY_KEYS / ANY_LANES; j++) {
            const int key = k0 + j * ANY_LANES + t;
            const T *q_row = qs + row * pitch, *k_row = kvs + (j * ANY_LANES + t) * pitch;
            float dot = 0.0f;
            for (int d = 0; d < p.width; d++)
                dot = fmaf(get(q_row + d), get(k_row + d), dot);
            s[j] = -INFINITY;
            if (key < end)
                s[j] = dot * p.scale + (bias ? bias[key * p.bias_strides[2]] : 0.0f);
            m = fmaxf(m, s[j]);
        }
        UNROLL
        for (int step = 1; step < ANY_LANES; step *= 2)
            m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, step));
        const float shift = m == -INFINITY ? 0.0f : m;
        const float decay = expf(largest - shift);
        float add = 0.0f;
        UNROLL
        for (int j = 0; j < ANY_KEYS / ANY_LANES; j++) {
            s[j] = expf(s[j] - shift);
            add += s[j];
            weights[row][j * ANY_LANES + t] = s[j];
        }
        sum = fmaf(sum, decay, add);
        largest = m;
        __syncthreads(); /* keys make room for values; the weights are there */
        any_rows<T>(kvs, v, p.v_strides[1], p.width, k0, ANY_KEYS, p.lk);
        __syncthreads();
        UNROLL
        for (int e = 0; e < EACH; e++)
            acc[e] *= decay;
        for (int j = 0; j < ANY_KEYS; j++) {
            const float weight = weights[row][j];
            UNROLL
            for (int e = 0; e < EACH; e++) {
                const int d = e * ANY_LANES + t;
                if (d < p.width)
                    acc[e] = fmaf(weight, get(kvs + j * pitch + d), acc[e]);
            }
        }
        __syncthreads(); /* values make room for the next keys */
    }
    UNROLL
    for (int step = 1; step < ANY_LANES; step *= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (query >= p.lq)
        return;
    T *out = static_cast<T *>(p.out) + head_offset(p.out_strides, batch, head) +
             query * p.out_strides[1];
    const float inverse = 1.0f / sum;
    UNROLL
    for (int e = 0; e < EACH; e++) {
        if (e * ANY_LANES + t < p.width)
            put(out + e * ANY_LANES + t, acc[e] * inverse);
    }
}

/* --- launchers --------------------------------------------------------------------------------*/

typedef void (*attention_fn)(struct attention p);

/* What the tensor-core kernel is built for. Two tiles a warp read shared memory half as often; with
 * heads of 128 that leaves registers for the scores of 48 keys only. */
static const struct {
    int width, tiles, keys;
    bool has_bias;
    attention_fn kernel;
} FLASH_KERNELS[] = {
    {64, 2, 64, false, flash_kernel<64, 2, 64, false>},
    {64, 1, 64, false, flash_kernel<64, 1, 64, false>},
    {64, 1, 64, true, flash_kernel<64, 1, 64, true>},
    {128, 2, 48, false, flash_kernel<128, 2, 48, false>},
    {128, 1, 64, false, flash_kernel<128, 1, 64, false>},
    {128, 1, 32, true, flash_kernel<128, 1, 32, true>},
};

enum { N_FLASH = sizeof FLASH_KERNELS / sizeof FLASH_KERNELS[0], N_ANY = 4, MAX_WIDTH = 512 };

/* By [f32, bf16][columns per lane]. */
static const struct {
    int width;
    attention_fn kernels[2];
} ANY_KERNELS[N_ANY] = {
    {16, {attention_any_kernel<float, 2>, attention_any_kernel<__nv_bfloat16, 2>}},
    {64, {attention_any_kernel<float, 8>, attention_any_kernel<__nv_bfloat16, 8>}},
    {128, {attention_any_kernel<float, 16>, attention_any_kernel<__nv_bfloat16, 16>}},
    {MAX_WIDTH, {attention_any_kernel<float, 64>, attention_any_kernel<__nv_bfloat16, 64>}},
};

static int flash_queries(int i) { return FLASH_WARPS * FLASH_KERNELS[i].tiles * 16; }

static int flash_shared_bytes(int i)
{
    return (flash_queries(i) + 2 * FLASH_KERNELS[i].keys) * FLASH_KERNELS[i].width *
           (int)sizeof(__nv_bfloat16);
}

static int any_shared_bytes(int width, bool is_bf16)
{
    return (ANY_QUERIES + ANY_KEYS) *
           (is_bf16 ? any_pitch<__nv_bfloat16>(width) * 2 : any_pitch<float>(width) * 4);
}

static bool allow_shared(struct cuda *c, attention_fn kernel, int bytes)
{
    return cuda_check(c,
                      cudaFuncSetAttribute((const void *)kernel,
                                           cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
                      "attention: shared memory");
}

bool cuda_attention_open(struct cuda *c)
{
    bool is_done = attention_wide_open(c);
    for (int i = 0; i < N_FLASH; i++)
        is_done = is_done && allow_shared(c, FLASH_KERNELS[i].kernel, flash_shared_bytes(i));
    for (int i = 0; i < 2 * N_ANY; i++)
        is_done = is_done && allow_shared(c, ANY_KERNELS[i / 2].kernels[i % 2],
                                          any_shared_bytes(ANY_KERNELS[i / 2].width, i % 2));
    return is_done;
}

/* Runs of eight at 16 bytes, the rows of a head (and a block more) counted in 31 bits? */
static bool is_fit_window(struct tensor t)
{
    const int64_t reach = (t.dims[1] + 128) * t.strides[1];
    return reach < INT32_MAX && reach > -INT32_MAX && (uintptr_t)t.data % 16 == 0 &&
           t.strides[0] % RUN == 0 && t.strides[1] % RUN == 0 && t.strides[2] % RUN == 0;
}

/* Are 64 keys of a bias, with the stride between them, counted in 31 bits? */
static bool has_near_bias(struct tensor bias)
{
    return bias.strides[2] < 1 << 24 && bias.strides[2] > -(1 << 24);
}

static void set_strides(int64_t (&strides)[3], struct tensor t)
{
    for (int i = 0; i < 3; i++)
        strides[i] = t.strides[i];
}

/* The first kernel that serves; two tiles only where one block for each of them keeps all
 * processors busy, two blocks on each. N_FLASH: none. */
static int choose_flash(const struct cuda *c, const struct attention *p, int batch)
{
    int i = 0;
    for (; i < N_FLASH; i++) {
        const int queries = flash_queries(i);
        const int64_t blocks = (int64_t)((p->lq + queries - 1) / queries) * p->heads * batch;
        if (FLASH_KERNELS[i].width == p->width && FLASH_KERNELS[i].has_bias == (p->bias != NULL) &&
            (FLASH_KERNELS[i].tiles == 1 || blocks >= 2 * c->processors))
            break;
    }
    return i;
}

static void run_flash(struct cuda *c, const struct attention *p, int i, int batch)
{
    const int queries = flash_queries(i);
    const attention_fn kernel = FLASH_KERNELS[i].kernel;
    const dim3 grid((unsigned)((p->lq + queries - 1) / queries), (unsigned)p->heads,
                    (unsigned)batch);
    LAUNCH(kernel, grid, FLASH_THREADS, (size_t)flash_shared_bytes(i), c->stream, *p);
}

static void run_any(struct cuda *c, const struct attention *p, int batch, bool is_bf16)
{
    int i = 0;
    while (i < N_ANY && ANY_KERNELS[i].width < p->width)
        i++;
    if (i == N_ANY) {
        fail(&c->backend.fault, ERR_INVALID, "attention with heads of %d: at most %d on CUDA",
             p->width, MAX_WIDTH);
        return;
    }
    const attention_fn kernel = ANY_KERNELS[i].kernels[is_bf16];
    const dim3 grid((unsigned)((p->lq + ANY_QUERIES - 1) / ANY_QUERIES), (unsigned)p->heads,
                    (unsigned)batch);
    LAUNCH(kernel, grid, ANY_THREADS, (size_t)any_shared_bytes(p->width, is_bf16), c->stream, *p);
}

void cuda_attention_own(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                        struct tensor v, struct tensor bias, float scale, bool is_causal)
{
    struct cuda *c = cuda_use(b);
    struct attention p = {};
    if (tensor_elements(q) == 0)
        return;
    p.q = q.data;
    p.k = k.data;
    p.v = v.data;
    p.out = out.data;
    p.bias = static_cast<const float *>(bias.data);
    set_strides(p.q_strides, q);
    set_strides(p.k_strides, k);
    set_strides(p.v_strides, v);
    set_strides(p.out_strides, out);
    set_strides(p.bias_strides, bias);
    p.heads = (int)q.dims[2];
    p.lq = (int)q.dims[1];
    p.lk = (int)k.dims[1];
    p.width = (int)q.dims[3];
    p.scale = scale;
    p.is_causal = is_causal;
    const int batch = (int)q.dims[0], i = choose_flash(c, &p, batch);
    const bool is_fit = q.dtype == DTYPE_BF16 && scale > 0.0f && has_near_bias(bias) &&
                        is_fit_window(q) && is_fit_window(k) && is_fit_window(v) &&
                        is_fit_window(out);
    if (is_fit && i < N_FLASH)
        run_flash(c, &p, i, batch);
    else if (is_fit && attention_wide_serves(&p))
        attention_wide_run(c, &p, batch);
    else
        run_any(c, &p, batch, q.dtype == DTYPE_BF16);
    cuda_launched(c, "attention");
}
