/* Attention by cuDNN or by our kernels: the library serves what it is right and fast in, and
 * nothing else. The library is a stand-in that can be told to be wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda.h"
#include "tensor/dtype.h"
#include "tensor/ops.h"
#include "tests/cuda_sim/cudnn.h"
#include "tests/cuda_sim/runtime.h"

#include <cmocka.h>

enum { BATCH = 2, QUERIES = 70, KEYS = 75, HEADS = 2, WIDTH = 64, WIDE = 3 /* of out's rows */ };

static struct backend *b;
static struct cudnn_sim as_installed;

static int open_device(void **state)
{
    (void)state;
    struct error err = {0};
    vgpu_faults_reset();
    if (!cuda_open(&b, &(struct cuda_options){.compute = DTYPE_BF16}, &err))
        fail_msg("%s", err.text);
    return 0;
}

static int setup(void **state)
{
    as_installed = as_installed.version ? as_installed : cudnn_sim;
    cudnn_sim = as_installed;
    return open_device(state);
}

static int teardown(void **state)
{
    (void)state;
    backend_close(b);
    return 0;
}

/* bf16 numbers on the device; the same for the same seed. */
static struct tensor make(struct shape shape, unsigned seed)
{
    struct error err = {0};
    struct tensor t = tensor_make(NULL, DTYPE_BF16, shape);
    int64_t n = tensor_elements(t);
    uint16_t *host = malloc((size_t)n * sizeof *host);
    assert_non_null(host);
    for (int64_t i = 0; i < n; i++)
        host[i] = bf16_from_float(sinf((float)(i * 7 + seed * 31)));
    t.data = backend_alloc(b, tensor_bytes(t), &err);
    backend_upload(b, t, host);
    free(host);
    return t;
}

/* The result of attention among made-up operands, into the middle of wider rows; owned. */
static uint16_t *attend(int times, bool is_causal)
{
    struct tensor q = make(SHAPE(BATCH, QUERIES, HEADS, WIDTH), 1);
    const int64_t keys = is_causal ? QUERIES : KEYS;
    struct tensor k = make(SHAPE(BATCH, keys, HEADS, WIDTH), 2);
    struct tensor v = make(SHAPE(BATCH, keys, HEADS, WIDTH), 3);
    struct tensor full = make(SHAPE(BATCH, QUERIES, WIDE * HEADS * WIDTH), 4);
    struct tensor out = tensor_split(tensor_slice(full, 2, HEADS * WIDTH, HEADS * WIDTH), 2, HEADS);
    for (int i = 0; i < times; i++)
        op_attention(b, out, q, k, v, tensor_none(), 0.125f, is_causal);
    uint16_t *host = malloc(tensor_bytes(full));
    struct error err = {0};
    assert_non_null(host);
    if (!backend_download(b, host, full, &err))
        fail_msg("%s", err.text);
    assert_int_equal(vgpu_all_faults(), 0);
    backend_free(b, q.data);
    backend_free(b, k.data);
    backend_free(b, v.data);
    backend_free(b, full.data);
    return host;
}

/* Normalised mean squared error against what our kernel makes of the same operands. */
static double error_of(const uint16_t *got, bool is_causal)
{
    double error = 0, power = 0;
    struct cudnn_sim now = cudnn_sim;
    cudnn_sim.version = 1;
    backend_close(b);
    open_device(NULL);
    uint16_t *want = attend(1, is_causal);
    cudnn_sim = now;
    for (int i = 0; i < BATCH * QUERIES * WIDE * HEADS * WIDTH; i++) {
        double w = (double)bf16_to_float(want[i]), d = (double)bf16_to_float(got[i]) - w;
        error += isfinite(d) ? d * d : INFINITY;
        power += w * w;
    }
    free(want);
    return error / power;
}

static void expect_own(bool is_causal, int n_executions)
{
    uint16_t *got = attend(3, is_causal);
    assert_int_equal(cudnn_sim.n_executions, n_executions);
    assert_true(error_of(got, is_causal) == 0.0);
    free(got);
}

/* --- claims -----------------------------------------------------------------------------------*/

static void a_right_library_serves(void **state)
{
    (void)state;
    uint16_t *got = attend(3, false);
    assert_int_equal(cudnn_sim.n_plans, 1);
    assert_int_equal(cudnn_sim.n_executions, 1 + 3 + 3); /* compared, timed, called */
    double error = error_of(got, false);
    assert_true(error > 0.0 && error < 4e-5);
    free(got);
}

static void a_wrong_library_is_asked_once(void **state)
{
    (void)state;
    cudnn_sim.is_wrong = true;
    expect_own(false, 1);
}

static void a_slow_library_is_timed_and_left(void **state)
{
    (void)state;
    cudnn_sim.is_slow = true;
    expect_own(false, 1 + 3);
}

static void a_library_without_a_plan_is_left(void **state)
{
    (void)state;
    cudnn_sim.has_no_plan = true;
    expect_own(false, 0);
}

static void a_library_that_fails_is_left(void **state)
{
    (void)state;
    cudnn_sim.fails = true;
    expect_own(false, 0);
}

static void an_old_library_is_not_asked(void **state)
{
    (void)state;
    backend_close(b);
    cudnn_sim.version = 91200;
    open_device(NULL);
    expect_own(false, 0);
    assert_int_equal(cudnn_sim.n_plans, 0);
}

static void causal_attention_is_ours(void **state)
{
    (void)state;
    expect_own(true, 0);
}

static void a_library_in_a_graph_is_replayed(void **state)
{
    (void)state;
    enum { CALLS = 20 /* enough to be worth a graph */ };
    struct tensor x = make(SHAPE(1, QUERIES, HEADS, WIDTH), 1);
    struct tensor out = make(SHAPE(1, QUERIES, HEADS, WIDTH), 2);
    uint64_t before = runtime_counters().graph_launches;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CALLS; i++)
            op_attention(b, out, x, x, x, tensor_none(), 0.125f, false);
        assert_true(backend_sync(b, NULL));
    }
    assert_int_equal(runtime_counters().graph_launches - before, 2);
    assert_int_equal(cudnn_sim.n_executions, 1 + 3 + 2 * CALLS); /* the second round's: captured */
    assert_int_equal(vgpu_all_faults(), 0);
    backend_free(b, x.data);
    backend_free(b, out.data);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CLAIM(a_right_library_serves),           CLAIM(a_wrong_library_is_asked_once),
        CLAIM(a_slow_library_is_timed_and_left), CLAIM(a_library_without_a_plan_is_left),
        CLAIM(a_library_that_fails_is_left),     CLAIM(an_old_library_is_not_asked),
        CLAIM(causal_attention_is_ours),         CLAIM(a_library_in_a_graph_is_replayed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
