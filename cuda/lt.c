/* Matrix products by cuBLASLt, where that library is installed and wins.
 *
 * The library is looked for when the back end opens, in the program itself first, and called
 * through a table; without it gemm.cu does all products. It serves dense products in bf16, and in
 * e4m3 with a scale for every row and output (which the library has for compute capability 9.0;
 * elsewhere it proposes nothing), with bias and with the activations that it can end in. The first
 * call of each shape asks for its proposals, times them and our kernel on the device, and keeps the
 * fastest; later calls look that up, so that nothing is timed while a captured step is recorded
 * after a warm-up.
 *
 * cuBLASLt thinks in columns: out^T [N, M] = w [K, N]^T x^T [K, M], all column-major. */
#include <cublasLt.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cuda/cuda_internal.h"

enum {
    MAX_SHAPES = 256,
    MAX_PROPOSALS = 8,
    TIMED_RUNS = 3,
    LEAST_ROWS = 64, /* below that a product is bound by the weight, and our kernel is as good */
};
static const size_t WORKSPACE_BYTES = (size_t)32 << 20; /* what NVIDIA suggests for sm_90 */

/* What is used of the library. */
struct lt_api {
    cublasStatus_t (*create)(cublasLtHandle_t *handle);
    cublasStatus_t (*destroy)(cublasLtHandle_t handle);
    size_t (*version)(void);
    cublasStatus_t (*matmul)(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                             const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                             cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                             cublasLtMatrixLayout_t c_layout, void *d,
                             cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo,
                             void *workspace, size_t workspace_bytes, cudaStream_t stream);
    cublasStatus_t (*propose)(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                              cublasLtMatmulPreference_t preference, int n_wanted,
                              cublasLtMatmulHeuristicResult_t *results, int *n);
    cublasStatus_t (*desc_create)(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                  cudaDataType_t scale);
    cublasStatus_t (*desc_destroy)(cublasLtMatmulDesc_t desc);
    cublasStatus_t (*desc_set)(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t what,
                               const void *value, size_t bytes);
    cublasStatus_t (*preference_create)(cublasLtMatmulPreference_t *preference);
    cublasStatus_t (*preference_destroy)(cublasLtMatmulPreference_t preference);
    cublasStatus_t (*preference_set)(cublasLtMatmulPreference_t preference,
                                     cublasLtMatmulPreferenceAttributes_t what, const void *value,
                                     size_t bytes);
    cublasStatus_t (*layout_create)(cublasLtMatrixLayout_t *layout, cudaDataType type,
                                    uint64_t rows, uint64_t columns, int64_t stride);
    cublasStatus_t (*layout_destroy)(cublasLtMatrixLayout_t layout);
};

static const struct {
    size_t offset; /* in struct lt_api */
    const char *name;
} LT_FUNCTIONS[] = {
    {offsetof(struct lt_api, create), "cublasLtCreate"},
    {offsetof(struct lt_api, destroy), "cublasLtDestroy"},
    {offsetof(struct lt_api, version), "cublasLtGetVersion"},
    {offsetof(struct lt_api, matmul), "cublasLtMatmul"},
    {offsetof(struct lt_api, propose), "cublasLtMatmulAlgoGetHeuristic"},
    {offsetof(struct lt_api, desc_create), "cublasLtMatmulDescCreate"},
    {offsetof(struct lt_api, desc_destroy), "cublasLtMatmulDescDestroy"},
    {offsetof(struct lt_api, desc_set), "cublasLtMatmulDescSetAttribute"},
    {offsetof(struct lt_api, preference_create), "cublasLtMatmulPreferenceCreate"},
    {offsetof(struct lt_api, preference_destroy), "cublasLtMatmulPreferenceDestroy"},
    {offsetof(struct lt_api, preference_set), "cublasLtMatmulPreferenceSetAttribute"},
    {offsetof(struct lt_api, layout_create), "cublasLtMatrixLayoutCreate"},
    {offsetof(struct lt_api, layout_destroy), "cublasLtMatrixLayoutDestroy"},
};

