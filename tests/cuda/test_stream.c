/* Weights in host memory that pass through the device: right results in every order of copies and
 * kernels, in two buffers, copied while something else is computed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda.h"
#include "tensor/ops.h"
#include "tests/cuda_sim/runtime.h"
#include "tests/cuda_sim/vgpu.h"

#include <cmocka.h> /* last: it defines fail */

enum { N = 64, LAYERS = 5, PER_LAYER = 2, ROUNDS = 12, ROWS = 3, IDS = 4 };

struct world {
    struct backend *b;
    float host[LAYERS][PER_LAYER][N * N];
    float table_host[N * N];
    struct tensor layers[LAYERS][PER_LAYER], table, x, out;
};

/* Layer l, matrix i is diagonal with a value of its own: products are then exact. */
static float value(int l, int i) { return (float)(1 + (3 * l + i) % 4); }

static struct tensor device_tensor(struct backend *b, struct shape shape)
{
    struct error err = {0};
    struct tensor t = tensor_make(NULL, b->compute, shape);
    t.data = backend_alloc(b, tensor_bytes(t), &err);
    assert_non_null(t.data);
    return t;
}

static struct world *open_world(struct weight_home home)
{
    struct world *w = calloc(1, sizeof *w);
    struct error err = {0};
    assert_non_null(w);
    vgpu_faults_reset();
    if (!cuda_open(&w->b, &(struct cuda_options){.compute = DTYPE_F32}, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < N * N; i++)
        w->table_host[i] = (float)i;
    w->b->home = home;
    struct tensor table = tensor_make(w->table_host, DTYPE_F32, SHAPE(N, N));
    assert_true(backend_adopt(w->b, table, WEIGHT_TABLE, &w->table, &err));
    for (int l = 0; l < LAYERS; l++) {
        home.layer++;
        w->b->home = home;
        for (int i = 0; i < PER_LAYER; i++) {
            for (int k = 0; k < N; k++)
                w->host[l][i][k * N + k] = value(l, i);
            struct tensor host = tensor_make(w->host[l][i], DTYPE_F32, SHAPE(N, N));
            assert_true(backend_adopt(w->b, host, WEIGHT_MATRIX, &w->layers[l][i], &err));
        }
    }
    w->b->home = (struct weight_home){0};
    w->x = device_tensor(w->b, SHAPE(ROWS, N));
    w->out = device_tensor(w->b, SHAPE(ROWS, N));
    return w;
}

static void close_world(struct world *w)
{
    backend_free(w->b, w->x.data);
    backend_free(w->b, w->out.data);
    backend_close(w->b);
    free(w);
    assert_int_equal(vgpu_all_faults(), 0);
}

static void set_ones(struct world *w)
{
    float ones[ROWS * N];
    for (int i = 0; i < ROWS * N; i++)
        ones[i] = 1.0f;
    backend_upload(w->b, w->x, ones);
}

/* x = x w^T for every matrix of the layer, by way of out. */
static void run_layer(struct world *w, int l)
{
    for (int i = 0; i < PER_LAYER; i++) {
        op_linear(w->b, w->out, w->x, w->layers[l][i], tensor_none(), ACT_NONE);
        op_copy(w->b, w->x, w->out);
    }
}

static void expect_x(struct world *w, float want)
{
    float got[ROWS * N];
    struct error err = {0};
    if (!backend_download(w->b, got, w->x, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < ROWS * N; i++) {
        if (got[i] != want)
            fail_msg("x[%d] is %g, want %g", i, (double)got[i], (double)want);
    }
}

static float product_of(int first, int last)
{
    float product = 1.0f;
    for (int l = first; l <= last; l++)
        for (int i = 0; i < PER_LAYER; i++)
            product *= value(l, i);
    return product;
}

static const struct weight_home HOMES[] = {{.chain = 1}, {.chain = 1, .is_pinned = true}};

static void layers_in_order_give_the_product(void **state)
{
    (void)state;
    for (size_t h = 0; h < sizeof HOMES / sizeof HOMES[0]; h++) {
        struct world *w = open_world(HOMES[h]);
        for (int round = 0; round < ROUNDS; round++) {
            set_ones(w);
            for (int l = 0; l < LAYERS; l++)
                run_layer(w, l);
            if (round % 3 == 2) /* else the next round is queued behind it */
                expect_x(w, product_of(0, LAYERS - 1));
        }
        close_world(w);
    }
}

static void layers_in_any_order_give_the_product(void **state)
{
    (void)state;
    static const int ORDER[] = {0, 2, 2, 1, 4, 3, 0, 4, 4, 1, 0, 1, 2, 3};
    struct world *w = open_world(HOMES[1]);
    for (int round = 0; round < ROUNDS; round++) {
        float want = 1.0f;
        set_ones(w);
        for (size_t i = 0; i < sizeof ORDER / sizeof ORDER[0]; i++) {
            if (i == 7) { /* stays exact */
                expect_x(w, want);
                set_ones(w);
                want = 1.0f;
            }
            run_layer(w, ORDER[i]);
            want *= product_of(ORDER[i], ORDER[i]);
        }
        expect_x(w, want);
    }
    close_world(w);
}

static void one_matrix_may_be_read_more_often_than_another(void **state)
{
    (void)state;
    struct world *w = open_world(HOMES[1]);
    for (int round = 0; round < ROUNDS; round++) {
        float want = 1.0f;
        set_ones(w);
        for (int l = 0; l < LAYERS; l++) {
            for (int i = 0; i < 3; i++) {
                op_linear(w->b, w->out, w->x, w->layers[l][0], tensor_none(), ACT_NONE);
                op_copy(w->b, w->x, w->out);
                want *= value(l, 0);
            }
        }
        expect_x(w, want);
    }
    close_world(w);
}

static void tables_are_read_by_rows_and_windows(void **state)
{
    (void)state;
    struct error err = {0};
    struct world *w = open_world(HOMES[1]);
    struct tensor ids = tensor_make(backend_alloc(w->b, IDS * 4, &err), DTYPE_I32, SHAPE(IDS));
    struct tensor rows = device_tensor(w->b, SHAPE(IDS, N));
    const int32_t wanted[IDS] = {7, 0, N - 1, 7};
    float got[IDS * N];
    for (int round = 0; round < ROUNDS; round++) {
        backend_upload(w->b, ids, wanted);
        op_embed(w->b, rows, w->table, ids);
        set_ones(w);
        run_layer(w, round % LAYERS);
        assert_true(backend_download(w->b, got, rows, &err));
        for (int i = 0; i < IDS * N; i++) {
            int row = i / N;
            assert_true(got[i] == (float)(wanted[row] * N + i % N));
        }
        op_copy(w->b, rows, tensor_slice(w->table, 0, 5, IDS));
        run_layer(w, 0);
        assert_true(backend_download(w->b, got, rows, &err));
        for (int i = 0; i < IDS * N; i++)
            assert_true(got[i] == (float)(5 * N + i));
    }
    backend_free(w->b, ids.data);
    backend_free(w->b, rows.data);
    close_world(w);
}

/* Two buffers of the largest layer, whatever there is in host memory. */
static void device_memory_holds_two_layers(void **state)
{
    (void)state;
    enum { LAYER_BYTES = PER_LAYER * N * N * 4, ALIGNED = 4096 };
    size_t peaks[2];
    for (int streams = 0; streams < 2; streams++) {
        runtime_reset_peak();
        struct world *w = open_world((struct weight_home){.chain = streams, .is_pinned = true});
        set_ones(w);
        for (int l = 0; l < LAYERS; l++)
            run_layer(w, l);
        expect_x(w, product_of(0, LAYERS - 1));
        peaks[streams] = runtime_counters().peak_bytes;
        close_world(w);
    }
    size_t all = (size_t)LAYERS * LAYER_BYTES + sizeof((struct world *)NULL)->table_host;
    assert_true(peaks[0] - peaks[1] >= all - 2 * LAYER_BYTES - ALIGNED);
}

static int kernel_stream(const struct runtime_event *events, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (events[i].kind == RUNTIME_KERNEL)
            return events[i].stream;
    }
    return 0;
}

/* Many copies of a layer run between kernels of the one before it, on a stream of their own, and
 * the host waits for nothing but the download. */
static void copies_run_beside_kernels(void **state)
{
    (void)state;
    struct world *w = open_world(HOMES[1]);
    const struct runtime_event *events;
    set_ones(w); /* the first upload makes its buffers */
    expect_x(w, 1.0f);
    uint64_t syncs = runtime_counters().host_syncs;
    runtime_log_begin();
    for (int round = 0; round < ROUNDS; round++)
        for (int l = 0; l < LAYERS; l++)
            run_layer(w, l);
    assert_int_equal(runtime_counters().host_syncs, syncs);
    set_ones(w);             /* has the list of operations queued */
    cudaDeviceSynchronize(); /* runs all streams alike */
    size_t n = runtime_log_end(&events), n_copies = 0, n_between = 0, n_kernels = 0, seen = 0;
    for (size_t i = 0; i < n; i++)
        n_kernels += events[i].kind == RUNTIME_KERNEL;
    for (size_t i = 0; i < n; i++) {
        bool is_copy =
            events[i].kind == RUNTIME_COPY && events[i].stream != kernel_stream(events, n);
        seen += events[i].kind == RUNTIME_KERNEL;
        n_copies += is_copy;
        n_between += is_copy && seen % (n_kernels / (ROUNDS * LAYERS)) != 0;
    }
    assert_int_equal(n_kernels % (ROUNDS * LAYERS), 0);
    /* Once a round the table is brought in vain: it is expected after the last layer. */
    assert_int_equal(n_copies, ROUNDS * (LAYERS * PER_LAYER + 1));
    if (n_between < n_copies / 4)
        fail_msg("%zu of %zu copies ran between the kernels of a layer", n_between, n_copies);
    close_world(w);
}

/* Long enough for a graph otherwise, and right each time. */
static void streamed_lists_are_not_captured(void **state)
{
    (void)state;
    struct world *w = open_world(HOMES[1]);
    uint64_t before = runtime_counters().graph_launches;
    for (int round = 0; round < 4; round++) {
        set_ones(w);
        for (int l = 0; l < LAYERS; l++)
            run_layer(w, l);
        expect_x(w, product_of(0, LAYERS - 1));
    }
    assert_int_equal(runtime_counters().graph_launches, before);
    close_world(w);
}

static void buffers_grow_with_a_larger_layer(void **state)
{
    (void)state;
    enum { LARGE = 8 * N };
    static float host[LARGE * N];
    struct error err = {0};
    struct world *w = open_world(HOMES[1]);
    struct tensor large, many = device_tensor(w->b, SHAPE(ROWS, LARGE));
    set_ones(w);
    run_layer(w, 0);
    expect_x(w, product_of(0, 0));
    for (int i = 0; i < LARGE; i++)
        host[i * N] = 2.0f;
    w->b->home = (struct weight_home){.chain = 2};
    assert_true(backend_adopt(w->b, tensor_make(host, DTYPE_F32, SHAPE(LARGE, N)), WEIGHT_MATRIX,
                              &large, &err));
    w->b->home = (struct weight_home){0};
    for (int round = 0; round < 3; round++) {
        float got[ROWS * LARGE];
        set_ones(w);
        run_layer(w, 1);
        op_linear(w->b, many, w->x, large, tensor_none(), ACT_NONE);
        run_layer(w, 2);
        expect_x(w, product_of(1, 2));
        assert_true(backend_download(w->b, got, many, &err));
        for (int i = 0; i < ROWS * LARGE; i++)
            assert_true(got[i] == 2.0f * product_of(1, 1));
    }
    backend_free(w->b, many.data);
    close_world(w);
}

static void buffers_that_do_not_fit_are_reported(void **state)
{
    (void)state;
    struct world *w = open_world(HOMES[0]);
    struct error err = {0};
    size_t memory = runtime_options()->memory_bytes;
    runtime_options()->memory_bytes = vgpu_allocated(0) + 100;
    set_ones(w);
    op_linear(w->b, w->out, w->x, w->layers[0][0], tensor_none(), ACT_NONE);
    assert_false(backend_sync(w->b, &err));
    assert_int_equal(err.code, ERR_MEMORY);
    assert_non_null(strstr(err.text, "two buffers for streamed layers"));
    runtime_options()->memory_bytes = memory;
    set_ones(w);
    run_layer(w, 0);
    expect_x(w, product_of(0, 0));
    close_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_in_order_give_the_product),
        cmocka_unit_test(layers_in_any_order_give_the_product),
        cmocka_unit_test(one_matrix_may_be_read_more_often_than_another),
        cmocka_unit_test(tables_are_read_by_rows_and_windows),
        cmocka_unit_test(device_memory_holds_two_layers),
        cmocka_unit_test(copies_run_beside_kernels),
        cmocka_unit_test(streamed_lists_are_not_captured),
        cmocka_unit_test(buffers_grow_with_a_larger_layer),
        cmocka_unit_test(buffers_that_do_not_fit_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
