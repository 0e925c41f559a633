/* The execution half of cuBLASLt on the host. Descriptors, layouts and attributes stay with
 * NVIDIA's library, which needs no device for them and checks its arguments; the functions below
 * take the place of those that would need one.
 *
 * They read the descriptors back, check shapes, alignment, memory and the known rules of 8-bit
 * types, and queue the product on the stream: exact sums, rounded once. */
#include <cublasLt.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_sim/runtime.h"

struct layout {
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t leading, batch_stride;
    int32_t n_batches;
    bool is_row_major;
};

struct product {
    struct layout a, b, c, d;
    bool is_a_transposed, is_b_transposed;
    cublasLtEpilogue_t epilogue;
    double alpha, beta;
    const char *a_data, *b_data, *c_data;
    char *d_data;
    const void *bias;
    cudaDataType_t bias_type;
    const float *a_scale, *b_scale;
    bool is_outer; /* those are vectors of m and n, else single numbers */
    uint64_t m, n, k;
};

/* --- numbers ----------------------------------------------------------------------------------*/

static size_t width_of(cudaDataType_t type)
{
    switch ((int)type) {
    case CUDA_R_32F:
    case CUDA_R_32I:
        return 4;
    case CUDA_R_16BF:
    case CUDA_R_16F:
        return 2;
    case CUDA_R_8I:
    case CUDA_R_8F_E4M3:
    case CUDA_R_8F_E5M2:
        return 1;
    default:
        return 0;
    }
}

static double load(const void *p, uint64_t i, cudaDataType_t type)
{
    switch ((int)type) {
    case CUDA_R_32F:
        return (double)((const float *)p)[i];
    case CUDA_R_16BF:
        return (double)vgpu_from_bf16(((const uint16_t *)p)[i]);
    case CUDA_R_16F:
        return (double)vgpu_from_f16(((const uint16_t *)p)[i]);
    case CUDA_R_8F_E4M3:
        return (double)vgpu_from_fp8(((const uint8_t *)p)[i], VGPU_E4M3);
    case CUDA_R_8F_E5M2:
        return (double)vgpu_from_fp8(((const uint8_t *)p)[i], VGPU_E5M2);
    case CUDA_R_8I:
        return ((const int8_t *)p)[i];
    default:
        return ((const int32_t *)p)[i];
    }
}

static void store(void *p, uint64_t i, cudaDataType_t type, double x)
{
    switch ((int)type) {
    case CUDA_R_32F:
        ((float *)p)[i] = (float)x;
        break;
    case CUDA_R_16BF:
        ((uint16_t *)p)[i] = vgpu_to_bf16((float)x);
        break;
    case CUDA_R_16F:
        ((uint16_t *)p)[i] = vgpu_to_f16((float)x);
        break;
    case CUDA_R_32I:
        ((int32_t *)p)[i] = (int32_t)x;
        break;
    default:
        ((uint8_t *)p)[i] = vgpu_to_fp8((float)x, VGPU_E4M3);
        break;
    }
}

static uint64_t index_of(const struct layout *l, uint64_t row, uint64_t column)
{
    uint64_t leading = (uint64_t)l->leading;
    return l->is_row_major ? row * leading + column : column * leading + row;
}

/* --- running ----------------------------------------------------------------------------------*/

/* Is the matrix inside an allocation, and are its elements written? */
static bool is_usable(const char *name, const char *data, const struct layout *l, bool is_input)
{
    size_t width = width_of(l->type);
    size_t bytes = (index_of(l, l->rows - 1, l->columns - 1) + 1) * width;
    if (vgpu_device_of(data, bytes) < 0) {
        vgpu_report(VGPU_LIBRARY, 0, "cublasLtMatmul: %zu bytes of %s reach outside an allocation",
                    bytes, name);
        return false;
    }
    for (uint64_t r = 0; is_input && r < l->rows; r++)
        for (uint64_t c = 0; c < l->columns; c++)
            if (!vgpu_is_initialised(data + index_of(l, r, c) * width, width)) {
                vgpu_report(VGPU_LIBRARY, 0, "cublasLtMatmul: %s(%llu, %llu) was never written",
                            name, (unsigned long long)r, (unsigned long long)c);
                return false;
            }
    return true;
}

static double finish(const struct product *p, const char *c, uint64_t row, uint64_t column,
                     double sum)
{
    sum *= p->alpha;
    sum *= p->a_scale ? (double)p->a_scale[p->is_outer ? row : 0] : 1.0;
    sum *= p->b_scale ? (double)p->b_scale[p->is_outer ? column : 0] : 1.0;
    if (p->beta != 0.0)
        sum += p->beta * load(c, index_of(&p->c, row, column), p->c.type);
    if (p->epilogue & CUBLASLT_EPILOGUE_BIAS)
        sum += load(p->bias, row, p->bias_type);
    if (p->epilogue & CUBLASLT_EPILOGUE_GELU)
        sum *= 0.5 * (1.0 + tanh(0.7978845608028654 * (sum + 0.044715 * sum * sum * sum)));
    if (p->epilogue & CUBLASLT_EPILOGUE_RELU)
        sum = sum < 0.0 ? 0.0 : sum;
    return sum;
}

