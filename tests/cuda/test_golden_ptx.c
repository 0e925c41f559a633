/* Tensor-core shapes against another compiler: PTX of matrix products made by Triton
 * (ptx/make_golden_ptx.py), translated like our own, must compute the product. Their layouts come
 * from hardware; ours and the simulator's could be wrong in the same way. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/cuda_sim/runtime.h"

enum { M = 48, N = 64, K = 96, TILE = 32, THREADS = 128, SHARED_BYTES = 48 << 10 };

/* How elements are stored. */
struct format {
    enum vgpu_type type;
    size_t bytes;
    float scale; /* of random elements */
};

static float number(int i) { return (float)((unsigned)i * 2654435761u >> 8) * 0x1p-23f - 1.0f; }

/* Store a random element; returns its value as stored. */
static double put(void *p, int i, struct format f, float x)
{
    x *= f.scale;
    switch (f.type) {
    case VGPU_BF16:
        ((uint16_t *)p)[i] = vgpu_to_bf16(x);
        return (double)vgpu_from_bf16(((uint16_t *)p)[i]);
    case VGPU_F16:
        ((uint16_t *)p)[i] = vgpu_to_f16(x);
        return (double)vgpu_from_f16(((uint16_t *)p)[i]);
    case VGPU_S8:
        ((int8_t *)p)[i] = (int8_t)x;
        return ((int8_t *)p)[i];
    default:
        ((uint8_t *)p)[i] = vgpu_to_fp8(x, f.type);
        return (double)vgpu_from_fp8(((uint8_t *)p)[i], f.type);
    }
}

static void *upload(const void *host, size_t bytes)
{
    void *device;
    assert_int_equal(cudaMalloc(&device, bytes), cudaSuccess);
    assert_int_equal(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    return device;
}

/* c [M, N] = a [M, K] b [K, N], by the kernel of that name. */
static void check_product(const char *kernel, struct format f)
{
    static char a[M * K * 2], b[K * N * 2];
    static double va[M * K], vb[K * N];
    static float c[M * N];
    for (int i = 0; i < M * K; i++)
        va[i] = put(a, i, f, number(i));
    for (int i = 0; i < K * N; i++)
        vb[i] = put(b, i, f, number(i + 7777));
    void *da = upload(a, M * K * f.bytes), *db = upload(b, K * N * f.bytes), *dc, *none = NULL;
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaMalloc(&dc, sizeof c);
    int m = M, n = N, k = K;
    void *arguments[] = {&da, &db, &dc, &m, &n, &k, &none, &none, &none};
    struct vgpu_dim grid = {(M + TILE - 1) / TILE, N / TILE, 1}, block = {THREADS, 1, 1};
    assert_int_equal(runtime_launch_ptx(kernel, grid, block, arguments, SHARED_BYTES, stream),
                     cudaSuccess);
    assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
    assert_int_equal(cudaMemcpy(c, dc, sizeof c, cudaMemcpyDeviceToHost), cudaSuccess);
    for (int i = 0; i < M * N; i++) {
        double sum = 0.0, got = (double)c[i];
        int32_t whole;
        memcpy(&whole, &c[i], sizeof whole);
        if (f.type == VGPU_S8)
            got = whole;
        for (int p = 0; p < K; p++)
            sum += va[i / N * K + p] * vb[p * N + i % N];
        if (!(fabs(got - sum) <= 1e-6 * (1.0 + fabs(sum)) * (f.type != VGPU_S8)))
            fail_msg("[%d, %d]: %.9g, expected %.9g", i / N, i % N, got, sum);
    }
    assert_int_equal(vgpu_all_faults(), 0);
    cudaStreamDestroy(stream);
}

static void check_in_each_order(const char *kernel, struct format f)
{
    for (int order = 0; order < VGPU_N_ORDERS; order++) {
        vgpu_options.order = (enum vgpu_order)order;
        check_product(kernel, f);
    }
}

static void bf16_layout_is_the_hardwares(void **state)
{
    (void)state;
    check_in_each_order("product_bf16", (struct format){VGPU_BF16, 2, 1.0f});
}

static void f16_layout_is_the_hardwares(void **state)
{
    (void)state;
    check_in_each_order("product_f16", (struct format){VGPU_F16, 2, 1.0f});
}

static void int8_layout_is_the_hardwares(void **state)
{
    (void)state;
    check_in_each_order("product_s8", (struct format){VGPU_S8, 1, 127.0f});
}

static void e4m3_layout_is_the_hardwares(void **state)
{
    (void)state;
    check_in_each_order("product_e4m3", (struct format){VGPU_E4M3, 1, 4.0f});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_layout_is_the_hardwares),
        cmocka_unit_test(f16_layout_is_the_hardwares),
        cmocka_unit_test(int8_layout_is_the_hardwares),
        cmocka_unit_test(e4m3_layout_is_the_hardwares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