/* One shape and what is fastest for it. */
struct lt_shape {
    int rows, n, k;
    int64_t x_stride, out_stride, w_row;
    enum dtype operands; /* BF16, or FP8 with scales */
    cublasLtEpilogue_t epilogue;
    bool is_library; /* else our kernel */
    cublasLtMatmulAlgo_t algo;
};

struct cuda_lt {
    struct lt_api api;
    void *library; /* NULL when the program itself has the functions */
    cublasLtHandle_t handle;
    void *workspace;
    cudaEvent_t start, end;
    int n_shapes;
    struct lt_shape shapes[MAX_SHAPES];
};

/* --- opening ----------------------------------------------------------------------------------*/

static bool load(struct cuda_lt *lt)
{
    void *from = RTLD_DEFAULT;
    if (!dlsym(RTLD_DEFAULT, "cublasLtCreate")) {
        lt->library = dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
        if (!lt->library)
            return false;
        from = lt->library;
    }
    for (size_t i = 0; i < sizeof LT_FUNCTIONS / sizeof LT_FUNCTIONS[0]; i++) {
        void *function = dlsym(from, LT_FUNCTIONS[i].name);
        if (!function)
            return false;
        memcpy((char *)&lt->api + LT_FUNCTIONS[i].offset, &function, sizeof function);
    }
    return true;
}

void cuda_lt_close(struct cuda *c)
{
    struct cuda_lt *lt = c->lt;
    if (!lt)
        return;
    if (lt->start)
        (void)cudaEventDestroy(lt->start);
    if (lt->end)
        (void)cudaEventDestroy(lt->end);
    (void)cudaFree(lt->workspace);
    if (lt->handle)
        lt->api.destroy(lt->handle);
    if (lt->library)
        dlclose(lt->library);
    free(lt);
    c->lt = NULL;
}

void cuda_lt_open(struct cuda *c)
{
    const char *wish = getenv("FLUXBENCH_CUBLASLT");
    if (c->backend.compute != DTYPE_BF16 || (wish && strcmp(wish, "0") == 0))
        return;
    c->lt = calloc(1, sizeof *c->lt);
    if (!c->lt)
        return;
    const char *why = "is not installed";
    bool is_open = load(c->lt);
    if (is_open && c->lt->api.create(&c->lt->handle) != CUBLAS_STATUS_SUCCESS) {
        why = "does not start";
        c->lt->handle = NULL;
        is_open = false;
    }
    if (is_open && (cudaMalloc(&c->lt->workspace, WORKSPACE_BYTES) != cudaSuccess ||
                    cudaEventCreate(&c->lt->start) != cudaSuccess ||
                    cudaEventCreate(&c->lt->end) != cudaSuccess)) {
        why = "gets no working memory";
        (void)cudaGetLastError();
        is_open = false;
    }
    if (is_open) {
        log_info("cuBLASLt %zu: is tried for products of %d rows and more", c->lt->api.version(),
                 LEAST_ROWS);
        return;
    }
    log_info("cuBLASLt %s: products use the built-in kernels", why);
    cuda_lt_close(c);
}

/* --- one product ------------------------------------------------------------------------------*/

/* The library's ending for a product, if it has it. */
static bool epilogue_of(const struct cuda_product *p, cublasLtEpilogue_t *epilogue)
{
    switch (p->act) {
    case ACT_NONE:
        *epilogue = p->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
        return true;
    case ACT_RELU:
        *epilogue = p->bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
        return true;
    case ACT_GELU_TANH: /* the library's GELU is the tanh form */
        *epilogue = p->bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
        return true;
    case ACT_SILU:
    case ACT_GELU:
    case ACT_QUICK_GELU:
        break;
    }
    return false;
}

/* Descriptors of one call. */
struct lt_call {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, out;
};

static void call_close(const struct cuda_lt *lt, struct lt_call *call)
{
    if (call->out)
        lt->api.layout_destroy(call->out);
    if (call->x)
        lt->api.layout_destroy(call->x);
    if (call->w)
        lt->api.layout_destroy(call->w);
    if (call->desc)
        lt->api.desc_destroy(call->desc);
}

