/* Opening a device, saying why not, and what is left of it after a fault. */
#include "cuda/cuda.h"
#include "tensor/ops.h"
#include "tests/cuda_sim/runtime.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_device_is_described, restore),
        cmocka_unit_test_teardown(without_a_driver_that_is_said, restore),
        cmocka_unit_test_teardown(without_a_device_that_is_said, restore),
        cmocka_unit_test_teardown(a_device_that_is_too_old_is_named_with_the_need, restore),
        cmocka_unit_test_teardown(a_device_number_outside_the_range_is_refused, restore),
        cmocka_unit_test_teardown(a_type_that_is_not_computed_in_is_refused, restore),
        cmocka_unit_test_teardown(a_fault_is_reported_once_by_sync, restore),
        cmocka_unit_test_teardown(a_sticky_fault_means_that_the_device_is_lost, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
