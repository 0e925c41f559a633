/* Element-wise operations, embedding lookup, copies, pixels. All are bound by memory: every operand
 * is read or written once, eight elements (16 bytes of a 16-bit type) per thread and access where
 * the windows allow it, element by element where they don't. Speed: not measured on hardware. */
#include "cuda/walk.cuh"

enum { THREADS = 256 };

/* The number of the run that this thread handles. */
DEVICE int64_t run_index() { return (int64_t)blockIdx.x * THREADS + threadIdx.x; }

/* n <= RUN elements with a stride. */
template <class T>
DEVICE void load_strided(float (&v)[RUN], const T *p, int64_t step, int n, bool is_aligned)
{
    if (is_aligned) {
        load_some(v, p, n, true);
        return;
    }
    UNROLL
    for (int i = 0; i < RUN; i++)
        v[i] = i < n ? get(p + i * step) : 0.0f;
}

template <class T>
DEVICE void store_strided(T *p, const float (&v)[RUN], int64_t step, int n, bool is_aligned)
{
    if (is_aligned) {
        store_some(p, v, n, true);
        return;
    }
    UNROLL
    for (int i = 0; i < RUN; i++) {
        if (i < n)
            put(p + i * step, v[i]);
    }
}

/* --- arithmetic -------------------------------------------------------------------------------*/

enum { DO_ADD, DO_MUL, DO_AXPY, DO_AFFINE, DO_GATED_ADD, DO_ACTIVATE };

struct scalars {
    float a, c;
    enum activation act;
};

/* One element: x and y are inputs, old is what out holds. */
template <int WHAT> DEVICE float compute(float x, float y, float old, const struct scalars &s)
{
    switch (WHAT) {
    case DO_ADD:
        return x + y;
    case DO_MUL:
        return x * y;
    case DO_AXPY:
        return old + s.a * x;
    case DO_AFFINE:
        return x * s.a + s.c;
    case DO_GATED_ADD:
        return old + y * x;
    default:
        return activated(x, s.act);
    }
}

/* out = f(x, y, out), one run per thread. y may be absent (walk of two windows).
 * Bytes per element: one read of each input, one write. */
template <class T, int WHAT>
__global__ void __launch_bounds__(THREADS)
    elementwise_kernel(struct walk w, T *out, const T *x, const T *y, struct scalars s)
{
    const bool has_y = WHAT == DO_ADD || WHAT == DO_MUL || WHAT == DO_GATED_ADD;
    const bool has_old = WHAT == DO_AXPY || WHAT == DO_GATED_ADD;
    int64_t at[WALK_WINDOWS];
    if (run_index() >= w.runs)
        return;
    const int n = walk_run < has_y ? 3 : 2 > (w, run_index(), at);
    float xs[RUN], ys[RUN] = {}, olds[RUN] = {};
    load_strided(xs, x + at[1], w.steps[1], n, w.is_aligned);
    if (has_y)
        load_strided(ys, y + at[2], w.steps[2], n, w.is_aligned);
    if (has_old)
        load_strided(olds, out + at[0], w.steps[0], n, w.is_aligned);
    UNROLL
    for (int i = 0; i < RUN; i++)
        xs[i] = compute<WHAT>(xs[i], ys[i], olds[i], s);
    store_strided(out + at[0], xs, w.steps[0], n, w.is_aligned);
}

/* --- copies -----------------------------------------------------------------------------------*/

/* The same type: the bits as they are. */
template <class T> DEVICE void copy_element(T *to, const T *from) { *to = *from; }
template <class To, class From> DEVICE void copy_element(To *to, const From *from)
{
    put(to, get(from));
}

/* out = x for 16- and 32-bit types, any strides. One run per thread. */
template <class To, class From>
__global__ void __launch_bounds__(THREADS)
    copy_kernel(struct walk w, To *__restrict__ out, const From *__restrict__ x)
{
    int64_t at[WALK_WINDOWS];
    if (run_index() >= w.runs)
        return;
    const int n = walk_run<2>(w, run_index(), at);
    if (w.is_aligned && n == RUN) {
        if (sizeof(To) == 2 && sizeof(From) == 2) { /* one of each, or the same type */
            uint4 u = *reinterpret_cast<const uint4 *>(x + at[1]);
            const From *from = reinterpret_cast<const From *>(&u);
            uint4 r;
            To *to = reinterpret_cast<To *>(&r);
            UNROLL
            for (int i = 0; i < RUN; i++)
                copy_element(to + i, from + i);
            *reinterpret_cast<uint4 *>(out + at[0]) = r;
            return;
        }
        float v[RUN];
        load_run(v, x + at[1]);
        store_run(out + at[0], v);
        return;
    }
    UNROLL
    for (int i = 0; i < RUN; i++) {
        if (i < n)
            copy_element(out + at[0] + i * w.steps[0], x + at[1] + i * w.steps[1]);
    }
}

