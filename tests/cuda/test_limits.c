/* What never reaches a kernel: windows without elements, rows and heads that are too wide, working
 * memory and buffers that there is no room for. */
#include "cuda/cuda.h"
#include "tensor/ops.h"
#include "tensor/quant.h"
#include "tests/cuda_sim/runtime.h"
#include "tests/cuda_sim/vgpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIDE = 16384 }; /* more than any kernel takes in one row */

static struct backend *b;
static size_t memory_bytes; /* of the device, normally */

/* Operations run at the call: their launches can be counted. */
static int open_device(void **state)
{
    (void)state;
    struct error err = {0};
    setenv("FLUXBENCH_CUDA_GRAPHS", "0", 1);
    memory_bytes = runtime_options()->memory_bytes;
    vgpu_faults_reset();
    if (!cuda_open(&b, &(struct cuda_options){.compute = DTYPE_F32}, &err))
        fail_msg("%s", err.text);
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    runtime_options()->memory_bytes = memory_bytes;
    backend_close(b);
    assert_int_equal(vgpu_all_faults(), 0);
    return 0;
}

static struct tensor take(struct shape shape)
{
    struct error err = {0};
    struct tensor t = tensor_make(NULL, DTYPE_F32, shape);
    t.data = backend_alloc(b, tensor_bytes(t), &err);
    assert_non_null(t.data);
    return t;
}

static struct tensor adopt(enum dtype dtype, enum weight_use use, struct shape shape, void *zeros)
{
    struct error err = {0};
    struct tensor t, host = tensor_make(zeros, dtype, shape);
    host.scales = (char *)zeros + WIDE;
    if (!backend_adopt(b, host, use, &t, &err))
        fail_msg("%s", err.text);
    return t;
}

