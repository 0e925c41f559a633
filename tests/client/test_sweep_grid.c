/* client/sweep_grid: reading --over, and the points of the grid. */
#include "client/sweep_grid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"

static void expect_refused(const char *const *texts, size_t n, const char *why)
{
    struct sweep_grid g = {0};
    struct error err = {0};
    for (size_t i = 0; i + 1 < n; i++)
        assert_true(sweep_grid_add(&g, texts[i], &err));
    assert_false(sweep_grid_add(&g, texts[n - 1], &err));
    if (!strstr(err.text, why))
        fail_msg("'%s' does not say '%s'", err.text, why);
    assert_string_equal(err.field, "--over");
    sweep_grid_free(&g);
}

#define REFUSED(why, ...)                              \
    expect_refused((const char *const[]){__VA_ARGS__}, \
                   sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), why)

static void malformed_ones_are_refused(void **state)
{
    (void)state;
    REFUSED("must be NAME=V1,V2", "concurrency");
    REFUSED("a value is empty", "concurrency=");
    REFUSED("a value is empty", "concurrency=1,,2");
    REFUSED("a value is empty", "concurrency=1,");
    REFUSED("the value 2 is given twice", "concurrency=1,2,2");
    REFUSED("--over concurrency is given twice", "concurrency=1", "--concurrency=2");
    REFUSED("--over num-requests is given twice", "request-count=1", "num-requests=2");
    REFUSED("neither an option of profile nor a field", "--nonsense=1");
    REFUSED("neither an option of profile nor a field", "non-sense=1");
    REFUSED("neither an option of profile nor a field", "=1");
    REFUSED("the same for the whole sweep", "artifact-dir=a,b");
    REFUSED("at most 4", "a=1", "b=1", "c=1", "d=1", "e=1");
}

static void last_axis_varies_fastest(void **state)
{
    (void)state;
    struct sweep_grid g = {0};
    struct buf text = {0};
    assert_true(sweep_grid_add(&g, "--num-requests=10,20", NULL));
    assert_true(sweep_grid_add(&g, "size=64x64", NULL));
    assert_true(sweep_grid_add(&g, "steps=4,8,16", NULL));
    assert_int_equal(sweep_grid_size(&g), 6);
    for (size_t i = 0; i < 6; i++)
        buf_printf(&text, "%s/%s/%s ", sweep_grid_value(&g, i, 0), sweep_grid_value(&g, i, 1),
                   sweep_grid_value(&g, i, 2));
    assert_string_equal(text.data, "10/64x64/4 10/64x64/8 10/64x64/16 "
                                   "20/64x64/4 20/64x64/8 20/64x64/16 ");
    assert_string_equal(g.axes[0].name, "num-requests");
    assert_string_equal(g.axes[0].key, "--request-count");
    assert_string_equal(g.axes[2].key, "num_inference_steps");
    assert_false(g.axes[0].is_field);
    assert_true(g.axes[1].is_field && g.axes[2].is_field);
    assert_true(sweep_grid_is_numeric(&g.axes[2]));
    assert_false(sweep_grid_is_numeric(&g.axes[1]));
    buf_free(&text);
    sweep_grid_free(&g);
}

static void point_becomes_options(void **state)
{
    (void)state;
    struct sweep_grid g = {0};
    struct runs_args args = {0};
    assert_true(sweep_grid_add(&g, "concurrency=1,2", NULL));
    assert_true(sweep_grid_add(&g, "steps=4,8", NULL));
    runs_args_push(&args, "--concurrency=7");
    sweep_grid_set(&g, 3, &args);
    assert_int_equal(args.n_items, 2);
    assert_string_equal(args.items[0], "--concurrency=2");
    assert_string_equal(args.items[1], "--extra-inputs=num_inference_steps:8");
    runs_args_free(&args);
    sweep_grid_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_ones_are_refused),
        cmocka_unit_test(last_axis_varies_fastest),
        cmocka_unit_test(point_becomes_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
