/* Made-up weights that come about on the device are those that are made on the host. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda_internal.h"
#include "flux/flux.h"
#include "flux/weights_random.h"
#include "tensor/ops.h"
#include "tests/cuda_sim/runtime.h"
#include "tests/cuda_sim/vgpu.h"

#include <cmocka.h> /* last: it defines fail */

enum { SEED = 3, SIDE = 6 };

static struct backend *open_cuda(enum dtype compute)
{
    struct backend *b = NULL;
    struct error err = {0};
    vgpu_faults_reset();
    if (!cuda_open(&b, &(struct cuda_options){.compute = compute}, &err))
        fail_msg("%s", err.text);
    return b;
}

static struct tensor device_tensor(struct backend *b, enum dtype dtype, struct shape shape)
{
    struct error err = {0};
    struct tensor t = tensor_make(NULL, dtype, shape);
    t.data = backend_alloc(b, tensor_bytes(t), &err);
    assert_non_null(t.data);
    return t;
}

static void expect_same_packed(struct backend *b, const struct tensor both[2])
{
    struct error err = {0};
    char *got[2];
    const struct cuda_weight *w[2] = {both[0].data, both[1].data};
    size_t bytes = (size_t)(w[0]->n * w[0]->row) * dtype_bytes(w[0]->dtype);
    for (int i = 0; i < 2; i++) {
        got[i] = malloc(bytes);
        struct tensor all = tensor_make(w[i]->data, w[i]->dtype, SHAPE(w[i]->n, w[i]->row));
        assert_true(backend_download(b, got[i], all, &err));
    }
    assert_int_equal(w[0]->row, w[1]->row);
    assert_memory_equal(got[0], got[1], bytes);
    free(got[0]);
    free(got[1]);
}

/* The parameter made on the host, and made on the device. */
static void make_both(struct backend *b, enum dtype dtype, enum weight_use use, struct shape shape,
                      struct tensor both[2])
{
    const char *name = "blocks.0.net.2.weight"; /* a damped one */
    struct error err = {0};
    struct tensor host = tensor_make(NULL, dtype, shape);
    struct random_values values = weights_random_values(host, use, name, SEED);
    assert_true(backend_makes(b, use));
    assert_true(backend_adopt_made(b, host, use, &values, &both[1], &err));
    host.data = malloc(tensor_bytes(host));
    weights_random_fill(b, host, use, name, SEED);
    assert_true(backend_adopt(b, host, use, &both[0], &err));
    free(host.data); /* the device has a copy */
    assert_int_equal(both[0].dtype, both[1].dtype);
    assert_int_equal(both[0].is_packed, both[1].is_packed);
    if (both[0].is_packed) /* padding and all */
        expect_same_packed(b, both);
}

/* Download both results, compare, free. */
static void expect_same(struct backend *b, struct tensor out[2])
{
    struct error err = {0};
    char *got[2];
    for (int i = 0; i < 2; i++) {
        got[i] = malloc(tensor_bytes(out[i]));
        assert_true(backend_download(b, got[i], out[i], &err));
    }
    assert_memory_equal(got[0], got[1], tensor_bytes(out[0]));
    size_t n_zero = 0;
    for (size_t i = 0; i < tensor_bytes(out[0]); i++)
        n_zero += got[0][i] == 0;
    assert_true(n_zero < tensor_bytes(out[0]) / 4 * 3);
    for (int i = 0; i < 2; i++) {
        free(got[i]);
        backend_free(b, out[i].data);
    }
    assert_int_equal(vgpu_all_faults(), 0);
}

static const struct {
    enum dtype compute, dtype;
} TYPES[] = {
    {DTYPE_BF16, DTYPE_BF16}, {DTYPE_F32, DTYPE_F32},  {DTYPE_F32, DTYPE_BF16},
    {DTYPE_F32, DTYPE_F16},   {DTYPE_BF16, DTYPE_F32}, {DTYPE_BF16, DTYPE_F16},
};
enum { N_TYPES = sizeof TYPES / sizeof TYPES[0] };