/* Are n scales in device memory, and written? */
static bool has_scales(const char *name, const float *scales, uint64_t n)
{
    if (!scales || (vgpu_device_of(scales, n * sizeof *scales) >= 0 &&
                    vgpu_is_initialised(scales, n * sizeof *scales)))
        return true;
    vgpu_report(VGPU_LIBRARY, 0, "cublasLtMatmul: %llu scales of %s are not all there",
                (unsigned long long)n, name);
    return false;
}

static void run_batch(const struct product *p, int batch)
{
    const char *a = p->a_data + batch * p->a.batch_stride * (int64_t)width_of(p->a.type);
    const char *b = p->b_data + batch * p->b.batch_stride * (int64_t)width_of(p->b.type);
    const char *c = p->c_data + batch * p->c.batch_stride * (int64_t)width_of(p->c.type);
    char *d = p->d_data + batch * p->d.batch_stride * (int64_t)width_of(p->d.type);
    if (!is_usable("A", a, &p->a, true) || !is_usable("B", b, &p->b, true) ||
        !is_usable("D", d, &p->d, false) || !has_scales("A", p->a_scale, p->is_outer ? p->m : 1) ||
        !has_scales("B", p->b_scale, p->is_outer ? p->n : 1))
        return;
    size_t width = width_of(p->d.type);
    for (uint64_t n = 0; n < p->n; n++)
        for (uint64_t m = 0; m < p->m; m++) {
            double sum = 0.0;
            for (uint64_t k = 0; k < p->k; k++)
                sum += load(a, p->is_a_transposed ? index_of(&p->a, k, m) : index_of(&p->a, m, k),
                            p->a.type) *
                       load(b, p->is_b_transposed ? index_of(&p->b, n, k) : index_of(&p->b, k, n),
                            p->b.type);
            store(d, index_of(&p->d, m, n), p->d.type, finish(p, c, m, n, sum));
            vgpu_mark_initialised(d + index_of(&p->d, m, n) * width, width);
        }
}

static void run(void *data)
{
    struct product *p = data;
    for (int batch = 0; batch < p->d.n_batches; batch++)
        run_batch(p, batch);
    free(p);
}

/* --- reading descriptors ----------------------------------------------------------------------*/

static struct layout read_layout(cublasLtMatrixLayout_t from)
{
    struct layout l = {0};
    size_t written;
    uint32_t type = 0;
    int32_t order = CUBLASLT_ORDER_COL;
    cublasLtMatrixLayoutGetAttribute(from, CUBLASLT_MATRIX_LAYOUT_TYPE, &type, sizeof type,
                                     &written);
    cublasLtMatrixLayoutGetAttribute(from, CUBLASLT_MATRIX_LAYOUT_ROWS, &l.rows, sizeof l.rows,
                                     &written);
    cublasLtMatrixLayoutGetAttribute(from, CUBLASLT_MATRIX_LAYOUT_COLS, &l.columns,
                                     sizeof l.columns, &written);
    cublasLtMatrixLayoutGetAttribute(from, CUBLASLT_MATRIX_LAYOUT_LD, &l.leading, sizeof l.leading,
                                     &written);
    cublasLtMatrixLayoutGetAttribute(from, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &l.n_batches,
                                     sizeof l.n_batches, &written);
    cublasLtMatrixLayoutGetAttribute(from, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                     &l.batch_stride, sizeof l.batch_stride, &written);
    cublasLtMatrixLayoutGetAttribute(from, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof order,
                                     &written);
    l.type = (cudaDataType_t)type;
    l.is_row_major = order == CUBLASLT_ORDER_ROW;
    return l;
}

static void read_attribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t what,
                           void *value, size_t bytes)
{
    size_t written;
    if (cublasLtMatmulDescGetAttribute(desc, what, value, bytes, &written) != 0)
        memset(value, 0, bytes);
}

/* cuBLAS documentation, cublasLtMatmul, FP8 kernels: A transposed and B not, all sizes and rows in
 * pieces of 16 bytes, e4m3 for one of A and B at least, sums in f32, C and D alike and bf16, f16 or
 * f32, a bias in bf16 (or f16 with D); from compute capability 8.9. Scales are of one kind for A
 * and B; one for each row and column is for 9.0 only, and only 8-bit operands have scales. */
