/* Attention with heads of 512 on the tensor cores: the one head of the autoencoder's middle block,
 * without bias or causal order. The head is too wide for a warp's registers, so eight warps share a
 * block of queries: each makes the scores of eight keys for half of the queries, and owns 64 of the
 * 512 outputs for all of them. Scores and weights pass through shared memory.
 *
 * Keys and values take turns in one buffer, since two of them with the queries would not fit into
 * the 99 KiB of the smaller devices. */
#include "cuda/attention.cuh"

enum {
    WIDE = 512,
    WIDE_WARPS = 8,
    WIDE_THREADS = 32 * WIDE_WARPS,
    WIDE_QUERIES = 32,
    WIDE_KEYS = 32,
    ROWS_EACH = WIDE_QUERIES / WIDE_WARPS, /* whose softmax a warp carries */
    COLUMNS_EACH = WIDE / WIDE_WARPS,      /* outputs that a warp owns */
    SCORE_PITCH = WIDE_KEYS + 4,
    WEIGHT_PITCH = WIDE_KEYS + 8, /* rows of 80 bytes: eight of them hit all banks */
};

/* scores [queries][keys] = q k^T of this warp's tile: queries warp / 4 * 16, keys warp % 4 * 8. */
DEVICE void wide_scores(float (*scores)[SCORE_PITCH], const __nv_bfloat16 *qs,
                        const __nv_bfloat16 *ks)
{
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const int row = warp / 4 * 16, column = warp % 4 * 8;
    /* Piece c of a row stands at c ^ (lane % 8), whatever the row of this lane. */
    const __nv_bfloat16 *q_row = qs + (row + lane % 16) * WIDE;
    const __nv_bfloat16 *k_row = ks + (column + lane % 8) * WIDE;
    const int swizzle_q = lane / 16 ^ lane % 8, swizzle_k = lane / 8 ^ lane % 8;
    float s[2][4] = {}; /* two sums in turn, so that one product needn't wait for another */
    for (int chunk = 0; chunk < WIDE / RUN; chunk += 4) {
        uint32_t a[2][4], b[4];
        ldmatrix_x4(a[0], q_row + (swizzle_q ^ chunk) * RUN);
        ldmatrix_x4(a[1], q_row + (swizzle_q ^ (chunk + 2)) * RUN);
        ldmatrix_x4(b, k_row + (swizzle_k ^ chunk) * RUN);
        mma_bf16(s[0], a[0], b[0], b[1]);
        mma_bf16(s[1], a[1], b[2], b[3]);
    }
    UNROLL
    for (int half = 0; half < 2; half++) {
        UNROLL
        for (int e = 0; e < 2; e++)
            scores[row + lane / 4 + half * 8][column + lane % 4 * 2 + e] =
                s[0][2 * half + e] + s[1][2 * half + e];
    }
}

/* 32 queries per block (grid: query blocks, heads, batch), 32 keys at a time. Bound: shared memory,
 * about two reads by ldmatrix for two mma, and the way of the keys, which nothing hides: registers
 * allow one block of eight warps a processor. Expected at a fifth of the tensor rate, which is
 * enough for a twentieth of the decoder. Shared memory: 64 KiB and 7 KiB. Needs windows in aligned
 * runs of 8. Speed: not measured on hardware. */