/* Scales of e4m3 operands, one for each output and each row. */
static bool set_scales(const struct lt_api *a, cublasLtMatmulDesc_t desc,
                       const struct cuda_product *p)
{
    const int32_t mode = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    return a->desc_set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &mode, sizeof mode) == 0 &&
           a->desc_set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &mode, sizeof mode) == 0 &&
           a->desc_set(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &p->w_scales,
                       sizeof p->w_scales) == 0 &&
           a->desc_set(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &p->x_scales,
                       sizeof p->x_scales) == 0;
}

static bool call_open(const struct cuda_lt *lt, const struct lt_shape *s,
                      const struct cuda_product *p, const void *bias, struct lt_call *call)
{
    const struct lt_api *a = &lt->api;
    cublasOperation_t transposed = CUBLAS_OP_T;
    cudaDataType type = s->operands == DTYPE_FP8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
    uint64_t n = (uint64_t)s->n, k = (uint64_t)s->k, rows = (uint64_t)s->rows;
    *call = (struct lt_call){0};
    bool is_done =
        a->desc_create(&call->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == 0 &&
        a->desc_set(call->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) == 0 &&
        a->desc_set(call->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &s->epilogue, sizeof s->epilogue) ==
            0 &&
        a->layout_create(&call->w, type, k, n, s->w_row) == 0 &&
        a->layout_create(&call->x, type, k, rows, s->x_stride) == 0 &&
        a->layout_create(&call->out, CUDA_R_16BF, n, rows, s->out_stride) == 0;
    if (is_done && p->x_scales)
        is_done = set_scales(a, call->desc, p);
    if (is_done && bias)
        is_done =
            a->desc_set(call->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias) == 0;
    if (!is_done)
        call_close(lt, call);
    return is_done;
}

static bool call_run(struct cuda *c, const struct lt_call *call, const struct cuda_product *p,
                     const cublasLtMatmulAlgo_t *algo)
{
    const float one = 1.0f, zero = 0.0f;
    return c->lt->api.matmul(c->lt->handle, call->desc, &one, p->w, call->w, p->x, call->x, &zero,
                             p->out, call->out, p->out, call->out, algo, c->lt->workspace,
                             WORKSPACE_BYTES, c->stream) == 0;
}

/* --- choosing ---------------------------------------------------------------------------------*/

/* Milliseconds of the fastest of a few runs; algo NULL: our kernel. Negative: it does not run. */
static float time_run(struct cuda *c, const struct lt_call *call, const struct cuda_product *p,
                      const cublasLtMatmulAlgo_t *algo)
{
    float best = -1.0f;
    for (int i = 0; i < TIMED_RUNS; i++) {
        float ms = 0.0f;
        bool is_done = cudaEventRecord(c->lt->start, c->stream) == cudaSuccess;
        if (algo)
            is_done = is_done && call_run(c, call, p, algo);
        else
            cuda_product_own(c, p);
        is_done = is_done && cudaEventRecord(c->lt->end, c->stream) == cudaSuccess &&
                  cudaEventSynchronize(c->lt->end) == cudaSuccess &&
                  cudaEventElapsedTime(&ms, c->lt->start, c->lt->end) == cudaSuccess;
        if (!is_done)
            return -1.0f;
        best = best < 0.0f || ms < best ? ms : best;
    }
    return best;
}

/* The library's proposals for a call. It may count on 16 bytes, as our windows have, of x and out
 * (it takes 256 for granted otherwise). Returns their number. */
static int propose(const struct cuda_lt *lt, const struct lt_call *call,
                   cublasLtMatmulHeuristicResult_t proposals[MAX_PROPOSALS])
{
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint32_t bytes = 16;
    const struct lt_api *a = &lt->api;
    cublasLtMatmulPreference_t preference = NULL;
    int n = 0;
    if (a->preference_create(&preference) != CUBLAS_STATUS_SUCCESS)
        return 0;
    bool is_done = a->preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                     &WORKSPACE_BYTES, sizeof WORKSPACE_BYTES) == 0;
    for (size_t i = 0; i < sizeof aligned / sizeof aligned[0]; i++)
        is_done = is_done && a->preference_set(preference, aligned[i], &bytes, sizeof bytes) == 0;
    is_done = is_done && a->propose(lt->handle, call->desc, call->w, call->x, call->out, call->out,
                                    preference, MAX_PROPOSALS, proposals, &n) == 0;
    a->preference_destroy(preference);
    return is_done ? n : 0;
}

