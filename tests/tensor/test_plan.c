/* The counting back end: FLOPs, bytes, parameters, and the scratch arena that it shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/ops.h"
#include "tensor/plan.h"

#include <cmocka.h> /* last: it defines fail */

static struct plan plan;

static int fresh(void **state)
{
    (void)state;
    plan_init(&plan, DTYPE_BF16);
    return 0;
}

static struct tensor take(int64_t a, int64_t b, int64_t c)
{
    return scratch_take(&plan.backend, DTYPE_BF16, SHAPE(a, b, c));
}

static void a_product_counts_two_per_multiply_add(void **state)
{
    (void)state;
    struct tensor w;
    struct tensor host = tensor_make(NULL, DTYPE_F16, SHAPE(7, 5));
    assert_true(backend_adopt(&plan.backend, host, WEIGHT_MATRIX, &w, NULL));
    op_linear(&plan.backend, take(2, 3, 7), take(2, 3, 5), w, tensor_none(), ACT_NONE);
    assert_true(plan.flops == 2.0 * 2 * 3 * 7 * 5);
    assert_true(plan.bytes_moved == 2.0 * (42 + 30 + 35));
    assert_int_equal(plan.n_weights, 35);
    assert_int_equal(plan.weight_bytes, 70);
    assert_int_equal(plan.n_ops, 1);
}

static void attention_counts_both_products(void **state)
{
    (void)state;
    struct tensor q = tensor_split(take(1, 10, 8), 2, 2), k = tensor_split(take(1, 20, 8), 2, 2);
    op_attention(&plan.backend, tensor_split(take(1, 10, 8), 2, 2), q, k, k, tensor_none(), 1,
                 false);
    assert_true(plan.flops == 4.0 * 10 * 20 * 8);
}

static void a_convolution_counts_its_window(void **state)
{
    (void)state;
    struct tensor w, host = tensor_make(NULL, DTYPE_BF16, SHAPE(4, 3, 3, 3));
    assert_true(backend_adopt(&plan.backend, host, WEIGHT_CONV, &w, NULL));
    struct tensor x = scratch_take(&plan.backend, DTYPE_BF16, SHAPE(1, 8, 6, 3));
    struct tensor out = scratch_take(&plan.backend, DTYPE_BF16, SHAPE(1, 4, 3, 4));
    op_conv2d(&plan.backend, out, x, w, tensor_none(), 2, 0, 0, 1);
    assert_true(plan.flops == 2.0 * 4 * 3 * 4 * 27);
    plan_reset(&plan);
    struct tensor small = scratch_take(&plan.backend, DTYPE_BF16, SHAPE(1, 4, 3, 3));
    struct tensor large = scratch_take(&plan.backend, DTYPE_BF16, SHAPE(1, 8, 6, 4));
    op_conv2d(&plan.backend, large, small, w, tensor_none(), 1, 1, 1, 2);
    assert_true(plan.flops == 2.0 * 8 * 6 * 4 * 27);
    assert_true(plan.bytes_moved == 2.0 * (4 * 3 * 3 + 8 * 6 * 4 + 4 * 27));
}

static void scratch_remembers_its_peak(void **state)
{
    (void)state;
    size_t mark = scratch_mark(&plan.backend);
    struct tensor a = take(1, 1, 32); /* 64 bytes */
    struct tensor b = take(1, 1, 33); /* 66, takes 128 */
    assert_int_equal((char *)b.data - (char *)a.data, 64);
    scratch_release(&plan.backend, mark);
    struct tensor again = take(1, 1, 1);
    assert_ptr_equal(again.data, a.data);
    assert_int_equal(plan.backend.scratch.peak, 192);
    plan_reset(&plan);
    assert_int_equal(plan.backend.scratch.peak, 0);
}

static void the_plan_says_that_it_is_one(void **state)
{
    (void)state;
    assert_true(backend_is_plan(&plan.backend));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_product_counts_two_per_multiply_add, fresh),
        cmocka_unit_test_setup(attention_counts_both_products, fresh),
        cmocka_unit_test_setup(a_convolution_counts_its_window, fresh),
        cmocka_unit_test_setup(scratch_remembers_its_peak, fresh),
        cmocka_unit_test_setup(the_plan_says_that_it_is_one, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