/* The next sync reports a fault with that text in it. */
static void expect_fault(enum error_code code, const char *part)
{
    struct error err = {0};
    assert_false(backend_sync(b, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

/* Room for as many bytes more. */
static void leave_room(size_t bytes)
{
    runtime_options()->memory_bytes = vgpu_allocated(0) + bytes;
}

static void windows_without_elements_launch_nothing(void **state)
{
    (void)state;
    static float zeros[64 * 64 * 9];
    struct error err = {0};
    struct tensor none = tensor_none(), w = adopt(DTYPE_F32, WEIGHT_MATRIX, SHAPE(64, 64), zeros);
    struct tensor taps = adopt(DTYPE_F32, WEIGHT_CONV, SHAPE(64, 64, 3, 3), zeros);
    struct tensor table = adopt(DTYPE_F32, WEIGHT_TABLE, SHAPE(64, 64), zeros);
    struct tensor v = adopt(DTYPE_F32, WEIGHT_VECTOR, SHAPE(64), zeros);
    struct tensor rows = take(SHAPE(1, 0, 64)), gate = take(SHAPE(1, 64)), ids = take(SHAPE(0));
    struct tensor map = take(SHAPE(1, 0, 8, 64)), heads = take(SHAPE(1, 0, 2, 64));
    struct tensor angles = take(SHAPE(0, 32)), rgb = take(SHAPE(0, 8, 3)), bytes = rgb;
    ids.dtype = DTYPE_I32;
    bytes.dtype = DTYPE_U8;
    uint64_t before = runtime_counters().launches;
    op_linear(b, rows, rows, w, v, ACT_NONE);
    op_conv2d(b, map, map, taps, v, 1, 1, 1, 1);
    op_attention(b, heads, heads, heads, heads, none, 1.0f, false);
    op_layer_norm(b, rows, rows, v, v, none, none, 1e-6f);
    op_rms_norm(b, rows, rows, v, 1e-6f);
    op_rms_norm_rope(b, heads, v, 1e-6f, angles, angles);
    op_group_norm(b, map, map, v, v, 8, 1e-6f, ACT_SILU);
    op_activate(b, rows, rows, ACT_SILU);
    op_add(b, rows, rows, rows);
    op_gated_add(b, rows, gate, rows);
    op_axpy(b, rows, 0.5f, rows);
    op_embed(b, tensor_reshape(rows, SHAPE(0, 64)), table, ids);
    op_copy(b, rows, rows);
    op_to_rgb8(b, bytes, rgb);
    if (!backend_sync(b, &err))
        fail_msg("%s", err.text);
    assert_true(runtime_counters().launches == before);
    backend_upload(b, gate, zeros);
    op_add(b, gate, gate, gate); /* so the counter would have seen one */
    assert_true(runtime_counters().launches == before + 1);
}

static void rows_and_heads_that_are_too_wide_are_named(void **state)
{
    (void)state;
    float *zeros = calloc(WIDE, sizeof *zeros);
    assert_non_null(zeros);
    struct tensor v = adopt(DTYPE_F32, WEIGHT_VECTOR, SHAPE(WIDE), zeros), none = tensor_none();
    struct tensor rows = take(SHAPE(1, 2, WIDE)), heads = take(SHAPE(1, 2, 1, 1032));
    op_layer_norm(b, rows, rows, v, v, none, none, 1e-6f);
    expect_fault(ERR_INVALID, "rows of 16384: at most 8192");
    op_rms_norm(b, rows, rows, v, 1e-6f);
    expect_fault(ERR_INVALID, "rows of 16384: at most 8192");
    op_attention(b, heads, heads, heads, heads, none, 1.0f, false);
    expect_fault(ERR_INVALID, "heads of 1032: at most");
    backend_free(b, rows.data);
    backend_free(b, heads.data);
    free(zeros);
}

static void working_memory_that_is_missing_is_a_fault_not_a_crash(void **state)
{
    (void)state;
    static char zeros[2 * WIDE];
    struct error err = {0};
    struct tensor w = adopt(DTYPE_INT8, WEIGHT_MATRIX, SHAPE(64, 64), zeros);
    struct tensor v = adopt(DTYPE_F32, WEIGHT_VECTOR, SHAPE(64), zeros);
    struct tensor x = take(SHAPE(1, 1, 8, 64)), rows = tensor_reshape(x, SHAPE(8, 64));
    backend_upload(b, x, zeros);
    leave_room(64);
    op_linear(b, rows, rows, w, tensor_none(), ACT_NONE);
    expect_fault(ERR_MEMORY, "working memory");
    op_group_norm(b, x, x, v, v, 8, 1e-6f, ACT_NONE);
    expect_fault(ERR_MEMORY, "working memory");
    leave_room(1 << 20); /* and it goes on when there is some */
    op_group_norm(b, x, x, v, v, 8, 1e-6f, ACT_NONE);
    if (!backend_sync(b, &err))
        fail_msg("%s", err.text);
    backend_free(b, x.data);
}

static void buffers_for_streamed_weights_that_are_missing_are_named(void **state)
{
    (void)state;
    static float zeros[64 * 64];
    b->home = (struct weight_home){.chain = 1, .layer = 1};
    struct tensor w = adopt(DTYPE_F32, WEIGHT_MATRIX, SHAPE(64, 64), zeros);
    b->home.layer = 2;
    struct tensor table = adopt(DTYPE_F32, WEIGHT_TABLE, SHAPE(64, 64), zeros);
    struct tensor ids = take(SHAPE(8)), rows = take(SHAPE(8, 64)), all = take(SHAPE(64, 64));
    ids.dtype = DTYPE_I32;
    backend_upload(b, ids, zeros);
    backend_upload(b, rows, zeros);
    leave_room(64);
    op_linear(b, rows, rows, w, tensor_none(), ACT_NONE);
    expect_fault(ERR_MEMORY, "two buffers for streamed layers");
    op_embed(b, rows, table, ids);
    expect_fault(ERR_MEMORY, "two buffers for streamed layers");
    op_copy(b, all, table);
    expect_fault(ERR_MEMORY, "two buffers for streamed layers");
    backend_free(b, ids.data);
    backend_free(b, rows.data);
    backend_free(b, all.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(windows_without_elements_launch_nothing, open_device,
                                        close_device),
        cmocka_unit_test_setup_teardown(rows_and_heads_that_are_too_wide_are_named, open_device,
                                        close_device),
        cmocka_unit_test_setup_teardown(working_memory_that_is_missing_is_a_fault_not_a_crash,
                                        open_device, close_device),
        cmocka_unit_test_setup_teardown(buffers_for_streamed_weights_that_are_missing_are_named,
                                        open_device, close_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
