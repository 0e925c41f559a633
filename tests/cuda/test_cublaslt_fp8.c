/* The stand-in for cuBLASLt on e4m3: what the library's documentation asks of such products. */
#include <cublasLt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/cuda_sim/runtime.h"

enum {
    SINGLE = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F,
    OUTER = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F,
    M = 32, /* outputs */
    N = 5,  /* rows */
    K = 48,
};

/* A product that differs in one thing from one that is served; 0 stands for what is usual. */
struct wish {
    const char *what;
    int m, k, w_row, x_row;
    cublasOperation_t op_a, op_b;
    cudaDataType_t a, b, d;
    cublasComputeType_t compute;
    int a_mode, b_mode;
    bool has_no_scales;
    int arch;
    cublasStatus_t expected;
};

static const struct wish WISHES[] = {
    {.what = "scales of rows and outputs"},
    {.what = "one scale each", .a_mode = SINGLE + 1, .b_mode = SINGLE + 1, .arch = 89},
    {.what = "single scales on a new device",
     .a_mode = SINGLE + 1,
     .b_mode = SINGLE + 1,
     .arch = 100},
    {.what = "f32 results", .d = CUDA_R_32F},
    {.what = "w as it lies", .op_a = CUBLAS_OP_C, .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "x transposed", .op_b = CUBLAS_OP_T, .expected = CUBLAS_STATUS_INVALID_VALUE},
    {.what = "inputs not by 16", .k = 40, .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "outputs not by 16", .m = 24, .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "rows of w not by 16", .w_row = 56, .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "rows of x not by 16", .x_row = 56, .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "bf16 and e4m3", .b = CUDA_R_16BF, .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "both e5m2",
     .a = CUDA_R_8F_E5M2,
     .b = CUDA_R_8F_E5M2,
     .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "sums in f16", .compute = CUBLAS_COMPUTE_16F, .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "two kinds of scales", .b_mode = SINGLE + 1, .expected = CUBLAS_STATUS_INVALID_VALUE},
    {.what = "vectors of scales that are not given",
     .has_no_scales = true,
     .expected = CUBLAS_STATUS_INVALID_VALUE},
    {.what = "vectors of scales before 9.0", .arch = 89, .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "vectors of scales after 9.0", .arch = 100, .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "before 8.9",
     .a_mode = SINGLE + 1,
     .b_mode = SINGLE + 1,
     .arch = 80,
     .expected = CUBLAS_STATUS_NOT_SUPPORTED},
    {.what = "bf16 with scales",
     .a = CUDA_R_16BF,
     .b = CUDA_R_16BF,
     .expected = CUBLAS_STATUS_INVALID_VALUE},
};

static cublasStatus_t ask(const struct wish *wish)
{
    static const float scales[M > N ? M : N] = {0};
    const void *scale = wish->has_no_scales ? NULL : scales;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t result;
    uint64_t m = wish->m ? (uint64_t)wish->m : M, k = wish->k ? (uint64_t)wish->k : K;
    cublasOperation_t op_a = wish->op_a == CUBLAS_OP_C ? CUBLAS_OP_N : CUBLAS_OP_T;
    int32_t a_mode = wish->a_mode ? wish->a_mode - 1 : OUTER;
    int32_t b_mode = wish->b_mode ? wish->b_mode - 1 : OUTER;
    cudaDataType_t type_a = wish->a ? wish->a : CUDA_R_8F_E4M3;
    int n = 0;
    cublasLtCreate(&handle);
    cublasLtMatmulDescCreate(&desc, wish->compute ? wish->compute : CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSB, &wish->op_b,
                                   sizeof wish->op_b);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, &a_mode, sizeof a_mode);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, &b_mode, sizeof b_mode);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &scale,
                                   sizeof scale);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &scale,
                                   sizeof scale);
    if (op_a == CUBLAS_OP_T)
        cublasLtMatrixLayoutCreate(&a, type_a, k, m, wish->w_row ? wish->w_row : (int64_t)k);
    else
        cublasLtMatrixLayoutCreate(&a, type_a, m, k, (int64_t)m);
    cublasLtMatrixLayoutCreate(&b, wish->b ? wish->b : CUDA_R_8F_E4M3, k, N,
                               wish->x_row ? wish->x_row : (int64_t)k);
    cublasLtMatrixLayoutCreate(&d, wish->d ? wish->d : CUDA_R_16BF, m, N, (int64_t)m);
    cublasLtMatmulPreferenceCreate(&preference);
    runtime_options()->arch = wish->arch ? wish->arch : 90;
    cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, desc, a, b, d, d, preference, 1, &result, &n);
    assert_int_equal(n, status == CUBLAS_STATUS_SUCCESS);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatrixLayoutDestroy(a);
    cublasLtMatrixLayoutDestroy(b);
    cublasLtMatrixLayoutDestroy(d);
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
    return status;
}

static void only_what_is_documented_is_served(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof WISHES / sizeof WISHES[0]; i++) {
        cublasStatus_t status = ask(&WISHES[i]);
        if (status != WISHES[i].expected)
            fail_msg("%s: status %d, must be %d", WISHES[i].what, (int)status,
                     (int)WISHES[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_what_is_documented_is_served)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
