/* client/dashboard and client/live: what the dashboard says, and that it fits every screen. */
#include "client/dashboard.h"

#include "text/unicode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000)

static struct live busy_live(void)
{
    struct live l;
    live_open(&l);
    for (int i = 0; i < 300; i++) {
        struct record r = {.start_ns = 1, .end_ns = 1 + (i + 1) * MS, .n_returned = 1};
        r.n_decoded = 1;
        live_add(&l, &r);
    }
    struct record bad = {.error = {503, "Service Unavailable", "no \x1b[31mroom\n" /* hostile */}};
    live_add(&l, &bad);
    live_add(&l, &bad);
    return l;
}

static struct dashboard busy(const struct live *l)
{
    return (struct dashboard){
        .model = "black-forest-labs/FLUX.1-dev",
        .url = "http://127.0.0.1:30000/v1/images/generations",
        .progress = {.phase = "profiling",
                     .n_done = 300,
                     .n_in_flight = 4,
                     .n_failed = 2,
                     .n_wanted = 400,
                     .elapsed_s = 60},
        .rate_hz = 5.5,
        .n_waiting = 17,
        .live = l,
        .now = {3, 1, 640, 97, 0.031},
        .log = "first line\nsecond line\nthird \x1b]0;title\x07 line\n",
    };
}

/* The widest line in characters, sequences of ours left out; *rows: how many lines. */
static int measure(const struct buf *text, int *rows)
{
    int widest = 0, column = 0;
    *rows = 1;
    for (size_t at = 0; at < text->size;) {
        uint32_t code;
        size_t n = utf8_decode(text->data + at, text->size - at, &code);
        assert_true(code != 0xfffd);
        if (code == 0x1b) {
            n = strcspn(text->data + at, "m") + 1;
            assert_true(n <= 5); /* colours only */
        } else if (code == '\n') {
            (*rows)++;
            column = 0;
        } else if (++column > widest) {
            widest = column;
        }
        at += n;
    }
    return widest;
}

static void all_figures_are_shown(void **state)
{
    (void)state;
    static const char *const PARTS[] = {
        "FLUX.1-dev", "300/400 done", "ETA 0:20",      "in flight 4",     "due, not sent 17",
        "failed 2",   "now 5.5 /s",   "mean 5 /s",     "last 300 ms",     "p50 172 ms",
        "p95 287 ms", "max 300 ms",   "queue 3",       "running 1",       "640 W",
        "97 % busy",  "3 % of",       "2 x 503 Servi", "of the last 256", "second line",
        " 75 %",      "no  [31mroom"};
    struct live l = busy_live();
    struct dashboard d = busy(&l);
    struct buf text = {0};
    dashboard_print(&text, &d, 120, 40);
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        if (!strstr(text.data, PARTS[i]))
            fail_msg("'%s' is not in %s", PARTS[i], text.data);
    }
    buf_free(&text);
    live_close(&l);
}

static void every_size_of_screen_is_kept_to(void **state)
{
    (void)state;
    struct live l = busy_live();
    struct dashboard d = busy(&l);
    for (int columns = 1; columns < 140; columns += columns < 30 ? 1 : 9) {
        for (int rows = 1; rows < 45; rows++) {
            struct buf text = {0};
            int n_rows;
            dashboard_print(&text, &d, columns, rows);
            int widest = measure(&text, &n_rows);
            if (widest > columns || n_rows > rows)
                fail_msg("%d x %d on a screen of %d x %d", widest, n_rows, columns, rows);
            buf_free(&text);
        }
    }
    live_close(&l);
}

static void nothing_known_is_no_problem(void **state)
{
    (void)state;
    struct live l;
    struct buf text = {0};
    live_open(&l);
    struct dashboard d = {.model = "m",
                          .url = "u",
                          .progress = {.phase = "warmup"},
                          .rate_hz = NAN,
                          .n_waiting = -1,
                          .live = &l,
                          .now = {NAN, NAN, NAN, NAN, NAN}};
    dashboard_print(&text, &d, 80, 24);
    assert_non_null(strstr(text.data, "no answer yet"));
    assert_null(strstr(text.data, "nan"));
    assert_null(strstr(text.data, "due, not sent"));
    buf_free(&text);
    live_close(&l);
}

static void live_forgets_other_phases_and_canceled_requests(void **state)
{
    (void)state;
    struct live l = busy_live(), seen;
    struct record canceled = {.transfer = TRANSFER_CANCELED, .phase = 1};
    struct record next = {.start_ns = 1, .end_ns = 1 + 7 * MS, .phase = 1, .n_returned = 1};
    live_add(&l, &canceled);
    live_read(&l, &seen);
    assert_int_equal(seen.n, 300);
    assert_int_equal(seen.n_errors, 1);
    assert_int_equal(seen.errors[0].n, 2);
    live_add(&l, &next);
    live_read(&l, &seen);
    assert_int_equal(seen.n, 1);
    assert_true(seen.ms[0] == 7);
    for (int i = 0; i < 2 * LIVE_ERRORS; i++) {
        char type[32];
        snprintf(type, sizeof type, "Type%d", i);
        struct record bad = {.phase = 1, .error = {0, type, "x"}};
        live_add(&l, &bad);
    }
    live_read(&l, &seen);
    assert_int_equal(seen.n_errors, LIVE_ERRORS);
    live_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_figures_are_shown),
        cmocka_unit_test(every_size_of_screen_is_kept_to),
        cmocka_unit_test(nothing_known_is_no_problem),
        cmocka_unit_test(live_forgets_other_phases_and_canceled_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
