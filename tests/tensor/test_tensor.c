/* Windows: what they see, and what makes another window of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/tensor.h"

#include <cmocka.h> /* last: it defines fail */

/* 2 x 3 x 4, filled with 0 .. 23. */
static float values[24];

static struct tensor cube(void)
{
    for (int i = 0; i < 24; i++) {
        values[i] = (float)i;
    }
    return tensor_make(values, DTYPE_F32, SHAPE(2, 3, 4));
}

static float at(struct tensor t, int64_t i, int64_t j, int64_t k)
{
    return ((float *)t.data)[i * t.strides[0] + j * t.strides[1] + k * t.strides[2]];
}

static void a_new_tensor_is_dense(void **state)
{
    (void)state;
    struct tensor t = cube();
    assert_true(tensor_is_dense(t));
    assert_int_equal(tensor_elements(t), 24);
    assert_int_equal(tensor_bytes(t), 96);
    assert_int_equal(t.strides[0], 12);
    assert_true(at(t, 1, 2, 3) == 23);
}

static void a_slice_sees_its_part_of_an_axis(void **state)
{
    (void)state;
    struct tensor t = tensor_slice(cube(), 1, 1, 2);
    assert_int_equal(t.dims[1], 2);
    assert_true(at(t, 1, 0, 2) == 18);
    assert_false(tensor_is_dense(t));
}

static void every_second_element_from_an_offset(void **state)
{
    (void)state;
    struct tensor t = tensor_every(cube(), 2, 1, 2);
    assert_int_equal(t.dims[2], 2);
    assert_true(at(t, 0, 1, 1) == 7);
    t = tensor_every(cube(), 1, 0, 2);
    assert_int_equal(t.dims[1], 2); /* rows 0 and 2 */
    assert_true(at(t, 0, 1, 0) == 8);
}

static void one_element_of_an_axis_drops_it(void **state)
{
    (void)state;
    struct tensor t = tensor_at(cube(), 0, 1);
    assert_int_equal(t.rank, 2);
    assert_true(((float *)t.data)[t.strides[0]] == 16);
}

static void split_and_join_are_inverse(void **state)
{
    (void)state;
    struct tensor t = cube(), s = tensor_split(t, 2, 2);
    assert_int_equal(s.rank, 4);
    assert_int_equal(s.dims[2], 2);
    assert_int_equal(s.dims[3], 2);
    assert_int_equal(s.strides[2], 2);
    struct tensor j = tensor_join(s, 2);
    assert_true(tensor_same_shape(j, t));
    assert_int_equal(j.strides[2], 1);
}

static void heads_of_a_sliced_sequence_can_be_split(void **state)
{
    (void)state;
    struct tensor t = tensor_split(tensor_slice(cube(), 1, 1, 2), 2, 2);
    assert_int_equal(t.strides[1], 4);
    assert_int_equal(t.strides[2], 2);
    assert_true(((float *)t.data)[0] == 4);
}

static void swapped_axes_read_transposed(void **state)
{
    (void)state;
    struct tensor t = tensor_swap(cube(), 0, 2);
    assert_int_equal(t.dims[0], 4);
    assert_true(at(t, 3, 2, 1) == 23);
    assert_true(at(t, 1, 0, 0) == 1);
}

static void a_repeated_axis_costs_nothing(void **state)
{
    (void)state;
    struct tensor t = tensor_repeat(tensor_slice(cube(), 0, 1, 1), 0, 5);
    assert_int_equal(t.dims[0], 5);
    assert_true(at(t, 4, 0, 1) == 13);
    t = tensor_unsqueeze(tensor_at(cube(), 0, 0), 1);
    assert_int_equal(t.rank, 3);
    assert_int_equal(t.dims[1], 1);
}

static void axes_of_size_one_do_not_break_density(void **state)
{
    (void)state;
    struct tensor t = tensor_slice(cube(), 0, 1, 1);
    assert_true(tensor_is_dense(t));
    t = tensor_reshape(t, SHAPE(12));
    assert_true(((float *)t.data)[11] == 23);
}

static void the_absent_tensor_is_none(void **state)
{
    (void)state;
    assert_true(tensor_is_none(tensor_none()));
    assert_false(tensor_is_none(cube()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_tensor_is_dense),
        cmocka_unit_test(a_slice_sees_its_part_of_an_axis),
        cmocka_unit_test(every_second_element_from_an_offset),
        cmocka_unit_test(one_element_of_an_axis_drops_it),
        cmocka_unit_test(split_and_join_are_inverse),
        cmocka_unit_test(heads_of_a_sliced_sequence_can_be_split),
        cmocka_unit_test(swapped_axes_read_transposed),
        cmocka_unit_test(a_repeated_axis_costs_nothing),
        cmocka_unit_test(axes_of_size_one_do_not_break_density),
        cmocka_unit_test(the_absent_tensor_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