__global__ void __launch_bounds__(WIDE_THREADS) attention_wide_kernel(struct attention p)
{
    SHARED_DYN(__nv_bfloat16, qs);
    SHARED(float, scores, [WIDE_QUERIES][SCORE_PITCH]);
    SHARED(__nv_bfloat16, weights, [WIDE_QUERIES][WEIGHT_PITCH]);
    SHARED(float, decays, [WIDE_QUERIES]);
    __nv_bfloat16 *kvs = qs + WIDE_QUERIES * WIDE;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const int first = (int)blockIdx.x * WIDE_QUERIES, head = (int)blockIdx.y;
    const int batch = (int)blockIdx.z;
    const __nv_bfloat16 *k =
        static_cast<const __nv_bfloat16 *>(p.k) + head_offset(p.k_strides, batch, head);
    const __nv_bfloat16 *v =
        static_cast<const __nv_bfloat16 *>(p.v) + head_offset(p.v_strides, batch, head);
    const float factor = p.scale * 1.44269504f; /* to powers of two */
    float acc[2][COLUMNS_EACH / 8][4] = {};
    float largest[ROWS_EACH], sum[ROWS_EACH];
    UNROLL
    for (int r = 0; r < ROWS_EACH; r++) {
        largest[r] = -INFINITY;
        sum[r] = 0.0f;
    }
    load_rows<WIDE, WIDE_QUERIES, WIDE_THREADS>(
        qs, static_cast<const __nv_bfloat16 *>(p.q) + head_offset(p.q_strides, batch, head),
        (int)p.q_strides[1], first, p.lq);
    for (int k0 = 0; k0 < p.lk; k0 += WIDE_KEYS) {
        load_rows<WIDE, WIDE_KEYS, WIDE_THREADS>(kvs, k, (int)p.k_strides[1], k0, p.lk);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads(); /* the keys are there */
        wide_scores(scores, qs, kvs);
        __syncthreads(); /* all scores are there; values replace the keys */
        load_rows<WIDE, WIDE_KEYS, WIDE_THREADS>(kvs, v, (int)p.v_strides[1], k0, p.lk);
        cp_async_commit();
        UNROLL
        for (int r = 0; r < ROWS_EACH; r++) { /* one key per lane */
            const int row = warp * ROWS_EACH + r;
            const float score = k0 + lane < p.lk ? scores[row][lane] * factor : -INFINITY;
            float m = fmaxf(largest[r], score);
            UNROLL
            for (int step = 16; step > 0; step /= 2)
                m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, step));
            const float weight = fast_exp2(score - m), decay = fast_exp2(largest[r] - m);
            sum[r] = fmaf(sum[r], decay, warp_sum(weight));
            largest[r] = m;
            put(&weights[row][lane], weight);
            if (lane == 0)
                decays[row] = decay;
        }
        cp_async_wait<0>();
        __syncthreads(); /* weights and values are there */
        UNROLL
        for (int i = 0; i < 2; i++) {
            UNROLL
            for (int half = 0; half < 2; half++) {
                const float decay = decays[i * 16 + lane / 4 + half * 8];
                UNROLL
                for (int j = 0; j < COLUMNS_EACH / 8; j++) {
                    acc[i][j][2 * half] *= decay;
                    acc[i][j][2 * half + 1] *= decay;
                }
            }
        }
        UNROLL
        for (int step = 0; step < WIDE_KEYS / 16; step++) {
            uint32_t a[2][4];
            UNROLL
            for (int i = 0; i < 2; i++)
                ldmatrix_x4(a[i], &weights[i * 16 + lane % 16][step * 16 + lane / 16 * 8]);
            UNROLL
            for (int j = 0; j < COLUMNS_EACH / 8; j += 2) {
                uint32_t b[4];
                ldmatrix_x4_trans(b,
                                  kvs + piece_at<WIDE>(step * 16 + lane % 16,
                                                       warp * (COLUMNS_EACH / 8) + j + lane / 16));
                UNROLL
                for (int i = 0; i < 2; i++) {
                    mma_bf16(acc[i][j], a[i], b[0], b[1]);
                    mma_bf16(acc[i][j + 1], a[i], b[2], b[3]);
                }
            }
        }
        __syncthreads(); /* keys replace the values */
    }
    UNROLL
    for (int r = 0; r < ROWS_EACH; r++) {
        if (lane == 0)
            decays[warp * ROWS_EACH + r] = 1.0f / sum[r];
    }
    __syncthreads();
    __nv_bfloat16 *out =
        static_cast<__nv_bfloat16 *>(p.out) + head_offset(p.out_strides, batch, head);
    UNROLL
    for (int i = 0; i < 2; i++) {
        UNROLL
        for (int half = 0; half < 2; half++) {
            const int row = i * 16 + lane / 4 + half * 8;
            const float inverse = decays[row];
            __nv_bfloat16 *to = out + (int64_t)(first + row) * p.out_strides[1] +
                                warp * COLUMNS_EACH + lane % 4 * 2;
            UNROLL
            for (int j = 0; j < COLUMNS_EACH / 8; j++) {
                if (first + row < p.lq)
                    *reinterpret_cast<uint32_t *>(to + j * 8) =
                        bf16_pair(acc[i][j][2 * half] * inverse, acc[i][j][2 * half + 1] * inverse);
            }
        }
    }
}

/* --- launcher ---------------------------------------------------------------------------------*/

static const int WIDE_SHARED_BYTES = (WIDE_QUERIES + WIDE_KEYS) * WIDE * (int)sizeof(__nv_bfloat16);

bool attention_wide_serves(const struct attention *p)
{
    return p->width == WIDE && !p->bias && !p->is_causal;
}

bool attention_wide_open(struct cuda *c)
{
    return cuda_check(c,
                      cudaFuncSetAttribute((const void *)attention_wide_kernel,
                                           cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           WIDE_SHARED_BYTES),
                      "attention: shared memory");
}

void attention_wide_run(struct cuda *c, const struct attention *p, int batch)
{
    const dim3 grid((unsigned)((p->lq + WIDE_QUERIES - 1) / WIDE_QUERIES), (unsigned)p->heads,
                    (unsigned)batch);
    LAUNCH(attention_wide_kernel, grid, WIDE_THREADS, (size_t)WIDE_SHARED_BYTES, c->stream, *p);
}
