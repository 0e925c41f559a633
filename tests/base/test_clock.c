/* base/clock.h. Nothing here depends on how long something takes, only on order. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void monotonic_clock_never_goes_back(void **state)
{
    (void)state;
    int64_t before = clock_now_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_now_ns();
        assert_true(now >= before);
        before = now;
    }
}

static void sleep_ends_after_the_due_time(void **state)
{
    (void)state;
    int64_t due = clock_now_ns() + 2 * NS_PER_MS;
    clock_sleep_until_ns(due);
    assert_true(clock_now_ns() >= due);
    clock_sleep_until_ns(due - NS_PER_S); /* long over: returns */
}

static void wall_clock_is_in_this_century(void **state)
{
    (void)state;
    assert_true(clock_unix_ns() > INT64_C(1600000000) * NS_PER_S);
    assert_true(clock_seconds(1500 * NS_PER_MS) == 1.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_clock_never_goes_back),
        cmocka_unit_test(sleep_ends_after_the_due_time),
        cmocka_unit_test(wall_clock_is_in_this_century),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
