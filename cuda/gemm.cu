/* Matrix products: op_linear, and the products that convolutions are (conv.c).
 *
 *     out[m][n] = act(sum_k x[m][k] w[n][k] + bias[n])      struct cuda_product
 *
 * bf16 times bf16 goes to the tensor cores, here; f32 activations and products of a few rows have
 * their kernels in gemm_f32.cu. */
#include "cuda/tile.cuh"

/* --- bf16 on tensor cores ---------------------------------------------------------------------*/

enum {
    MMA_THREADS = 128, /* four warps, two by two over the tile */
    MMA_K = 32,        /* inputs of one stage: 64 bytes of each row */
    MMA_STAGES = 4,
};

/* Eight neighbours of one row, element by element: windows that are not aligned, channels that
 * are not a multiple of eight. */
template <bool IS_CONV>
DEVICE void gather_run(const struct cuda_product &p, const struct row_place &r,
                       const struct tap &first, __nv_bfloat16 *to)
{
    const __nv_bfloat16 *x = static_cast<const __nv_bfloat16 *>(p.x);
    struct tap t = first;
    float v[RUN];
    UNROLL
    for (int e = 0; e < RUN; e++) {
        const int64_t at = x_offset<IS_CONV>(p, r, t);
        v[e] = at < 0 ? 0.0f : get(x + at);
        tap_advance<IS_CONV>(p, t, 1);
    }
    store_run(to, v);
}

/* TILE x TILE outputs per block, a quarter per warp; K in stages of MMA_K through a ring of
 * MMA_STAGES buffers in shared memory that cp.async fills three stages ahead.
 *
 * Thread t copies piece t % 4 of rows t / 4, t / 4 + 32, ... of both operands. Each warp reads its
 * fragments by ldmatrix (TILE = 128: 8 reads feed 32 mma) and keeps its quarter in registers.
 * The result goes through the same shared memory, so that bias, activation and rounding are done
 * once per run of eight neighbours and stored in pieces of 16 bytes.
 *
 * Bound: arithmetic. Per stage of TILE = 128 the block reads 16 KiB for 1 Mflop, from L2 mostly:
 * blocks are numbered such that GROUP_ROWS tiles of rows share a column tile. Shared memory: 64 or
 * 32 KiB. Needs rows of w padded to 8; IS_ALIGNED also x in aligned runs of 8. Speed: not measured
 * on hardware. */
