/* Draws against torch's, bit for bit. The numbers were made by torch 2.15's CPU generator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "flux/noise.h"
#include "flux/safetensors.h"
#include "tensor/dtype.h"

#include <cmocka.h> /* last: it defines fail */

static struct safetensors *file;

static int open_file(void **state)
{
    (void)state;
    struct error err = {0};
    return safetensors_open_file(&file, "tests/data/noise.safetensors", &err) ? 0 : -1;
}

static int close_file(void **state)
{
    (void)state;
    safetensors_close(file);
    return 0;
}

static void assert_draw(struct noise *n, const char *name)
{
    static float got[4096];
    struct tensor want;
    struct error err = {0};
    assert_true(safetensors_find(file, name, &want, &err));
    size_t count = (size_t)tensor_elements(want);
    assert_true(count <= sizeof got / sizeof got[0]);
    noise_draw(n, got, count);
    for (size_t i = 0; i < count; i++) {
        if (float_bits(got[i]) != float_bits(((const float *)want.data)[i])) {
            fail_msg("%s[%zu]: %.9g, want %.9g", name, i, (double)got[i],
                     (double)((const float *)want.data)[i]);
        }
    }
}

static void draws_equal_torch_at_every_size(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        const char *name;
    } CASES[] = {{0, "seed0.5"},
                 {0, "seed0.15"},
                 {0, "seed0.16"},
                 {0, "seed0.17"},
                 {0, "seed0.1000"},
                 {4294967295u, "seed4294967295.1000"},
                 {9223372036854775807u, "seed9223372036854775807.17"},
                 {1024, "seed1024.1x16x8x8"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct noise n;
        noise_seed(&n, CASES[i].seed);
        assert_draw(&n, CASES[i].name);
    }
}

static void draws_continue_where_the_last_one_ended(void **state)
{
    (void)state;
    struct noise n;
    noise_seed(&n, 42);
    assert_draw(&n, "seq42.first_17");
    assert_draw(&n, "seq42.second_16");
    assert_draw(&n, "seq42.third_5");
    assert_draw(&n, "seq42.fourth_5");
    assert_draw(&n, "seq42.fifth_1x16x8x8");
}

static void only_the_low_half_of_a_seed_counts(void **state)
{
    (void)state;
    struct noise a, b;
    noise_seed(&a, 7);
    noise_seed(&b, 7 + (UINT64_C(1) << 40));
    float x[16], y[16];
    noise_draw(&a, x, 16);
    noise_draw(&b, y, 16);
    assert_memory_equal(x, y, sizeof x);
    noise_seed(&b, 8);
    noise_draw(&b, y, 16);
    assert_memory_not_equal(x, y, sizeof x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_equal_torch_at_every_size),
        cmocka_unit_test(draws_continue_where_the_last_one_ended),
        cmocka_unit_test(only_the_low_half_of_a_seed_counts),
    };
    return cmocka_run_group_tests(tests, open_file, close_file);
}