/* out[r, :] = table[ids[r], :], one run per thread; blockIdx.y is the row. */
template <class T, class From>
__global__ void __launch_bounds__(THREADS)
    embed_kernel(T *__restrict__ out, int64_t out_stride, const From *__restrict__ table,
                 const int *__restrict__ ids, int width, bool is_aligned)
{
    const int d = (int)run_index() * RUN, r = (int)blockIdx.y;
    float v[RUN];
    if (d >= width)
        return;
    load_some(v, table + ids[r] * (int64_t)width + d, width - d, is_aligned);
    store_some(out + r * out_stride + d, v, width - d, is_aligned);
}

/* One number per thread; NaN becomes black. */
template <class T>
__global__ void __launch_bounds__(THREADS)
    to_rgb8_kernel(unsigned char *__restrict__ out, const T *__restrict__ x, int64_t n)
{
    const int64_t i = run_index();
    if (i >= n)
        return;
    const float half = rounded(get(x + i) * 0.5f, x);
    const float unit = rounded(half + 0.5f, x);
    const float clipped = unit > 0.0f ? fminf(unit, 1.0f) : 0.0f;
    out[i] = (unsigned char)rintf(255.0f * clipped);
}

/* --- launchers --------------------------------------------------------------------------------*/

static unsigned blocks_for(int64_t n) { return (unsigned)((n + THREADS - 1) / THREADS); }

template <int WHAT>
static void run_elementwise(struct backend *b, const char *name, struct tensor out, struct tensor x,
                            struct tensor y, struct scalars s)
{
    struct cuda *c = cuda_use(b);
    const struct tensor windows[] = {out, x, y};
    const struct walk w = walk_begin(tensor_is_none(y) ? 2 : 3, windows);
    if (w.runs == 0)
        return;
    if (out.dtype == DTYPE_BF16) {
        typedef __nv_bfloat16 T;
        LAUNCH((elementwise_kernel<T, WHAT>), blocks_for(w.runs), THREADS, 0, c->stream, w,
               (T *)out.data, (const T *)x.data, (const T *)y.data, s);
    } else {
        LAUNCH((elementwise_kernel<float, WHAT>), blocks_for(w.runs), THREADS, 0, c->stream, w,
               (float *)out.data, (const float *)x.data, (const float *)y.data, s);
    }
    cuda_launched(c, name);
}

static struct tensor no_tensor(void)
{
    struct tensor none = {};
    return none;
}

void cuda_add(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    run_elementwise<DO_ADD>(b, "add", out, x, y, {0.0f, 0.0f, ACT_NONE});
}

void cuda_mul(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    run_elementwise<DO_MUL>(b, "mul", out, x, y, {0.0f, 0.0f, ACT_NONE});
}

void cuda_axpy(struct backend *b, struct tensor out, float alpha, struct tensor x)
{
    run_elementwise<DO_AXPY>(b, "axpy", out, x, no_tensor(), {alpha, 0.0f, ACT_NONE});
}

void cuda_affine(struct backend *b, struct tensor out, struct tensor x, float scale, float shift)
{
    run_elementwise<DO_AFFINE>(b, "affine", out, x, no_tensor(), {scale, shift, ACT_NONE});
}

void cuda_activate(struct backend *b, struct tensor out, struct tensor x, enum activation act)
{
    run_elementwise<DO_ACTIVATE>(b, "activate", out, x, no_tensor(), {0.0f, 0.0f, act});
}