/* More than one piece of the generator. */
static void tables_are_equal(void **state)
{
    (void)state;
    enum { ROWS = 700, D = 300 };
    static_assert(ROWS * D > RANDOM_PIECE, "two pieces");
    for (int i = 0; i < N_TYPES; i++) {
        struct backend *b = open_cuda(TYPES[i].compute);
        struct tensor both[2], out[2];
        make_both(b, TYPES[i].dtype, WEIGHT_TABLE, SHAPE(ROWS, D), both);
        for (int k = 0; k < 2; k++) {
            out[k] = device_tensor(b, TYPES[i].compute, SHAPE(ROWS, D));
            op_copy(b, out[k], both[k]);
        }
        expect_same(b, out);
        backend_close(b);
    }
}

/* x is the unit matrix, so that out shows the weight; 13 inputs leave padding behind each row. */
static void matrices_are_equal(void **state)
{
    (void)state;
    enum { N = 40, K = 13 };
    for (int i = 0; i < N_TYPES; i++) {
        struct backend *b = open_cuda(TYPES[i].compute);
        struct tensor both[2], out[2], x = device_tensor(b, DTYPE_F32, SHAPE(K, K));
        struct tensor unit = device_tensor(b, TYPES[i].compute, SHAPE(K, K));
        float host[K * K] = {0};
        for (int k = 0; k < K; k++)
            host[k * K + k] = 1.0f;
        backend_upload(b, x, host);
        op_copy(b, unit, x);
        make_both(b, TYPES[i].dtype, WEIGHT_MATRIX, SHAPE(N, K), both);
        for (int k = 0; k < 2; k++) {
            out[k] = device_tensor(b, TYPES[i].compute, SHAPE(K, N));
            op_linear(b, out[k], unit, both[k], tensor_none(), ACT_NONE);
        }
        expect_same(b, out);
        backend_free(b, x.data);
        backend_free(b, unit.data);
        backend_close(b);
    }
}

/* Each tap of a convolution has another place in the packed weight. */
static void convolutions_are_equal(void **state)
{
    (void)state;
    enum { O = 6, I = 5 };
    struct backend *b = open_cuda(DTYPE_F32);
    struct tensor both[2], out[2], x = device_tensor(b, DTYPE_F32, SHAPE(1, SIDE, SIDE, I));
    struct error err = {0};
    float host[SIDE * SIDE * I], bias_host[O] = {0};
    struct tensor bias;
    for (int i = 0; i < SIDE * SIDE * I; i++)
        host[i] = (float)(i * 37 % 101);
    backend_upload(b, x, host);
    assert_true(
        backend_adopt(b, tensor_make(bias_host, DTYPE_F32, SHAPE(O)), WEIGHT_VECTOR, &bias, &err));
    make_both(b, DTYPE_BF16, WEIGHT_CONV, SHAPE(O, I, 3, 3), both);
    for (int k = 0; k < 2; k++) {
        out[k] = device_tensor(b, DTYPE_F32, SHAPE(1, SIDE, SIDE, O));
        op_conv2d(b, out[k], x, both[k], bias, 1, 1, 1, 1);
    }
    expect_same(b, out);
    backend_free(b, x.data);
    backend_close(b);
}

static void streamed_weights_and_vectors_are_made_on_the_host(void **state)
{
    (void)state;
    struct backend *b = open_cuda(DTYPE_BF16);
    assert_false(backend_makes(b, WEIGHT_VECTOR));
    b->home.chain = 1;
    assert_false(backend_makes(b, WEIGHT_MATRIX));
    backend_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_equal),
        cmocka_unit_test(matrices_are_equal),
        cmocka_unit_test(convolutions_are_equal),
        cmocka_unit_test(streamed_weights_and_vectors_are_made_on_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