static cublasStatus_t check_fp8(struct product *p, cublasLtMatmulDesc_t desc)
{
    int32_t a_mode = 0, b_mode = 0, compute = 0, scale_type = 0;
    bool is_a8 = p->a.type == CUDA_R_8F_E4M3 || p->a.type == CUDA_R_8F_E5M2;
    bool is_b8 = p->b.type == CUDA_R_8F_E4M3 || p->b.type == CUDA_R_8F_E5M2;
    int arch = runtime_options()->arch;
    read_attribute(desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &a_mode, sizeof a_mode);
    read_attribute(desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &b_mode, sizeof b_mode);
    read_attribute(desc, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, &compute, sizeof compute);
    read_attribute(desc, CUBLASLT_MATMUL_DESC_SCALE_TYPE, &scale_type, sizeof scale_type);
    p->is_outer = a_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    if (!is_a8 && !is_b8)
        return p->a_scale || p->b_scale || a_mode || b_mode ? CUBLAS_STATUS_INVALID_VALUE
                                                            : CUBLAS_STATUS_SUCCESS;
    if (a_mode != b_mode || (p->is_outer && (!p->a_scale || !p->b_scale)))
        return CUBLAS_STATUS_INVALID_VALUE;
    bool is_d_known =
        p->d.type == CUDA_R_16BF || p->d.type == CUDA_R_16F || p->d.type == CUDA_R_32F;
    bool is_bias_known = !p->bias || p->bias_type == CUDA_R_16BF ||
                         (p->bias_type == CUDA_R_16F && p->d.type == CUDA_R_16F);
    bool are_rows_known = p->a.leading % 16 == 0 && p->b.leading % 16 == 0 &&
                          (size_t)p->d.leading * width_of(p->d.type) % 16 == 0;
    bool is_known = is_a8 && is_b8 &&
                    !(p->a.type == CUDA_R_8F_E5M2 && p->b.type == CUDA_R_8F_E5M2) &&
                    compute == CUBLAS_COMPUTE_32F && scale_type == CUDA_R_32F && is_d_known &&
                    p->c.type == p->d.type && is_bias_known && are_rows_known && p->m % 16 == 0 &&
                    (a_mode == 0 || p->is_outer) && arch >= 89 && (!p->is_outer || arch == 90);
    return is_known ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* Fill in a product; the status that the library would give. */
static cublasStatus_t describe(struct product *p, cublasLtMatmulDesc_t desc,
                               cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                               cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d)
{
    int32_t transposed_a = 0, transposed_b = 0, bias_type = -1;
    *p = (struct product){
        .a = read_layout(a), .b = read_layout(b), .c = read_layout(c), .d = read_layout(d)};
    read_attribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed_a, sizeof transposed_a);
    read_attribute(desc, CUBLASLT_MATMUL_DESC_TRANSB, &transposed_b, sizeof transposed_b);
    read_attribute(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &p->epilogue, sizeof p->epilogue);
    read_attribute(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias);
    read_attribute(desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type);
    read_attribute(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &p->a_scale, sizeof p->a_scale);
    read_attribute(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &p->b_scale, sizeof p->b_scale);
    p->is_a_transposed = transposed_a == CUBLAS_OP_T;
    p->is_b_transposed = transposed_b == CUBLAS_OP_T;
    p->bias_type = bias_type >= 0 ? (cudaDataType_t)bias_type : p->d.type;
    p->m = p->is_a_transposed ? p->a.columns : p->a.rows;
    p->k = p->is_a_transposed ? p->a.rows : p->a.columns;
    p->n = p->is_b_transposed ? p->b.rows : p->b.columns;

    size_t width = width_of(p->a.type);
    if ((p->is_b_transposed ? p->b.columns : p->b.rows) != p->k || p->d.rows != p->m ||
        p->d.columns != p->n || p->c.rows != p->m || p->c.columns != p->n ||
        p->a.n_batches != p->d.n_batches || p->b.n_batches != p->d.n_batches)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!width || !width_of(p->b.type) || !width_of(p->d.type))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (width == 1 && (!p->is_a_transposed || p->is_b_transposed || p->k % 16 || p->m % 4))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    cublasStatus_t status = check_fp8(p, desc);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    if ((p->epilogue & CUBLASLT_EPILOGUE_BIAS) && !p->bias)
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}

/* --- in the library's place -------------------------------------------------------------------*/

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    void *something = malloc(1); /* only its address matters */
    *handle = something;
    return something ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int n_wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *n)
{
    struct product p;
    (void)preference;
    *n = 0;
    if (!handle || n_wanted < 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    cublasStatus_t status = describe(&p, desc, a, b, c, d);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    results[0] = (cublasLtMatmulHeuristicResult_t){.state = CUBLAS_STATUS_SUCCESS};
    *n = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
    (void)algo;
    struct product *p = malloc(sizeof *p);
    if (!handle || !p) {
        free(p);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    cublasStatus_t status = describe(p, desc, a_layout, b_layout, c_layout, d_layout);
    if (!status && ((uintptr_t)a | (uintptr_t)b | (uintptr_t)d) % 16 != 0)
        status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (!status && workspace_bytes && vgpu_device_of(workspace, workspace_bytes) < 0)
        status = CUBLAS_STATUS_INVALID_VALUE;
    p->alpha = (double)*(const float *)alpha;
    p->beta = (double)*(const float *)beta;
    p->a_data = a;
    p->b_data = b;
    p->c_data = c;
    p->d_data = d;
    if (!status && cudaLaunchHostFunc(stream, run, p) != cudaSuccess)
        status = CUBLAS_STATUS_EXECUTION_FAILED;
    if (status)
        free(p);
    return status;
}