void cuda_gated_add(struct backend *b, struct tensor out, struct tensor gate, struct tensor x)
{
    /* [B, D] as a window [B, L, D] that repeats over L */
    struct tensor wide = x;
    wide.data = gate.data;
    wide.strides[0] = gate.strides[0];
    wide.strides[1] = 0;
    wide.strides[2] = gate.strides[1];
    run_elementwise<DO_GATED_ADD>(b, "gated_add", out, x, wide, {0.0f, 0.0f, ACT_NONE});
}

template <class To, class From>
static void run_copy(struct cuda *c, const struct walk &w, struct tensor out, struct tensor x)
{
    LAUNCH((copy_kernel<To, From>), blocks_for(w.runs), THREADS, 0, c->stream, w, (To *)out.data,
           (const From *)x.data);
}

template <class To>
static void run_copy_to(struct cuda *c, const struct walk &w, struct tensor out, struct tensor x)
{
    if (x.dtype == DTYPE_BF16)
        run_copy<To, __nv_bfloat16>(c, w, out, x);
    else if (x.dtype == DTYPE_F16)
        run_copy<To, __half>(c, w, out, x);
    else
        run_copy<To, float>(c, w, out, x);
}

void cuda_copy(struct backend *b, struct tensor out, struct tensor x)
{
    struct cuda *c = cuda_use(b);
    struct cuda_weight *streamed = cuda_stream_table(c, x);
    if (tensor_elements(out) == 0 || !cuda_stream_begin(c, streamed))
        return;
    x = cuda_stream_window(streamed, x);
    const struct tensor windows[] = {out, x};
    const struct walk w = walk_begin(2, windows);
    if (out.dtype == DTYPE_BF16)
        run_copy_to<__nv_bfloat16>(c, w, out, x);
    else if (out.dtype == DTYPE_F16)
        run_copy_to<__half>(c, w, out, x);
    else
        run_copy_to<float>(c, w, out, x);
    cuda_launched(c, "copy");
    cuda_stream_end(c, streamed);
}

template <class T, class From>
static void run_embed(struct cuda *c, struct tensor out, struct tensor table, struct tensor ids)
{
    const int width = (int)out.dims[1];
    const bool is_aligned = width % RUN == 0 && out.strides[0] % RUN == 0 &&
                            (uintptr_t)out.data % 16 == 0 && (uintptr_t)table.data % 16 == 0;
    const unsigned rows = (unsigned)out.dims[0];
    LAUNCH((embed_kernel<T, From>), dim3(blocks_for((width + RUN - 1) / RUN), rows), THREADS, 0,
           c->stream, (T *)out.data, out.strides[0], (const From *)table.data,
           (const int *)ids.data, width, is_aligned);
}

void cuda_embed(struct backend *b, struct tensor out, struct tensor table, struct tensor ids)
{
    struct cuda *c = cuda_use(b);
    const bool is_bf16 = out.dtype == DTYPE_BF16;
    struct cuda_weight *streamed = cuda_stream_table(c, table);
    if (tensor_elements(out) == 0 || !cuda_stream_begin(c, streamed))
        return;
    table = cuda_stream_window(streamed, table);
    if (table.dtype == DTYPE_BF16)
        (is_bf16 ? run_embed<__nv_bfloat16, __nv_bfloat16>
                 : run_embed<float, __nv_bfloat16>)(c, out, table, ids);
    else if (table.dtype == DTYPE_F16)
        (is_bf16 ? run_embed<__nv_bfloat16, __half> : run_embed<float, __half>)(c, out, table, ids);
    else
        (is_bf16 ? run_embed<__nv_bfloat16, float> : run_embed<float, float>)(c, out, table, ids);
    cuda_launched(c, "embed");
    cuda_stream_end(c, streamed);
}

void cuda_to_rgb8(struct backend *b, struct tensor out, struct tensor x)
{
    struct cuda *c = cuda_use(b);
    const int64_t n = tensor_elements(x);
    if (n == 0)
        return;
    if (x.dtype == DTYPE_BF16)
        LAUNCH(to_rgb8_kernel<__nv_bfloat16>, blocks_for(n), THREADS, 0, c->stream,
               (unsigned char *)out.data, (const __nv_bfloat16 *)x.data, n);
    else
        LAUNCH(to_rgb8_kernel<float>, blocks_for(n), THREADS, 0, c->stream,
               (unsigned char *)out.data, (const float *)x.data, n);
    cuda_launched(c, "to_rgb8");
}
