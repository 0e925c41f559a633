/* Draws against published outputs of torch on CUDA devices, which are rounded to four digits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "flux/noise_cuda.h"

#include <cmocka.h> /* last: it defines fail */

/* torch.manual_seed(0); torch.randn(8, 8, device="cuda") */
static const float SEED_0[64] = {
    -0.9247f, -0.4253f, -2.6438f, 0.1452f,  -0.1209f, -0.5797f, -0.6229f, -0.3284f,
    -1.0745f, -0.3631f, -1.6711f, 2.2655f,  0.3117f,  -0.1842f, 1.2866f,  1.1820f,
    -0.1271f, 1.2169f,  1.4353f,  1.0605f,  -0.4941f, -1.4244f, -0.7244f, -1.2973f,
    0.0697f,  -0.0074f, 1.8969f,  0.6878f,  -0.0779f, -0.8373f, 1.3506f,  -0.2879f,
    -0.5965f, -0.3283f, -0.9086f, -0.8059f, -0.7407f, -0.0504f, 0.5435f,  1.5150f,
    0.0141f,  0.4532f,  1.6349f,  0.7124f,  -0.1806f, 1.0252f,  -1.4622f, -0.7554f,
    -0.1836f, 0.3824f,  0.3918f,  -0.0830f, 0.8971f,  -1.1123f, 0.1116f,  0.4863f,
    -0.5499f, -0.3231f, -0.5469f, 0.9049f,  0.2837f,  0.1210f,  0.4730f,  -1.0823f,
};

static void test_a_tensor_is_torchs(void **state)
{
    (void)state;
    struct noise_cuda n = {.seed = 0, .most_blocks = NOISE_CUDA_BLOCKS};
    float got[64];
    noise_cuda_draw(&n, got, 64);
    for (int i = 0; i < 64; i++)
        assert_true(fabsf(got[i] - SEED_0[i]) < 0.6e-4f);
}

/* A device of one block gives each thread four numbers a turn, 256 apart, and then its next ones.
 */
static void test_few_blocks_take_turns(void **state)
{
    (void)state;
    enum { THREADS = 256, COUNT = 5 * THREADS + 10 };
    static float wide[COUNT], narrow[COUNT], again[COUNT];
    struct noise_cuda n = {.seed = 7, .most_blocks = NOISE_CUDA_BLOCKS};
    noise_cuda_draw(&n, wide, COUNT);
    n = (struct noise_cuda){.seed = 7, .most_blocks = 1};
    noise_cuda_draw(&n, narrow, COUNT);
    assert_int_equal(n.turns, 2);
    assert_memory_equal(narrow, wide, THREADS * sizeof(float));
    assert_memory_not_equal(narrow + THREADS, wide + THREADS, THREADS * sizeof(float));
    /* The second turn is what a second tensor of one turn begins with. */
    n = (struct noise_cuda){.seed = 7, .most_blocks = 1};
    noise_cuda_draw(&n, again, 4 * THREADS);
    assert_memory_equal(again, narrow, 4 * THREADS * sizeof(float));
    noise_cuda_draw(&n, again, THREADS + 10);
    assert_memory_equal(again, narrow + (size_t)4 * THREADS, (THREADS + 10) * sizeof(float));
}

static void test_numbers_are_normal(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    float *x = malloc(COUNT * sizeof *x);
    assert_non_null(x);
    struct noise_cuda n = {.seed = UINT64_C(0x123456789abc), .most_blocks = 64};
    noise_cuda_draw(&n, x, COUNT);
    double sum = 0, squares = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_true(isfinite(x[i]));
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    assert_true(fabs(sum / COUNT) < 0.015 && fabs(squares / COUNT - 1) < 0.02);
    struct noise_cuda low = {.seed = 0x56789abc, .most_blocks = 64};
    float other;
    noise_cuda_draw(&low, &other, 1);
    assert_true(other != x[0]); /* all 64 bits of the seed count */
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tensor_is_torchs),
        cmocka_unit_test(test_few_blocks_take_turns),
        cmocka_unit_test(test_numbers_are_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
