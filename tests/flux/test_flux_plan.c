/* What the model code itself says of the real FLUX.1, from its configs alone. The figures are the
 * published ones: about 11.9 billion parameters, 74.4 TFLOP per step at 1024x1024. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "flux/flux.h"

#include <cmocka.h> /* last: it defines fail */

#define DEV "tests/data/configs/FLUX.1-dev-configs"

static void assert_within(double got, double want, double share)
{
    if (fabs(got - want) > share * want) {
        fail_msg("%g, want %g within %g %%", got, want, 100 * share);
    }
}

static struct flux_plan plan_of(int size)
{
    struct flux_plan p;
    struct error err = {0};
    struct flux_plan_query q = {.width_px = size, .height_px = size, .compute = DTYPE_BF16};
    assert_true(flux_plan(DEV, &q, &p, &err));
    return p;
}

static void flux_dev_has_the_published_size(void **state)
{
    (void)state;
    struct flux_plan p = plan_of(1024);
    assert_within((double)p.parts[2].n_parameters, 11.9e9, 0.01);
    assert_within((double)p.parts[1].n_parameters, 4.762e9, 0.01);
    assert_within((double)p.weight_bytes, 2.0 * (double)p.n_parameters, 0.0001);
    assert_int_equal(p.steps, 28);
}

static void a_step_costs_what_was_published(void **state)
{
    (void)state;
    struct flux_plan large = plan_of(1024), small = plan_of(512);
    assert_within(large.flops_per_step, 74.4e12, 0.01);
    assert_within(small.flops_per_step, 21.5e12, 0.01);
    assert_within(small.parts[3].flops, 2515e9, 0.01);
    assert_within(large.flops_per_image,
                  28 * large.flops_per_step + large.parts[0].flops + large.parts[1].flops +
                      large.parts[3].flops,
                  1e-9);
}

static void guidance_with_a_negative_prompt_doubles_a_step(void **state)
{
    (void)state;
    struct flux_plan p, base = plan_of(512);
    struct error err = {0};
    struct flux_plan_query q = {
        .width_px = 512, .height_px = 512, .with_cfg = true, .compute = DTYPE_BF16};
    assert_true(flux_plan(DEV, &q, &p, &err));
    assert_within(p.flops_per_step, 2 * base.flops_per_step, 1e-9);
    assert_within(p.parts[2].flops, base.parts[2].flops, 1e-9);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    struct flux_plan p;
    struct error err = {0}, none = {0};
    assert_false(flux_plan(DEV, &(struct flux_plan_query){.width_px = 500}, &p, &err));
    assert_string_equal(err.field, "size");
    assert_non_null(strstr(err.text, "multiples of 16"));
    assert_false(flux_plan("/nowhere", &(struct flux_plan_query){0}, &p, &none));
    assert_int_equal(none.code, ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flux_dev_has_the_published_size),
        cmocka_unit_test(a_step_costs_what_was_published),
        cmocka_unit_test(guidance_with_a_negative_prompt_doubles_a_step),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
