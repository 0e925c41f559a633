/* What the attention kernels share: the call's description, and rows of heads in shared memory. */
#pragma once

#include "cuda/common.cuh"

struct attention {
    const void *q, *k, *v;
    void *out;
    const float *bias;                                                /* or NULL */
    int64_t q_strides[3], k_strides[3], v_strides[3], out_strides[3]; /* of B, L, H */
    int64_t bias_strides[3];                                          /* of H, Lq, Lk */
    int heads, lq, lk, width;
    float scale;
    bool is_causal;
};

DEVICE int64_t head_offset(const int64_t (&strides)[3], int batch, int head)
{
    return batch * strides[0] + head * strides[2];
}

/* Rows of WIDTH elements in shared memory: piece c of row r stands at c ^ (r % 8), so that the
 * eight rows that ldmatrix reads at once hit all banks. */
template <int WIDTH> DEVICE int piece_at(int row, int chunk)
{
    return row * WIDTH + (chunk ^ (row % 8)) * RUN;
}

/* Queue the copy of ROWS rows from `first` on; rows past the end become zeros. A thread copies
 * piece t % PIECES of every EACH-th row; the swizzle of all of them is that of the first when EACH
 * is a multiple of 8, as it is but for the widest heads. STRIDE is the type in which addresses are
 * counted: which one leaves the products more registers depends on the kernel. */
template <int WIDTH, int ROWS, int THREADS, class STRIDE>
DEVICE void load_rows(__nv_bfloat16 *to, const __nv_bfloat16 *from, STRIDE stride, int first,
                      int end)
{
    enum { PIECES = WIDTH / RUN, EACH = THREADS / PIECES };
    const int row = (int)threadIdx.x / PIECES, chunk = (int)threadIdx.x % PIECES;
    from += (first + row) * stride + chunk * RUN;
    UNROLL
    for (int i = 0; i < ROWS / EACH; i++) {
        const int at = EACH % 8 == 0 ? piece_at<WIDTH>(row, chunk) + i * EACH * WIDTH
                                     : piece_at<WIDTH>(row + i * EACH, chunk);
        cp_async16(to + at, from + i * EACH * stride, first + row + i * EACH < end ? 16 : 0);
    }
}

/* Is this call one for the kernel of heads of 512 (attention_wide.cu)? */
bool attention_wide_serves(const struct attention *p);

/* Raise its limit of shared memory; launch it. */
bool attention_wide_open(struct cuda *c);
void attention_wide_run(struct cuda *c, const struct attention *p, int batch);
