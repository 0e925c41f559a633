/* The simulated device: sample kernels compute what they should in every order of threads, and each
 * checker reports the fault planted for it. Linked with samples.cu through either front end. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/cuda/samples.h"
#include "tests/cuda_sim/vgpu.h"

enum { ROWS = 3, COLS = 200 };

static cudaStream_t stream;

/* --- helpers ----------------------------------------------------------------------------------*/

static void *upload(const void *host, size_t bytes)
{
    void *device;
    assert_int_equal(cudaMalloc(&device, bytes), cudaSuccess);
    assert_int_equal(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    return device;
}

static void *make_output(size_t bytes)
{
    void *device;
    assert_int_equal(cudaMalloc(&device, bytes), cudaSuccess);
    return device;
}

static void download(void *host, const void *device, size_t bytes)
{
    assert_int_equal(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
}

static void run(void) { assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess); }

/* Reproducible numbers in [-1, 1). */
static float number(int i) { return (float)((unsigned)i * 2654435761u >> 8) * 0x1p-23f - 1.0f; }

static float *numbers(int n)
{
    float *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < n; i++)
        x[i] = number(i);
    return x;
}

/* A NaN is as wrong as it gets. */
static void assert_close(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance))
        fail_msg("%.9g, expected %.9g", got, expected);
}

static void expect_no_fault(void) { assert_int_equal(vgpu_all_faults(), 0); }

static void expect(enum vgpu_fault fault)
{
    if (!vgpu_faults(fault)) {
        for (int i = 0; i < VGPU_N_FAULTS; i++)
            if (vgpu_faults((enum vgpu_fault)i))
                print_message("%s: %d\n", vgpu_fault_name((enum vgpu_fault)i),
                              vgpu_faults((enum vgpu_fault)i));
        fail_msg("nothing of kind %s", vgpu_fault_name(fault));
    }
}

static void in_each_order(void (*body)(void))
{
    for (int order = 0; order < VGPU_N_ORDERS; order++) {
        vgpu_options.order = (enum vgpu_order)order;
        body();
    }
}

static int setup(void **state)
{
    (void)state;
    vgpu_faults_reset();
    vgpu_options = (struct vgpu_options){.seed = 7, .checks = VGPU_CHECK_RACES};
    return 0;
}

static int setup_fault(void **state)
{
    setup(state);
    vgpu_options.is_quiet = true;
    return 0;
}

/* --- right kernels ----------------------------------------------------------------------------*/

static void check_softmax(void)
{
    float *x = numbers(ROWS * COLS), y[ROWS * COLS];
    void *dx = upload(x, sizeof y), *dy = make_output(sizeof y);
    sample_softmax(dx, dy, ROWS, COLS, SOFTMAX_RIGHT, stream);
    run();
    download(y, dy, sizeof y);
    for (int r = 0; r < ROWS; r++) {
        double sum = 0.0;
        for (int c = 0; c < COLS; c++)
            sum += exp((double)x[r * COLS + c]);
        for (int c = 0; c < COLS; c++)
            assert_close((double)y[r * COLS + c], exp((double)x[r * COLS + c]) / sum, 1e-7);
    }
    cudaFree(dx);
    cudaFree(dy);
    free(x);
    expect_no_fault();
}

static void softmax_is_right_in_every_order(void **state)
{
    (void)state;
    in_each_order(check_softmax);
}

static void product_is_right(int m, int n, int k)
{
    uint16_t *a = malloc((size_t)(m * k) * 2), *w = malloc((size_t)(n * k) * 2);
    float *c = malloc((size_t)(m * n) * 4);
    assert_true(a && w && c);
    for (int i = 0; i < m * k; i++)
        a[i] = vgpu_to_bf16(number(i));
    for (int i = 0; i < n * k; i++)
        w[i] = vgpu_to_bf16(number(i + 1000));
    void *da = upload(a, (size_t)(m * k) * 2), *dw = upload(w, (size_t)(n * k) * 2);
    void *dc = make_output((size_t)(m * n) * 4);
    sample_product(da, dw, dc, m, n, k, PRODUCT_RIGHT, stream);
    run();
    download(c, dc, (size_t)(m * n) * 4);
    for (int i = 0; i < m * n; i++) {
        double sum = 0.0;
        for (int p = 0; p < k; p++)
            sum += (double)vgpu_from_bf16(a[i / n * k + p]) * vgpu_from_bf16(w[i % n * k + p]);
        assert_close((double)c[i], sum, 1e-5);
    }
    cudaFree(da), cudaFree(dw), cudaFree(dc);
    free(a), free(w), free(c);
    expect_no_fault();
}

