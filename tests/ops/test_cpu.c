/* What only the CPU back end promises: the same bits for any number of threads, a clear answer to
 * wrong options, and bounded growth of prepared products. */
#include "cpu/cpu.h"
#include "cuda/cuda.h"
#include "tensor/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A dense tensor with a deterministic pattern. */
static struct tensor pattern(struct shape shape, uint32_t seed)
{
    struct tensor t = tensor_make(NULL, DTYPE_F32, shape);
    float *values = malloc(tensor_bytes(t));
    assert_non_null(values);
    for (int64_t i = 0; i < tensor_elements(t); i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
    t.data = values;
    return t;
}

static struct backend *open_cpu(int threads)
{
    struct backend *b = NULL;
    struct error err = {0};
    if (!cpu_open(&b, &(struct cpu_options){.threads = threads, .compute = DTYPE_F32}, &err))
        fail_msg("%s", err.text);
    return b;
}

static struct tensor adopt(struct backend *b, struct tensor host, enum weight_use use)
{
    struct tensor t = {0};
    struct error err = {0};
    if (!backend_adopt(b, host, use, &t, &err))
        fail_msg("%s", err.text);
    return t;
}

/* Every operation whose work is shared, one after the other; the result is the caller's. */
static struct tensor run_all(int threads)
{
    enum { ROWS = 700, WIDTH = 96, HEADS = 3, SIDE = 28, CHANNELS = 25 };
    struct backend *b = open_cpu(threads);
    struct error err = {0};
    struct tensor w = pattern(SHAPE(WIDTH, WIDTH), 1), conv = pattern(SHAPE(WIDTH, WIDTH, 3, 3), 2);
    struct tensor norm = pattern(SHAPE(WIDTH), 3), x = pattern(SHAPE(1, ROWS, WIDTH), 4);
    struct tensor y = pattern(SHAPE(1, ROWS, WIDTH), 5), z = pattern(SHAPE(1, ROWS, WIDTH), 6);
    struct tensor weight = adopt(b, w, WEIGHT_MATRIX), vector = adopt(b, norm, WEIGHT_VECTOR);
    struct tensor kernel = adopt(b, conv, WEIGHT_CONV), none = tensor_none();
    op_linear(b, y, x, weight, vector, ACT_SILU);
    op_attention(b, tensor_split(z, 2, HEADS), tensor_split(x, 2, HEADS), tensor_split(y, 2, HEADS),
                 tensor_split(x, 2, HEADS), none, 0.2f, false);
    struct tensor map_z = tensor_reshape(z, SHAPE(1, SIDE, CHANNELS, WIDTH));
    struct tensor map_y = tensor_reshape(y, SHAPE(1, SIDE, CHANNELS, WIDTH));
    op_conv2d(b, map_y, map_z, kernel, vector, 1, 1, 1, 1);
    op_group_norm(b, map_y, map_y, vector, vector, 8, 1e-6f, ACT_SILU);
    op_layer_norm(b, y, y, vector, vector, none, none, 1e-6f);
    if (!backend_sync(b, &err))
        fail_msg("%s", err.text);
    backend_close(b);
    free(w.data);
    free(conv.data);
    free(norm.data);
    free(x.data);
    free(z.data);
    return y;
}

static void results_do_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    struct tensor one = run_all(1);
    for (int threads = 2; threads <= 5; threads++) {
        struct tensor many = run_all(threads);
        assert_memory_equal(one.data, many.data, tensor_bytes(one));
        free(many.data);
    }
    free(one.data);
}

static void many_shapes_are_served_by_a_bounded_cache(void **state)
{
    (void)state;
    enum { SHAPES = 300, WIDTH = 16 };
    struct backend *b = open_cpu(1);
    struct tensor w = pattern(SHAPE(WIDTH, WIDTH), 1), x = pattern(SHAPE(SHAPES, WIDTH), 2);
    struct tensor first = pattern(SHAPE(SHAPES, WIDTH), 3), out = pattern(SHAPE(SHAPES, WIDTH), 4);
    struct tensor weight = adopt(b, w, WEIGHT_MATRIX);
    op_linear(b, first, x, weight, tensor_none(), ACT_NONE);
    for (int64_t rows = 1; rows <= SHAPES; rows++)
        op_linear(b, tensor_slice(out, 0, 0, rows), tensor_slice(x, 0, 0, rows), weight,
                  tensor_none(), ACT_NONE);
    assert_memory_equal(first.data, out.data, tensor_bytes(out));
    assert_true(backend_sync(b, NULL));
    backend_close(b);
    free(w.data);
    free(x.data);
    free(first.data);
    free(out.data);
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    struct backend *b = NULL;
    struct error err = {0};
    assert_false(cpu_open(&b, &(struct cpu_options){.threads = -1, .compute = DTYPE_F32}, &err));
    assert_string_equal(err.field, "threads");
    err = (struct error){0};
    assert_false(cpu_open(&b, &(struct cpu_options){.threads = 1, .compute = DTYPE_F16}, &err));
    assert_string_equal(err.field, "dtype");
    const char *before = getenv("FLUXBENCH_CPU_ISA");
    char *kept = before ? strdup(before) : NULL;
    setenv("FLUXBENCH_CPU_ISA", "mmx", 1);
    err = (struct error){0};
    assert_false(cpu_open(&b, &(struct cpu_options){.threads = 1, .compute = DTYPE_F32}, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, "mmx"));
    if (kept)
        setenv("FLUXBENCH_CPU_ISA", kept, 1);
    else
        unsetenv("FLUXBENCH_CPU_ISA");
    free(kept);
}

static void absent_cuda_says_so(void **state)
{
    (void)state;
    struct backend *b = NULL;
    struct error err = {0};
    if (cuda_device_count(NULL) > 0)
        skip();
    assert_false(cuda_open(&b, &(struct cuda_options){.compute = DTYPE_F32}, &err));
    assert_int_equal(err.code, ERR_DEVICE);
    assert_true(strlen(err.text) > 0);
}

static void a_failed_allocation_reports(void **state)
{
    (void)state;
    struct backend *b = open_cpu(1);
    struct error err = {0};
    assert_null(backend_alloc(b, SIZE_MAX, &err));
    assert_int_equal(err.code, ERR_MEMORY);
    backend_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(many_shapes_are_served_by_a_bounded_cache),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(absent_cuda_says_so),
        cmocka_unit_test(a_failed_allocation_reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
