/* Repeated lists of operations become graphs, and nothing else does. */
#include "tensor/ops.h"
#include "tests/cuda/world.h"
#include "tests/cuda_sim/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int open_world(void **state)
{
    struct error err = {0};
    *state = world_open(&err);
    if (!*state)
        fail_msg("%s", err.text);
    return 0;
}

static int close_world(void **state)
{
    world_close(*state);
    return 0;
}

static uint64_t graph_launches(void) { return runtime_counters().graph_launches; }

/* sum = n x, by n - 1 additions, of an x that is all `value`. */
static void add_up(struct world *w, float value, int n)
{
    float host[N];
    for (int i = 0; i < N; i++)
        host[i] = value;
    backend_upload(w->b, w->x, host);
    op_copy(w->b, w->sum, w->x);
    for (int i = 1; i < n; i++)
        op_add(w->b, w->sum, w->sum, w->x);
}

static void expect(struct world *w, float value)
{
    float host[N];
    struct error err = {0};
    if (!backend_download(w->b, host, w->sum, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < N; i++)
        assert_true(host[i] == value);
    assert_int_equal(vgpu_all_faults(), 0);
}

static void a_list_is_replayed_from_the_second_time_on(void **state)
{
    struct world *w = *state;
    uint64_t before = graph_launches();
    for (int i = 1; i <= 4; i++) {
        add_up(w, (float)i, ADDITIONS);
        expect(w, (float)(i * ADDITIONS));
    }
    assert_int_equal(graph_launches() - before, 3);
}

static void a_list_is_replayed_with_other_data_without_waiting(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 3; i++)
        add_up(w, 1.0f, ADDITIONS);
    add_up(w, 5.0f, ADDITIONS);
    expect(w, 5.0f * ADDITIONS);
}

static void another_list_is_not_replayed(void **state)
{
    struct world *w = *state;
    uint64_t before = graph_launches();
    for (int i = 0; i < 4; i++) {
        add_up(w, 2.0f, ADDITIONS + i);
        expect(w, 2.0f * (float)(ADDITIONS + i));
    }
    assert_int_equal(graph_launches(), before);
}

static void a_short_list_is_not_worth_a_graph(void **state)
{
    struct world *w = *state;
    uint64_t before = graph_launches();
    for (int i = 0; i < 4; i++)
        add_up(w, 1.0f, 3);
    expect(w, 3.0f);
    assert_int_equal(graph_launches(), before);
}

static void axpy_may_have_another_factor_each_time(void **state)
{
    struct world *w = *state;
    uint64_t before = graph_launches();
    for (int i = 1; i <= 4; i++) {
        add_up(w, 1.0f, ADDITIONS);
        op_axpy(w->b, w->sum, (float)i, w->x);
        expect(w, (float)(ADDITIONS + i));
    }
    assert_int_equal(graph_launches() - before, 3);
}

static void more_lists_than_are_kept_are_right(void **state)
{
    struct world *w = *state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 12; i++) {
            add_up(w, 1.0f, ADDITIONS + i);
            expect(w, (float)(ADDITIONS + i));
        }
    }
}

/* Group norm needs working memory, whose address a graph keeps. */
static void a_graph_does_not_outlive_the_memory_it_uses(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    enum { CHANNELS = 8, LARGE = 64 };
    struct tensor maps[2], vectors[2];
    float ones[LARGE * LARGE * CHANNELS];
    for (int i = 0; i < LARGE * LARGE * CHANNELS; i++)
        ones[i] = (float)(i % 7);
    int sides[2] = {4, LARGE};
    for (int i = 0; i < 2; i++) {
        struct shape shape = SHAPE(1, sides[i], sides[i], CHANNELS);
        struct tensor t = tensor_make(NULL, DTYPE_F32, shape);
        t.data = backend_alloc(w->b, tensor_bytes(t), &err);
        backend_upload(w->b, t, ones);
        maps[i] = t;
        struct tensor host = tensor_make(ones, DTYPE_F32, SHAPE(CHANNELS));
        assert_true(backend_adopt(w->b, host, WEIGHT_VECTOR, &vectors[i], &err));
    }
    for (int i = 0; i < 6; i++) {
        if (i == 3) /* grows the working memory */
            op_group_norm(w->b, maps[1], maps[1], vectors[0], vectors[1], 4, 1e-6f, ACT_NONE);
        assert_true(backend_sync(w->b, &err));
        for (int k = 0; k < ADDITIONS; k++)
            op_group_norm(w->b, maps[0], maps[0], vectors[0], vectors[1], 4, 1e-6f, ACT_SILU);
        assert_true(backend_sync(w->b, &err));
        assert_int_equal(vgpu_all_faults(), 0);
    }
    backend_free(w->b, maps[0].data);
    backend_free(w->b, maps[1].data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_list_is_replayed_from_the_second_time_on, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_list_is_replayed_with_other_data_without_waiting,
                                        open_world, close_world),
        cmocka_unit_test_setup_teardown(another_list_is_not_replayed, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_short_list_is_not_worth_a_graph, open_world, close_world),
        cmocka_unit_test_setup_teardown(axpy_may_have_another_factor_each_time, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(more_lists_than_are_kept_are_right, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_graph_does_not_outlive_the_memory_it_uses, open_world,
                                        close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