static void check_products(void)
{
    product_is_right(64, 64, 64); /* exact tiles */
    product_is_right(50, 37, 72); /* ragged */
    product_is_right(1, 8, 8);    /* one row */
}

static void product_is_right_in_every_order(void **state)
{
    (void)state;
    in_each_order(check_products);
}

/* a [16, 32] and w [8, 32] of bytes; c [16, 8]. */
static void int8_product_is_exact(void **state)
{
    (void)state;
    int8_t a[16 * 32], w[8 * 32];
    int c[16 * 8];
    for (int i = 0; i < 16 * 32; i++)
        a[i] = (int8_t)(number(i) * 127.0f);
    for (int i = 0; i < 8 * 32; i++)
        w[i] = (int8_t)(number(i + 99) * 127.0f);
    void *da = upload(a, sizeof a), *dw = upload(w, sizeof w), *dc = make_output(sizeof c);
    sample_int8(da, dw, dc, stream);
    run();
    download(c, dc, sizeof c);
    for (int i = 0; i < 16 * 8; i++) {
        int sum = 0;
        for (int p = 0; p < 32; p++)
            sum += a[i / 8 * 32 + p] * w[i % 8 * 32 + p];
        assert_int_equal(c[i], sum);
    }
    expect_no_fault();
}

static void e4m3_product_is_right(void **state)
{
    (void)state;
    uint8_t a[16 * 32], w[8 * 32];
    float c[16 * 8];
    for (int i = 0; i < 16 * 32; i++)
        a[i] = vgpu_to_fp8(number(i) * 8.0f, VGPU_E4M3);
    for (int i = 0; i < 8 * 32; i++)
        w[i] = vgpu_to_fp8(number(i + 99) * 8.0f, VGPU_E4M3);
    void *da = upload(a, sizeof a), *dw = upload(w, sizeof w), *dc = make_output(sizeof c);
    const char *arch = getenv("SAMPLES_ARCH"); /* of the PTX; unset: front end S */
    if (arch && strtol(arch, NULL, 10) < 89)
        skip();
    sample_e4m3(da, dw, dc, stream);
    run();
    download(c, dc, sizeof c);
    for (int i = 0; i < 16 * 8; i++) {
        double sum = 0.0;
        for (int p = 0; p < 32; p++)
            sum += (double)vgpu_from_fp8(a[i / 8 * 32 + p], VGPU_E4M3) *
                   vgpu_from_fp8(w[i % 8 * 32 + p], VGPU_E4M3);
        assert_close((double)c[i], sum, 1e-4);
    }
    expect_no_fault();
}

static void shuffles_follow_the_manual(void **state)
{
    (void)state;
    int out[320];
    void *d = make_output(sizeof out);
    sample_shuffles(d, stream);
    run();
    download(out, d, sizeof out);
    for (int l = 0; l < 32; l++) {
        int in8 = l % 8, base = l - in8;
        assert_int_equal(out[l], l + 3 < 32 ? l + 3 : l);
        assert_int_equal(out[32 + l], l >= 3 ? l - 3 : l);
        assert_int_equal(out[64 + l], l ^ 5);
        assert_int_equal(out[96 + l], 2);
        assert_int_equal(out[128 + l], in8 + 3 < 8 ? l + 3 : l);
        assert_int_equal(out[160 + l], in8 >= 3 ? l - 3 : l);
        assert_int_equal(out[192 + l], l ^ 5);
        assert_int_equal(out[224 + l], base + 2);
        assert_int_equal(out[256 + l], 0x49249249);
        assert_int_equal(out[288 + l], 2);
    }
    expect_no_fault();
}

static void atomic_sum_is_right_and_no_race(void **state)
{
    (void)state;
    float *x = numbers(1000), total = 0.0f;
    double expected = 0.0;
    for (int i = 0; i < 1000; i++)
        expected += (double)x[i];
    void *dx = upload(x, 4000), *dtotal = upload(&total, sizeof total);
    sample_sum(dx, 1000, dtotal, 0, stream);
    run();
    download(&total, dtotal, sizeof total);
    assert_close((double)total, expected, 1e-4);
    expect_no_fault();
    free(x);
}