/* Fill in what is fastest for the shape. The result of every run is that of the call, so that
 * nothing is lost by running often. */
static void choose(struct cuda *c, struct lt_shape *s, const struct lt_call *call,
                   const struct cuda_product *p)
{
    cublasLtMatmulHeuristicResult_t proposals[MAX_PROPOSALS];
    int n = propose(c->lt, call, proposals);
    float own = time_run(c, call, p, NULL), best = own;
    for (int i = 0; i < n; i++) {
        if (proposals[i].state != CUBLAS_STATUS_SUCCESS)
            continue;
        float ms = time_run(c, call, p, &proposals[i].algo);
        if (ms >= 0.0f && (ms < best || best < 0.0f || (i == 0 && ms <= best))) {
            best = ms;
            s->is_library = true;
            s->algo = proposals[i].algo;
        }
    }
    log_debug("%s product %dx%dx%d: built-in %.3f ms, %s %.3f ms", dtype_name(s->operands), s->rows,
              s->n, s->k, (double)own, s->is_library ? "cuBLASLt" : "no better", (double)best);
}

static struct lt_shape *find(struct cuda_lt *lt, const struct lt_shape *wanted)
{
    for (int i = 0; i < lt->n_shapes; i++) {
        struct lt_shape *s = &lt->shapes[i];
        if (s->rows == wanted->rows && s->n == wanted->n && s->k == wanted->k &&
            s->x_stride == wanted->x_stride && s->out_stride == wanted->out_stride &&
            s->w_row == wanted->w_row && s->operands == wanted->operands &&
            s->epilogue == wanted->epilogue)
            return s;
    }
    return NULL;
}

/* What the library takes: rows of x and out with one stride each, in pieces of 16 bytes; of e4m3
 * also sizes in such pieces. Rounded inputs are dense rows of w_row. */
static bool is_served(const struct cuda_product *p)
{
    bool is_plain = p->rows == p->dims2 && !p->is_conv && p->is_out_aligned;
    if (p->x_scales)
        return is_plain && p->w_dtype == DTYPE_FP8 && p->k % 16 == 0 && p->n % 16 == 0;
    return is_plain && p->is_x_aligned && p->w_dtype == DTYPE_BF16;
}

bool cuda_lt_product(struct cuda *c, const struct cuda_product *p)
{
    struct lt_shape wanted = {.rows = p->rows,
                              .n = p->n,
                              .k = p->k,
                              .x_stride = p->x_scales ? p->w_row : p->x_strides[2],
                              .out_stride = p->out_strides[2],
                              .w_row = p->w_row,
                              .operands = p->w_dtype};
    if (!c->lt || p->dtype != DTYPE_BF16 || p->rows < LEAST_ROWS || !is_served(p) ||
        !epilogue_of(p, &wanted.epilogue))
        return false;
    const void *bias = p->bias ? cuda_vector_bf16(c, p->bias, p->n) : NULL;
    struct lt_shape *s = find(c->lt, &wanted);
    struct lt_call call;
    if ((p->bias && !bias) || (s && !s->is_library) || (!s && c->lt->n_shapes == MAX_SHAPES) ||
        !call_open(c->lt, &wanted, p, bias, &call))
        return false;
    if (!s) {
        s = &c->lt->shapes[c->lt->n_shapes++];
        *s = wanted;
        choose(c, s, &call, p);
    }
    bool is_done = s->is_library && call_run(c, &call, p, &s->algo);
    call_close(c->lt, &call);
    return is_done;
}