template <int TILE, bool IS_CONV, bool IS_ALIGNED>
__global__ void __launch_bounds__(MMA_THREADS) product_mma_kernel(struct cuda_product p)
{
    enum {
        WARP = TILE / 2,     /* rows and columns of a warp */
        TILES_M = WARP / 16, /* its mma tiles */
        TILES_N = WARP / 8,
        COPIES = TILE / 32,   /* pieces per thread, operand and stage */
        STAGE = TILE * MMA_K, /* elements */
    };
    SHARED_DYN(__nv_bfloat16, shared);
    const int tid = (int)threadIdx.x, lane = tid % 32, warp = tid / 32;
    const int warp_m = warp / 2 * WARP, warp_n = warp % 2 * WARP;

    const int2 start = tile_start<TILE>(p);
    const int m0 = start.x, n0 = start.y;
    const __nv_bfloat16 *x = static_cast<const __nv_bfloat16 *>(p.x);
    const __nv_bfloat16 *w = static_cast<const __nv_bfloat16 *>(p.w);
    const int copy_row = tid / PIECES, copy_piece = tid % PIECES;
    struct row_place places[COPIES];
    UNROLL
    for (int i = 0; i < COPIES; i++)
        places[i] = place_row<IS_CONV>(p, m0 + copy_row + i * 32);
    struct tap tap = tap_at<IS_CONV>(p, copy_piece * RUN);

    /* Stages are loaded in order: tap is that of the next one. */
    auto load = [&](int stage) {
        __nv_bfloat16 *xs = shared + stage * 2 * STAGE, *ws = xs + STAGE;
        UNROLL
        for (int i = 0; i < COPIES; i++) {
            const int row = copy_row + i * 32, n = n0 + row;
            const bool has_w = n < p.n && tap.k < (int)p.w_row;
            cp_async16(ws + swizzled<__nv_bfloat16>(row, copy_piece),
                       has_w ? w + n * p.w_row + tap.k : w, has_w ? 16 : 0);
            if (IS_ALIGNED) {
                const int64_t at = x_offset<IS_CONV>(p, places[i], tap);
                cp_async16(xs + swizzled<__nv_bfloat16>(row, copy_piece), at < 0 ? x : x + at,
                           at < 0 ? 0 : 16);
            } else {
                gather_run<IS_CONV>(p, places[i], tap,
                                    xs + swizzled<__nv_bfloat16>(row, copy_piece));
            }
        }
        tap_advance<IS_CONV>(p, tap, MMA_K);
    };

    const int stages = (p.k + MMA_K - 1) / MMA_K;
    float acc[TILES_M][TILES_N][4] = {};
    for (int s = 0; s < MMA_STAGES - 1; s++) {
        if (s < stages)
            load(s);
        cp_async_commit();
    }
    for (int s = 0; s < stages; s++) {
        cp_async_wait<MMA_STAGES - 2>();
        __syncthreads(); /* stage s is there, and everybody has left stage s - 1 */
        if (s + MMA_STAGES - 1 < stages)
            load((s + MMA_STAGES - 1) % MMA_STAGES);
        cp_async_commit();
        const __nv_bfloat16 *xs = shared + s % MMA_STAGES * 2 * STAGE, *ws = xs + STAGE;
        UNROLL
        for (int k = 0; k < MMA_K / 16; k++) {
            uint32_t a[TILES_M][4], b[TILES_N / 2][4];
            UNROLL
            for (int i = 0; i < TILES_M; i++)
                ldmatrix_x4(a[i], xs + swizzled<__nv_bfloat16>(warp_m + i * 16 + lane % 16,
                                                               k * 2 + lane / 16));
            UNROLL
            for (int j = 0; j < TILES_N / 2; j++)
                ldmatrix_x4(b[j],
                            ws + swizzled<__nv_bfloat16>(warp_n + j * 16 + lane / 16 * 8 + lane % 8,
                                                         k * 2 + lane / 8 % 2));
            UNROLL
            for (int i = 0; i < TILES_M; i++) {
                UNROLL
                for (int j = 0; j < TILES_N; j++)
                    mma_bf16(acc[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
            }
        }
    }
    cp_async_wait<0>();
    __syncthreads();

    float *results = reinterpret_cast<float *>(shared);
    stage_sums<TILE>(results, acc, warp_m, warp_n, lane);
    __syncthreads();
    for (int i = tid; i < TILE * TILE / RUN; i += MMA_THREADS) {
        const int row = i / (TILE / RUN), column = i % (TILE / RUN) * RUN;
        if (m0 + row >= p.rows || n0 + column >= p.n)
            continue;
        float v[RUN];
        load_run(v, results + staged<TILE>(row, column));
        finish_run<__nv_bfloat16>(p, m0 + row, n0 + column, v);
    }
}

/* --- launchers --------------------------------------------------------------------------------*/

/* By [tile 64, 128][convolution][aligned]. */
static const product_fn MMA_KERNELS[2][2][2] = {
    {{product_mma_kernel<64, false, false>, product_mma_kernel<64, false, true>},
     {product_mma_kernel<64, true, false>, product_mma_kernel<64, true, true>}},
    {{product_mma_kernel<128, false, false>, product_mma_kernel<128, false, true>},
     {product_mma_kernel<128, true, false>, product_mma_kernel<128, true, true>}},
};

static int mma_shared_bytes(int tile)
{
    return MMA_STAGES * 2 * tile * MMA_K * (int)sizeof(__nv_bfloat16);
}

bool cuda_gemm_open(struct cuda *c)
{
    bool is_done = true;
    for (int i = 0; i < 8; i++) {
        const int big = i / 4;
        is_done = is_done &&
                  cuda_check(c,
                             cudaFuncSetAttribute((const void *)MMA_KERNELS[big][i / 2 % 2][i % 2],
                                                  cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                  mma_shared_bytes(big ? 128 : 64)),
                             "linear: shared memory");
    }
    return is_done;
}

/* Tiles of 128 do twice the work per byte; where they would leave processors idle, 64. */
static int choose_tile(const struct cuda *c, const struct cuda_product *p)
{
    const int64_t big = (int64_t)((p->rows + 127) / 128) * ((p->n + 127) / 128);
    return big >= c->processors ? 128 : 64;
}

static void run_mma(struct cuda *c, const struct cuda_product *p)
{
    const int tile = choose_tile(c, p);
    const unsigned blocks = (unsigned)((p->rows + tile - 1) / tile * ((p->n + tile - 1) / tile));
    const product_fn kernel = MMA_KERNELS[tile == 128][p->is_conv][p->is_x_aligned];
    LAUNCH(kernel, blocks, MMA_THREADS, (size_t)mma_shared_bytes(tile), c->stream, *p);
}

void cuda_product_own(struct cuda *c, const struct cuda_product *p)
{
    if (p->x_scales)
        cuda_product_8bit(c, p);
    else if (p->rows <= FEW_ROWS && !p->is_conv)
        product_few_run(c, p);
    else if (p->dtype == DTYPE_BF16)
        run_mma(c, p);
    else
        product_fma_run(c, p);
    cuda_launched(c, p->is_conv ? "conv2d" : "linear");
}

void cuda_product_run(struct cuda *c, const struct cuda_product *p)
{
    struct cuda_product q = *p;
    if (dtype_is_quantised(q.w_dtype) && q.rows > FEW_ROWS &&
        !(q.rounds_inputs ? cuda_round_inputs : cuda_unpack)(c, &q))
        return;
    if (!cuda_lt_product(c, &q))
        cuda_product_own(c, &q);
}

/* The leading axes of x and out as three counts; neighbours that follow each other are joined. */
static void set_rows(struct cuda_product *p, struct tensor x, struct tensor out)
{
    int64_t dims[3] = {1, 1, 1};
    int slot = 2;
    int64_t rows = 1;
    for (int a = x.rank - 2; a >= 0; a--) {
        rows *= x.dims[a];
        if (x.dims[a] == 1)
            continue;
        if (slot < 2 && x.strides[a] == dims[slot + 1] * p->x_strides[slot + 1] &&
            out.strides[a] == dims[slot + 1] * p->out_strides[slot + 1]) {
            dims[slot + 1] *= x.dims[a];
            continue;
        }
        dims[slot] = x.dims[a];
        p->x_strides[slot] = x.strides[a];
        p->out_strides[slot] = out.strides[a];
        slot--;
    }
    p->rows = (int)rows;
    p->dims1 = (int)dims[1];
    p->dims2 = (int)dims[2];
}

/* Does a window begin at 16 bytes, and all its rows, in runs of eight? */
static bool is_aligned(const void *data, const int64_t strides[3])
{
    return (uintptr_t)data % 16 == 0 && strides[0] % RUN == 0 && strides[1] % RUN == 0 &&
           strides[2] % RUN == 0;
}

void cuda_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                 struct tensor bias, enum activation act)
{
    struct cuda *c = cuda_use(b);
    struct cuda_weight *weight = static_cast<struct cuda_weight *>(w.data);
    struct cuda_product p = {};
    if (tensor_elements(x) == 0 || tensor_elements(out) == 0 || !cuda_stream_begin(c, weight))
        return;
    p.x = x.data;
    p.w = weight->data;
    p.w_scales = static_cast<const char *>(weight->data) + weight->scales_at;
    p.bias = static_cast<const float *>(bias.data);
    p.out = out.data;
    p.w_row = weight->row;
    p.n = (int)weight->n;
    p.k = (int)weight->k;
    p.act = act;
    p.dtype = x.dtype;
    p.w_dtype = weight->dtype;
    p.rounds_inputs = weight->rounds_inputs;
    set_rows(&p, x, out);
    p.is_x_aligned = is_aligned(x.data, p.x_strides) && p.k % RUN == 0;
    p.is_out_aligned = is_aligned(out.data, p.out_strides);
    cuda_product_run(c, &p);
    cuda_stream_end(c, weight);
}
