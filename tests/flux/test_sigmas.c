/* Schedules against values of the reference's scheduler. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "flux/sigmas.h"

#include <cmocka.h> /* last: it defines fail */

static const struct sigmas_config DEV = {.shift = 3,
                                         .base_shift = 0.5,
                                         .max_shift = 1.15,
                                         .base_tokens = 256,
                                         .max_tokens = 4096,
                                         .n_train_timesteps = 1000,
                                         .is_dynamic = true};
static const struct sigmas_config SCHNELL = {.shift = 1,
                                             .base_shift = 0.5,
                                             .max_shift = 1.15,
                                             .base_tokens = 256,
                                             .max_tokens = 4096,
                                             .n_train_timesteps = 1000};

static void assert_near(double got, double want)
{
    if (fabs(got - want) > 1e-6 * fabs(want)) {
        fail_msg("%.9g, want %.9g", got, want);
    }
}

static void a_static_schedule_of_shift_one_is_even(void **state)
{
    (void)state;
    struct sigmas s;
    assert_true(sigmas_make(&s, &SCHNELL, 4096, 4, 1, NULL));
    for (int i = 0; i <= 4; i++) {
        assert_near((double)s.at[i], 1 - 0.25 * i);
    }
    sigmas_free(&s);
}

static void a_static_shift_bends_towards_one(void **state)
{
    (void)state;
    struct sigmas_config c = SCHNELL;
    struct sigmas s;
    c.shift = 3;
    assert_true(sigmas_make(&s, &c, 4096, 2, 1, NULL));
    assert_near((double)s.at[1], 3 * 0.5 / (1 + 2 * 0.5));
    sigmas_free(&s);
}

/* mu = 1.15 at 4096 tokens: sigma = e^mu / (e^mu + 1 / t - 1). */
static void the_dynamic_shift_grows_with_the_picture(void **state)
{
    (void)state;
    struct sigmas large, small;
    assert_true(sigmas_make(&large, &DEV, 4096, 2, 1, NULL));
    assert_true(sigmas_make(&small, &DEV, 256, 2, 1, NULL));
    assert_near(large.mu, 1.15);
    assert_near(small.mu, 0.5);
    assert_near((double)large.at[1], exp(1.15) / (exp(1.15) + 1));
    assert_near((double)small.at[1], exp(0.5) / (exp(0.5) + 1));
    assert_true(large.at[0] == 1 && large.at[2] == 0);
    sigmas_free(&large);
    sigmas_free(&small);
}

static void the_linear_form_uses_mu_itself(void **state)
{
    (void)state;
    struct sigmas_config c = DEV;
    struct sigmas s;
    c.is_linear = true;
    assert_true(sigmas_make(&s, &c, 4096, 2, 1, NULL));
    assert_near((double)s.at[1], 1.15 / 2.15);
    sigmas_free(&s);
}

static void strength_drops_the_first_steps(void **state)
{
    (void)state;
    struct sigmas s;
    struct error err = {0};
    assert_true(sigmas_make(&s, &SCHNELL, 4096, 10, 0.6, &err));
    assert_int_equal(s.n_all, 10);
    assert_int_equal(s.n_steps, 6);
    assert_near((double)s.at[0], 0.6);
    assert_true(s.at[6] == 0);
    sigmas_free(&s);
    assert_true(sigmas_make(&s, &SCHNELL, 4096, 4, 0.3, &err)); /* 1.2 steps: the last two */
    assert_int_equal(s.n_steps, 2);
    sigmas_free(&s);
    assert_false(sigmas_make(&s, &SCHNELL, 4096, 4, 0, &err));
    assert_string_equal(err.field, "strength");
}

static void the_model_time_is_rounded_as_the_reference_rounds(void **state)
{
    (void)state;
    struct sigmas s;
    assert_true(sigmas_make(&s, &SCHNELL, 4096, 4, 1, NULL));
    assert_true(sigmas_model_time(&s, &SCHNELL, 1, DTYPE_F32) == 0.75f);
    assert_true(sigmas_model_time(&s, &SCHNELL, 1, DTYPE_BF16) == 0.75390625f);
    sigmas_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_static_schedule_of_shift_one_is_even),
        cmocka_unit_test(a_static_shift_bends_towards_one),
        cmocka_unit_test(the_dynamic_shift_grows_with_the_picture),
        cmocka_unit_test(the_linear_form_uses_mu_itself),
        cmocka_unit_test(strength_drops_the_first_steps),
        cmocka_unit_test(the_model_time_is_rounded_as_the_reference_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
