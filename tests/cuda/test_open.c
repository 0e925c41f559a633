/* Opening a device, saying why not, and what is left of it after a fault. */
#include "cuda/cuda.h"
#include "tensor/ops.h"
#include "tests/cuda_sim/runtime.h"
#include "tests/cuda_sim/vgpu.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int restore(void **state)
{
    (void)state;
    runtime_options()->n_devices = 1;
    runtime_options()->arch = 90;
    return 0;
}

/* Opening fails with a text that has `part` in it. */
static void expect_refusal(struct cuda_options options, enum error_code code, const char *part)
{
    struct backend *b = NULL;
    struct error err = {0};
    assert_false(cuda_open(&b, &options, &err));
    assert_null(b);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static struct backend *open_device(void)
{
    struct backend *b = NULL;
    struct error err = {0};
    if (!cuda_open(&b, &(struct cuda_options){.compute = DTYPE_F32}, &err))
        fail_msg("%s", err.text);
    return b;
}

static void a_device_is_described(void **state)
{
    (void)state;
    struct backend *b = open_device();
    assert_string_equal(b->name, "cuda");
    assert_non_null(strstr(b->device, "sm_90"));
    assert_non_null(strstr(b->device, "GiB"));
    backend_close(b);
}

static void without_a_driver_that_is_said(void **state)
{
    (void)state;
    struct error err = {0};
    runtime_options()->n_devices = 0;
    runtime_options()->no_device = cudaErrorInsufficientDriver;
    expect_refusal((struct cuda_options){.compute = DTYPE_F32}, ERR_DEVICE, "driver");
    assert_int_equal(cuda_device_count(&err), 0);
    assert_non_null(strstr(err.text, "driver"));
}

static void without_a_device_that_is_said(void **state)
{
    (void)state;
    runtime_options()->n_devices = 0;
    runtime_options()->no_device = cudaErrorNoDevice;
    expect_refusal((struct cuda_options){.compute = DTYPE_F32}, ERR_DEVICE, "no CUDA-capable");
}

static void a_device_that_is_too_old_is_named_with_the_need(void **state)
{
    (void)state;
    runtime_options()->arch = 75;
    expect_refusal((struct cuda_options){.compute = DTYPE_F32}, ERR_DEVICE, "7.5; 8.0 or later");
}

static void fp8_products_are_for_newer_devices(void **state)
{
    (void)state;
    static const struct {
        int arch;
        bool multiplies_fp8;
    } DEVICES[] = {{80, false}, {86, false}, {89, true}, {90, true}, {120, true}};
    for (size_t i = 0; i < sizeof DEVICES / sizeof DEVICES[0]; i++) {
        struct backend *b = NULL;
        runtime_options()->arch = DEVICES[i].arch;
        assert_true(cuda_open(&b, &(struct cuda_options){.compute = DTYPE_BF16}, NULL));
        assert_true(b->multiplies_int8);
        assert_int_equal(b->multiplies_fp8, DEVICES[i].multiplies_fp8);
        backend_close(b);
    }
}

static void a_device_number_outside_the_range_is_refused(void **state)
{
    (void)state;
    expect_refusal((struct cuda_options){.device_id = 3, .compute = DTYPE_F32}, ERR_INVALID,
                   "device 3");
}

static void a_type_that_is_not_computed_in_is_refused(void **state)
{
    (void)state;
    expect_refusal((struct cuda_options){.compute = DTYPE_F16}, ERR_INVALID, "f32 or bf16");
}

static void two_devices_work_in_turns_on_one_thread(void **state)
{
    (void)state;
    struct backend *b[2];
    struct tensor x[2];
    struct error err = {0};
    float ones[16], results[16];
    runtime_options()->n_devices = 2;
    for (int i = 0; i < 16; i++)
        ones[i] = 1.0f;
    for (int i = 0; i < 2; i++) {
        const struct cuda_options options = {.device_id = i, .compute = DTYPE_F32};
        if (!cuda_open(&b[i], &options, &err))
            fail_msg("%s", err.text);
        x[i] = tensor_make(backend_alloc(b[i], sizeof ones, &err), DTYPE_F32, SHAPE(16));
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++) {
            backend_upload(b[i], x[i], ones);
            op_affine(b[i], x[i], x[i], 2.0f, (float)(10 * i));
        }
        for (int i = 0; i < 2; i++) {
            assert_true(backend_download(b[i], results, x[i], &err));
            assert_true(results[15] == 2.0f + (float)(10 * i));
        }
    }
    for (int i = 0; i < 2; i++) {
        backend_free(b[i], x[i].data);
        backend_close(b[i]);
    }
    assert_int_equal(vgpu_all_faults(), 0);
}