/* --- planted faults ---------------------------------------------------------------------------*/

static void run_faulty_softmax(enum softmax_fault fault)
{
    float *x = numbers(ROWS * COLS);
    void *dx = upload(x, ROWS * COLS * 4), *dy = make_output(ROWS * COLS * 4);
    sample_softmax(dx, dy, ROWS, COLS, fault, stream);
    run();
    free(x);
}

static const struct {
    enum softmax_fault planted;
    enum vgpu_fault expected;
} SOFTMAX_FAULTS[] = {
    {SOFTMAX_NO_BARRIER, VGPU_RACE},
    {SOFTMAX_SHARED_OVERRUN, VGPU_OUT_OF_BOUNDS},
    {SOFTMAX_UNWRITTEN_SHARED, VGPU_UNINITIALISED},
    {SOFTMAX_DIVERGENT_BARRIER, VGPU_DIVERGENT_BARRIER},
    {SOFTMAX_ROW_OVERRUN, VGPU_OUT_OF_BOUNDS},
    {SOFTMAX_ROW_OVERRUN, VGPU_RACE},
    {SOFTMAX_MISALIGNED, VGPU_MISALIGNED},
    {SOFTMAX_PARTIAL_MASK, VGPU_BAD_MASK},
    {SOFTMAX_EARLY_RETURN, VGPU_EXITED_AT_BARRIER},
    {SOFTMAX_DEADLOCK, VGPU_DEADLOCK},
};

static void check_softmax_faults(void)
{
    for (size_t i = 0; i < sizeof SOFTMAX_FAULTS / sizeof SOFTMAX_FAULTS[0]; i++) {
        vgpu_faults_reset();
        run_faulty_softmax(SOFTMAX_FAULTS[i].planted);
        expect(SOFTMAX_FAULTS[i].expected);
    }
}

static void each_fault_of_softmax_is_reported(void **state)
{
    (void)state;
    in_each_order(check_softmax_faults);
}

static void run_faulty_product(enum product_fault fault)
{
    enum { M = 64, N = 64, K = 128 };
    uint16_t *ones = calloc(M * K, sizeof *ones);
    void *da = upload(ones, M * K * 2), *dw = upload(ones, N * K * 2), *dc = make_output(M * N * 4);
    sample_product(da, dw, dc, M, N, K, fault, stream);
    run();
    free(ones);
}

static void check_missing_wait(void)
{
    vgpu_faults_reset();
    run_faulty_product(PRODUCT_NO_WAIT);
    expect(VGPU_UNINITIALISED);
}

static void check_overwritten_tile(void)
{
    vgpu_faults_reset();
    run_faulty_product(PRODUCT_OVERWRITE);
    expect(VGPU_RACE);
}

static void copy_read_before_its_wait_is_reported(void **state)
{
    (void)state;
    in_each_order(check_missing_wait);
}

static void tile_overwritten_while_read_is_reported(void **state)
{
    (void)state;
    in_each_order(check_overwritten_tile);
}

static void plain_addition_by_two_blocks_is_a_race(void **state)
{
    (void)state;
    float zeros[1000] = {0};
    void *dx = upload(zeros, sizeof zeros), *dtotal = upload(zeros, sizeof(float));
    sample_sum(dx, 1000, dtotal, 1, stream);
    run();
    expect(VGPU_RACE);
}

static void freed_memory_is_out_of_bounds(void **state)
{
    (void)state;
    float x[64] = {0};
    void *dx = upload(x, sizeof x), *dy = make_output(sizeof x);
    cudaFree(dx);
    sample_increment(dx, dy, 64, stream);
    run();
    expect(VGPU_OUT_OF_BOUNDS);
}

static void unwritten_device_memory_is_reported(void **state)
{
    (void)state;
    void *dx = make_output(64 * sizeof(float)), *dy = make_output(64 * sizeof(float));
    sample_increment(dx, dy, 64, stream);
    run();
    expect(VGPU_UNINITIALISED);
}

static void host_pointer_in_a_kernel_is_reported(void **state)
{
    (void)state;
    float *x = calloc(64, sizeof *x);
    void *dy = make_output(64 * sizeof(float));
    sample_increment(x, dy, 64, stream);
    run();
    expect(VGPU_HOST_MEMORY);
    free(x);
}

