/* The stand-in for cuBLASLt: y = gelu(x w^T + bias) by NVIDIA's descriptors is right, and what the
 * library would refuse, or would ruin memory, is noticed. */
#include <cublasLt.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/cuda_sim/vgpu.h"

enum { M = 5, N = 24, K = 16 };

static uint16_t x[M * K], w[N * K], bias[N];
static void *dx, *dw, *dbias, *dy;
static cudaStream_t stream;

static void *upload(const void *host, size_t bytes)
{
    void *device;
    assert_int_equal(cudaMalloc(&device, bytes), cudaSuccess);
    assert_int_equal(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    return device;
}

static int setup(void **state)
{
    (void)state;
    vgpu_faults_reset();
    vgpu_options.is_quiet = true;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    for (int i = 0; i < M * K; i++)
        x[i] = vgpu_to_bf16(sinf((float)i));
    for (int i = 0; i < N * K; i++)
        w[i] = vgpu_to_bf16(cosf((float)i * 0.7f));
    for (int i = 0; i < N; i++)
        bias[i] = vgpu_to_bf16((float)i * 0.1f);
    dx = upload(x, sizeof x);
    dw = upload(w, sizeof w);
    dbias = upload(bias, sizeof bias);
    return cudaMalloc(&dy, M * N * 2) == cudaSuccess ? 0 : -1;
}

/* The first refusal, or success once the product is queued. */
static cublasStatus_t multiply(int64_t w_row, cublasOperation_t w_op, const void *y)
{
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t result;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_GELU_BIAS;
    float one = 1.0f, zero = 0.0f;
    int n = 0;
    cublasLtCreate(&handle);
    cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &w_op, sizeof w_op);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &dbias, sizeof dbias);
    cublasLtMatrixLayoutCreate(&a, CUDA_R_16BF, K, N, w_row);
    cublasLtMatrixLayoutCreate(&b, CUDA_R_16BF, K, M, K);
    cublasLtMatrixLayoutCreate(&d, CUDA_R_16BF, N, M, N);
    cublasLtMatmulPreferenceCreate(&preference);
    cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, desc, a, b, d, d, preference, 1, &result, &n);
    if (!status)
        status = cublasLtMatmul(handle, desc, &one, dw, a, dx, b, &zero, y, d, (void *)(uintptr_t)y,
                                d, &result.algo, NULL, 0, stream);
    cudaStreamSynchronize(stream);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatrixLayoutDestroy(a);
    cublasLtMatrixLayoutDestroy(b);
    cublasLtMatrixLayoutDestroy(d);
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
    return status;
}

static void product_with_bias_and_gelu_is_right(void **state)
{
    (void)state;
    uint16_t y[M * N];
    assert_int_equal(multiply(K, CUBLAS_OP_T, dy), CUBLAS_STATUS_SUCCESS);
    cudaMemcpy(y, dy, sizeof y, cudaMemcpyDeviceToHost);
    for (int i = 0; i < M * N; i++) {
        double s = (double)vgpu_from_bf16(bias[i % N]);
        for (int k = 0; k < K; k++)
            s += (double)vgpu_from_bf16(x[i / N * K + k]) * vgpu_from_bf16(w[i % N * K + k]);
        s *= 0.5 * (1.0 + tanh(0.7978845608 * (s + 0.044715 * s * s * s)));
        assert_true(fabs(s - (double)vgpu_from_bf16(y[i])) <= 0.01 * (0.1 + fabs(s)));
    }
    assert_int_equal(vgpu_all_faults(), 0);
}

static void forgotten_transpose_is_refused(void **state)
{
    (void)state;
    assert_int_not_equal(multiply(K, CUBLAS_OP_N, dy), CUBLAS_STATUS_SUCCESS);
}

static void wrong_leading_dimension_is_reported(void **state)
{
    (void)state;
    multiply(K + 8, CUBLAS_OP_T, dy);
    assert_true(vgpu_faults(VGPU_LIBRARY) > 0);
}

static void unaligned_output_is_refused(void **state)
{
    (void)state;
    assert_int_equal(multiply(K, CUBLAS_OP_T, (char *)dy + 2), CUBLAS_STATUS_NOT_SUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(product_with_bias_and_gelu_is_right, setup),
        cmocka_unit_test_setup(forgotten_transpose_is_refused, setup),
        cmocka_unit_test_setup(wrong_leading_dimension_is_reported, setup),
        cmocka_unit_test_setup(unaligned_output_is_refused, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