/* One operation whose kernel fails. */
static bool run_failing(struct backend *b, bool is_sticky, struct error *err)
{
    struct tensor x = tensor_make(backend_alloc(b, 64, err), DTYPE_F32, SHAPE(16));
    float zeros[16] = {0};
    backend_upload(b, x, zeros);
    runtime_plant_failure(cudaErrorIllegalAddress, 0, is_sticky);
    op_affine(b, x, x, 1.0f, 1.0f);
    return backend_sync(b, err);
}

static void a_fault_is_reported_once_by_sync(void **state)
{
    (void)state;
    struct backend *b = open_device();
    struct error err = {0}, none = {0};
    assert_false(run_failing(b, false, &err));
    assert_int_equal(err.code, ERR_DEVICE);
    assert_true(backend_sync(b, &none));
    assert_false(cuda_is_lost(b));
    backend_close(b);
}

static void a_sticky_fault_means_that_the_device_is_lost(void **state)
{
    (void)state;
    struct backend *b = open_device();
    struct error err = {0};
    assert_false(run_failing(b, true, &err));
    assert_true(cuda_is_lost(b));
    backend_close(b);
    cudaDeviceReset();
}

static void a_lost_device_is_told_from_one_that_is_full(void **state)
{
    (void)state;
    struct backend *b = open_device();
    struct error full = {0}, lost = {0};
    assert_null(backend_alloc(b, (size_t)1 << 50, &full));
    assert_int_equal(full.code, ERR_MEMORY);
    assert_false(cuda_is_lost(b));
    struct tensor x = tensor_make(backend_alloc(b, 64, &lost), DTYPE_F32, SHAPE(16));
    runtime_plant_failure(cudaErrorIllegalAddress, 0, true);
    op_affine(b, x, x, 1.0f, 1.0f);
    op_affine(b, x, x, 1.0f, 1.0f);
    backend_upload(b, x, (float[16]){0}); /* queues what was noted */
    cudaDeviceSynchronize();
    assert_null(backend_alloc(b, 64, &lost));
    assert_int_equal(lost.code, ERR_DEVICE);
    assert_true(cuda_is_lost(b));
    backend_close(b);
    cudaDeviceReset();
}

/* This program has no stand-in; where the real library is found it can't know these devices. */
static void a_team_without_nccl_says_what_is_missing(void **state)
{
    (void)state;
    void *library = dlopen("libnccl.so.2", RTLD_NOW);
    struct backend *b = NULL;
    struct error err = {0};
    runtime_options()->n_devices = 2;
    assert_false(cuda_open_team(&b, &(struct cuda_options){.compute = DTYPE_F32}, 2, &err));
    assert_null(b);
    assert_int_equal(err.code, ERR_DEVICE);
    const char *part = library ? "NCCL can't connect 2 devices from device 0 on"
                               : "through NCCL, which can't be loaded: libnccl.so.2";
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    if (library)
        dlclose(library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_device_is_described, restore),
        cmocka_unit_test_teardown(without_a_driver_that_is_said, restore),
        cmocka_unit_test_teardown(without_a_device_that_is_said, restore),
        cmocka_unit_test_teardown(a_device_that_is_too_old_is_named_with_the_need, restore),
        cmocka_unit_test_teardown(fp8_products_are_for_newer_devices, restore),
        cmocka_unit_test_teardown(a_device_number_outside_the_range_is_refused, restore),
        cmocka_unit_test_teardown(a_type_that_is_not_computed_in_is_refused, restore),
        cmocka_unit_test_teardown(two_devices_work_in_turns_on_one_thread, restore),
        cmocka_unit_test_teardown(a_fault_is_reported_once_by_sync, restore),
        cmocka_unit_test_teardown(a_sticky_fault_means_that_the_device_is_lost, restore),
        cmocka_unit_test_teardown(a_team_without_nccl_says_what_is_missing, restore),
        cmocka_unit_test_teardown(a_lost_device_is_told_from_one_that_is_full, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
