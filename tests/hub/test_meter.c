/* hub/meter: the line that shows progress. */
#include "hub/meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"

static void expect_line(const struct meter *m, int64_t now_ns, bool has_bar, const char *wanted)
{
    struct buf line = {0};
    meter_print(&line, m, now_ns, has_bar);
    assert_string_equal(line.data, wanted);
    buf_free(&line);
}

static void the_line_tells_bytes_files_rate_and_time(void **state)
{
    (void)state;
    struct meter m = {.start_ns = 0};
    meter_expect(&m, 1000000000, 3);
    meter_skip(&m, 100000000); /* were there: no part of the rate */
    meter_add(&m, 150000000);
    meter_end_file(&m);
    expect_line(&m, 3 * NS_PER_S, false,
                "250 MB of 1.0 GB (25 %)  1/3 files  50.0 MB/s  0:15 left");
    expect_line(&m, 3 * NS_PER_S, true,
                "[======>                 ] 250 MB of 1.0 GB (25 %)  1/3 files  50.0 MB/s  "
                "0:15 left");
}

static void a_restart_takes_bytes_back(void **state)
{
    (void)state;
    struct meter m = {.start_ns = 0};
    meter_expect(&m, 1000, 1);
    meter_add(&m, 600);
    meter_skip(&m, -600);
    expect_line(&m, 0, false, "0 B of 1.0 kB (0 %)  0/1 files");
}

static void the_end_needs_no_rate(void **state)
{
    (void)state;
    struct meter m = {.start_ns = 0};
    meter_expect(&m, 1000, 1);
    meter_add(&m, 1000);
    meter_end_file(&m);
    expect_line(&m, NS_PER_S, true,
                "[========================] 1.0 kB of 1.0 kB (100 %)  1/1 files");
}

static void nothing_to_do_is_no_division_by_zero(void **state)
{
    (void)state;
    struct meter m = {.start_ns = 0};
    expect_line(&m, 0, false, "0 B of 0 B (0 %)  0/0 files");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_tells_bytes_files_rate_and_time),
        cmocka_unit_test(a_restart_takes_bytes_back),
        cmocka_unit_test(the_end_needs_no_rate),
        cmocka_unit_test(nothing_to_do_is_no_division_by_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
