/* Time and arithmetic by range and operation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tensor/ops.h"
#include "tensor/plan.h"
#include "tensor/profile.h"

#include <cmocka.h> /* last: it defines fail */

/* A back end over the plan's table, for something to call. */
static struct plan plan;
static struct backend_ops ops;
static struct profile *profile;

/* A device on whose clock each stamp comes a second after the one before it. */
static int n_stamps, n_syncs, highest;

static void stamp(struct backend *b, int i)
{
    (void)b;
    highest = i > highest ? i : highest;
    n_stamps++;
}

static double stamp_seconds(struct backend *b, int i, int k)
{
    (void)b;
    return k == i + 1 ? 1.0 : -1000.0;
}

static void sync_device(struct backend *b)
{
    (void)b;
    n_syncs++;
}

static int fresh(void **state)
{
    (void)state;
    plan_init(&plan, DTYPE_F32);
    ops = *plan.backend.ops;
    plan.backend.ops = &ops;
    profile = profile_new();
    n_stamps = n_syncs = highest = 0;
    return 0;
}

static int done(void **state)
{
    (void)state;
    profile_free(profile);
    return 0;
}

static struct tensor take(int64_t rows, int64_t columns)
{
    return scratch_take(&plan.backend, DTYPE_F32, SHAPE(rows, columns));
}

static void product(int64_t rows, int64_t n, int64_t k)
{
    struct tensor w;
    struct tensor host = tensor_make(NULL, DTYPE_F32, SHAPE(n, k));
    assert_true(backend_adopt(&plan.backend, host, WEIGHT_MATRIX, &w, NULL));
    op_linear(&plan.backend, take(rows, n), take(rows, k), w, tensor_none(), ACT_NONE);
}

static const struct profile_row *row(const char *range, const char *op)
{
    int n = 0;
    const struct profile_row *rows = profile_rows(profile, &n);
    for (int i = 0; i < n; i++) {
        if (strcmp(rows[i].range, range) == 0 && strcmp(rows[i].op, op) == 0)
            return &rows[i];
    }
    return NULL;
}

static void operations_are_counted_under_the_innermost_range(void **state)
{
    (void)state;
    struct backend *b = &plan.backend;
    profile_begin(profile, b);
    product(2, 3, 5);
    backend_range_begin(b, "step", 7);
    product(2, 3, 5);
    for (int i = 0; i < 2; i++) {
        backend_range_begin(b, "double", i);
        product(4, 6, 10);
        backend_range_end(b);
    }
    op_add(b, take(4, 4), take(4, 4), take(4, 4));
    backend_range_end(b);
    profile_end(profile);
    assert_int_equal(row("", "linear")->calls, 1);
    assert_int_equal(row("step", "linear")->calls, 1);
    assert_int_equal(row("double", "linear")->calls, 2);
    assert_true(row("double", "linear")->flops == 2 * 2.0 * 4 * 6 * 10);
    assert_true(row("step", "add")->flops == 0);
    assert_true(row("step", "add")->bytes == 3 * 16 * 4.0);
}

static void nothing_is_counted_outside(void **state)
{
    (void)state;
    int n = 0;
    product(2, 3, 5);
    profile_begin(profile, &plan.backend);
    profile_end(profile);
    product(2, 3, 5);
    profile_rows(profile, &n);
    assert_int_equal(n, 0);
    assert_ptr_equal(plan.backend.ops, &ops);
}

static void time_is_the_devices_where_work_is_queued(void **state)
{
    (void)state;
    ops.stamp = stamp;
    ops.stamp_seconds = stamp_seconds;
    ops.sync = sync_device;
    profile_begin(profile, &plan.backend);
    for (int i = 0; i < 3; i++)
        product(2, 3, 5);
    assert_true(row("", "linear")->seconds == 0);
    assert_true(backend_sync(&plan.backend, NULL));
    profile_end(profile);
    assert_int_equal(n_stamps, 6);
    assert_true(row("", "linear")->seconds == 3.0);
}

static void more_operations_than_stamps_are_waited_for(void **state)
{
    (void)state;
    enum { CALLS = PROFILE_STAMPS };
    ops.stamp = stamp;
    ops.stamp_seconds = stamp_seconds;
    ops.sync = sync_device;
    profile_begin(profile, &plan.backend);
    for (int i = 0; i < CALLS; i++)
        op_activate(&plan.backend, take(1, 4), take(1, 4), ACT_SILU);
    assert_true(backend_sync(&plan.backend, NULL));
    profile_end(profile);
    assert_int_equal(n_syncs, 2);
    assert_int_equal(highest, PROFILE_STAMPS - 1);
    assert_true(row("", "activate")->seconds == (double)CALLS);
}

static void sums_by_operation_join_ranges(void **state)
{
    (void)state;
    struct profile_row rows[PROFILE_OPS];
    struct buf text = {0};
    profile_begin(profile, &plan.backend);
    product(2, 3, 5);
    backend_range_begin(&plan.backend, "step", 0);
    product(2, 3, 5);
    backend_range_end(&plan.backend);
    profile_end(profile);
    assert_int_equal(profile_by_op(profile, rows), 1);
    assert_int_equal(rows[0].calls, 2);
    profile_print(profile, &text);
    assert_non_null(strstr(text.data, "step         all                  1"));
    assert_non_null(strstr(text.data, "all          linear               2"));
    assert_non_null(strstr(text.data, "step         linear               1"));
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(operations_are_counted_under_the_innermost_range, fresh,
                                        done),
        cmocka_unit_test_setup_teardown(nothing_is_counted_outside, fresh, done),
        cmocka_unit_test_setup_teardown(time_is_the_devices_where_work_is_queued, fresh, done),
        cmocka_unit_test_setup_teardown(more_operations_than_stamps_are_waited_for, fresh, done),
        cmocka_unit_test_setup_teardown(sums_by_operation_join_ranges, fresh, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