static void memory_of_another_device_needs_peer_access(void **state)
{
    (void)state;
    float x[64] = {0};
    cudaSetDevice(1);
    void *there = upload(x, sizeof x);
    cudaSetDevice(0);
    void *dy = make_output(sizeof x);
    sample_increment(there, dy, 64, stream);
    run();
    expect(VGPU_WRONG_DEVICE);
    vgpu_faults_reset();
    assert_int_equal(cudaDeviceEnablePeerAccess(1, 0), cudaSuccess);
    sample_increment(there, dy, 64, stream);
    run();
    expect_no_fault();
}

static void checks_can_be_switched_off(void **state)
{
    (void)state;
    vgpu_options.checks = VGPU_CHECK_MEMORY;
    run_faulty_softmax(SOFTMAX_ROW_OVERRUN);
    assert_int_equal(vgpu_faults(VGPU_RACE), 0);
    expect(VGPU_OUT_OF_BOUNDS);
}

/* --- number formats ---------------------------------------------------------------------------*/

static void formats_round_trip_and_round_to_even(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i++) {
        float wide = vgpu_from_f16((uint16_t)i), brain = vgpu_from_bf16((uint16_t)i);
        if (!isnan(wide))
            assert_int_equal(vgpu_to_f16(wide), i);
        if (!isnan(brain))
            assert_int_equal(vgpu_to_bf16(brain), i);
    }
    for (unsigned i = 0; i < 256; i++) {
        float e4m3 = vgpu_from_fp8((uint8_t)i, VGPU_E4M3),
              e5m2 = vgpu_from_fp8((uint8_t)i, VGPU_E5M2);
        if (!isnan(e4m3))
            assert_int_equal(vgpu_to_fp8(e4m3, VGPU_E4M3), i);
        if (!isnan(e5m2) && !isinf(e5m2))
            assert_int_equal(vgpu_to_fp8(e5m2, VGPU_E5M2), i);
    }
    assert_true(vgpu_from_fp8(vgpu_to_fp8(17.0f, VGPU_E4M3), VGPU_E4M3) == 16.0f); /* ties */
    assert_true(vgpu_from_fp8(vgpu_to_fp8(19.0f, VGPU_E4M3), VGPU_E4M3) == 20.0f);
    assert_true(vgpu_from_fp8(vgpu_to_fp8(1e9f, VGPU_E4M3), VGPU_E4M3) == 448.0f);
    assert_true(vgpu_from_f16(vgpu_to_f16(2049.0f)) == 2048.0f);
    assert_true(vgpu_from_f16(vgpu_to_f16(2051.0f)) == 2052.0f);
    assert_true(isinf(vgpu_from_f16(vgpu_to_f16(65520.0f))));
    assert_true(vgpu_from_bf16(vgpu_to_bf16(257.0f)) == 256.0f);
    assert_true(isnan(vgpu_from_bf16(vgpu_to_bf16(NAN))));
}

static int open_stream(void **state)
{
    (void)state;
    return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess ? 0 : -1;
}

#define RIGHT(test) cmocka_unit_test_setup(test, setup)
#define FAULTY(test) cmocka_unit_test_setup(test, setup_fault)

int main(void)
{
    setenv("CUDA_SIM_DEVICES", "2", 1);
    const struct CMUnitTest tests[] = {
        RIGHT(softmax_is_right_in_every_order),
        RIGHT(product_is_right_in_every_order),
        RIGHT(int8_product_is_exact),
        RIGHT(e4m3_product_is_right),
        RIGHT(shuffles_follow_the_manual),
        RIGHT(atomic_sum_is_right_and_no_race),
        FAULTY(each_fault_of_softmax_is_reported),
        FAULTY(copy_read_before_its_wait_is_reported),
        FAULTY(tile_overwritten_while_read_is_reported),
        FAULTY(plain_addition_by_two_blocks_is_a_race),
        FAULTY(freed_memory_is_out_of_bounds),
        FAULTY(unwritten_device_memory_is_reported),
        FAULTY(host_pointer_in_a_kernel_is_reported),
        FAULTY(memory_of_another_device_needs_peer_access),
        FAULTY(checks_can_be_switched_off),
        RIGHT(formats_round_trip_and_round_to_even),
    };
    return cmocka_run_group_tests(tests, open_stream, NULL);
}
