/* client/ab_order: which target is whose turn. */
#include "client/ab_order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define N_PAIRS 64

static void abba_takes_turns_at_being_first(void **state)
{
    (void)state;
    bool is_b[8], want[8] = {false, true, true, false, false, true, true, false};
    ab_order_fill(is_b, 4, AB_ABBA, 1);
    assert_memory_equal(is_b, want, sizeof want);
}

static void random_order_is_drawn_by_the_seed_pair_by_pair(void **state)
{
    (void)state;
    bool first[2 * N_PAIRS], again[2 * N_PAIRS], other[2 * N_PAIRS];
    size_t n_b_first = 0;
    ab_order_fill(first, N_PAIRS, AB_RANDOM, 1);
    ab_order_fill(again, N_PAIRS, AB_RANDOM, 1);
    ab_order_fill(other, N_PAIRS, AB_RANDOM, 2);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    for (size_t i = 0; i < N_PAIRS; i++) {
        assert_true(first[2 * i] != first[2 * i + 1]);
        n_b_first += first[2 * i];
    }
    assert_in_range(n_b_first, N_PAIRS / 4, 3 * N_PAIRS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abba_takes_turns_at_being_first),
        cmocka_unit_test(random_order_is_drawn_by_the_seed_pair_by_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
