/* Half precision, exhaustively: all 65536 patterns of either type. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/dtype.h"

#include <cmocka.h> /* last: it defines fail */

static void every_bf16_survives_a_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = bf16_to_float((uint16_t)h);
        if (isnan(x)) {
            assert_true(isnan(bf16_to_float(bf16_from_float(x))));
        } else {
            assert_int_equal(bf16_from_float(x), h);
        }
    }
}

static void every_f16_survives_a_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = f16_to_float((uint16_t)h);
        if (isnan(x)) {
            assert_true(isnan(f16_to_float(f16_from_float(x))));
        } else {
            assert_int_equal(f16_from_float(x), h);
        }
    }
}

/* The value halfway between two neighbours goes to the even one; a hair above or below decides. */
static void halves_round_to_the_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) { /* finite, positive, with a finite successor */
        float low = f16_to_float((uint16_t)h), high = f16_to_float((uint16_t)(h + 1));
        float middle = (low + high) * 0.5f;
        uint32_t even = (h & 1) != 0 ? h + 1 : h;
        assert_int_equal(f16_from_float(middle), even);
        assert_int_equal(f16_from_float(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(f16_from_float(-nextafterf(middle, 0)), h | 0x8000u);
    }
    for (uint32_t h = 0; h < 0x7f7f; h++) {
        float middle = float_from_bits(h << 16 | 0x8000u);
        assert_int_equal(bf16_from_float(middle), (h & 1) != 0 ? h + 1 : h);
        assert_int_equal(bf16_from_float(nextafterf(middle, INFINITY)), h + 1);
    }
}

static void too_large_becomes_infinite(void **state)
{
    (void)state;
    assert_int_equal(f16_from_float(65519.0f), 0x7bff);
    assert_int_equal(f16_from_float(65520.0f), 0x7c00);
    assert_int_equal(f16_from_float(-1e30f), 0xfc00);
    assert_int_equal(bf16_from_float(3.4e38f), 0x7f80);
    assert_int_equal(f16_from_float(INFINITY), 0x7c00);
}

static void rounding_to_a_type_is_idempotent(void **state)
{
    (void)state;
    assert_true(dtype_round(DTYPE_BF16, 750.0f) == 752.0f);
    assert_true(dtype_round(DTYPE_BF16, 752.0f) == 752.0f);
    assert_true(dtype_round(DTYPE_F16, 1.0f / 3) == 0.333251953125f);
    assert_true(dtype_round(DTYPE_F32, 0.1f) == 0.1f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bf16_survives_a_round_trip),
        cmocka_unit_test(every_f16_survives_a_round_trip),
        cmocka_unit_test(halves_round_to_the_nearest_even),
        cmocka_unit_test(too_large_becomes_infinite),
        cmocka_unit_test(rounding_to_a_type_is_idempotent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
