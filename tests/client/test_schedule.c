/* client/schedule, client/users and the fixed arrivals of client/arrivals. */
#include "client/schedule.h"

#include "client/arrivals.h"
#include "client/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#define MS 1000000

static void put_row(struct prompts *p, struct draft *d)
{
    d->text = xstrdup("a");
    d->session_id = xstrdup("s");
    assert_true(prompts_put(p, d, NULL));
    draft_free(d);
}

/* A data set whose rows have these timestamps; below -1e15: none. */
static struct prompts make_rows(const double *times_ms, size_t n)
{
    struct prompts p = {0};
    for (size_t i = 0; i < n; i++) {
        struct draft d = {
            .has_timestamp = times_ms[i] > -1e15, .timestamp_ms = times_ms[i], .line = i + 1};
        put_row(&p, &d);
    }
    assert_true(prompts_done(&p, NULL));
    return p;
}

static void rows_are_ordered_by_time_then_as_they_stand(void **state)
{
    (void)state;
    const double times[] = {30, -10, 30, 0.5};
    struct prompts p = make_rows(times, 4);
    struct schedule_window all = {0};
    struct schedule s = {0};
    assert_true(schedule_make(&s, &p, &all, "f", NULL, NULL));
    assert_int_equal(s.n, 4);
    const uint64_t entries[] = {1, 3, 0, 2};
    const int64_t due_ns[] = {0, 10500000, 40 * MS, 40 * MS};
    assert_memory_equal(s.entry, entries, sizeof entries);
    assert_memory_equal(s.due_ns, due_ns, sizeof due_ns);
    schedule_free(&s);
    prompts_free(&p);
}

static void both_ends_of_the_window_belong_to_it(void **state)
{
    (void)state;
    const double times[] = {9, 10, 20, 20.5};
    struct prompts p = make_rows(times, 4);
    struct schedule_window window = {true, true, 10, 20};
    struct schedule s = {0};
    assert_true(schedule_make(&s, &p, &window, "f", NULL, NULL));
    const uint64_t entries[] = {1, 2};
    const int64_t due_ns[] = {0, 10 * MS};
    assert_int_equal(s.n, 2);
    assert_memory_equal(s.entry, entries, sizeof entries);
    assert_memory_equal(s.due_ns, due_ns, sizeof due_ns);
    schedule_free(&s);
    prompts_free(&p);
}

static void a_row_without_time_is_named(void **state)
{
    (void)state;
    const double times[] = {0, -2e15};
    struct prompts p = make_rows(times, 2);
    struct schedule_window all = {0};
    struct schedule s = {0};
    struct error err = {0};
    assert_false(schedule_make(&s, &p, &all, "rows.jsonl", NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.text, "rows.jsonl:2: no timestamp: --fixed-schedule needs one in each "
                                  "row, in ms");
    prompts_free(&p);
}

/* Rows that fill files, in the order of the last digits of their times. */
static void many_rows_are_ordered_in_files(void **state)
{
    (void)state;
    const size_t n = 300000;
    double *times = xcalloc(n, sizeof *times);
    struct schedule_window all = {0};
    struct schedule s = {0};
    for (size_t i = 0; i < n; i++) {
        size_t moment = (i * 7919) % n / 2; /* of two rows each */
        times[i] = (double)moment;
    }
    struct prompts p = make_rows(times, n);
    assert_true(schedule_make(&s, &p, &all, "f", "/tmp", NULL));
    assert_int_equal(s.n, n);
    assert_true(s.lists[0].has_file);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(s.due_ns[i], (int64_t)(i / 2) * MS);
        assert_int_equal((int64_t)times[s.entry[i]], i / 2);
        assert_true(i % 2 == 0 || s.entry[i] > s.entry[i - 1]);
    }
    schedule_free(&s);
    prompts_free(&p);
    free(times);
}

static void arrivals_replay_the_times_and_then_the_last(void **state)
{
    (void)state;
    const int64_t times[] = {0, 5, 5, 9};
    struct arrivals a;
    arrivals_init_schedule(&a, times, 4);
    assert_true(arrivals_has_plan(&a));
    const int64_t expected[] = {0, 5, 5, 9, 9, 9};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(arrivals_next_ns(&a), expected[i]);
}

/* Four users, sessions of 3 turns: 4 and 2 have a divisor, so that places are spread by steps. */
static void users_have_places_and_follow_themselves(void **state)
{
    (void)state;
    struct prompts p = {0};
    struct schedule s = {0};
    for (size_t i = 0; i < 30; i++) {
        struct draft d = {.turn = i % 3};
        put_row(&p, &d);
    }
    assert_true(prompts_done(&p, NULL));
    assert_true(users_plan(&s, &p, 4, 1000, 20, NULL, NULL));
    assert_int_equal(s.n_places, 4);
    struct prompts_reader reader = prompts_reader(&p);
    for (size_t i = 0; i < s.n; i++) {
        assert_int_equal(s.due_ns[i], (int64_t)i * MS);
        bool is_first = prompts_at(&reader, s.entry[i]).turn == 0;
        assert_int_equal(s.follows[i], !is_first);
        if (is_first)
            continue;
        assert_int_equal(s.user[i], s.user[i - 4]);
        assert_int_equal(s.entry[i], s.entry[i - 4] + 1);
    }
    /* user 5 is new at the start; the others are in the middle of their sessions */
    assert_int_equal(s.user[0], 5);
    for (int64_t user = 2; user <= 4; user++)
        assert_true(s.user[1] == user || s.user[2] == user || s.user[3] == user);
    prompts_reader_free(&reader);
    schedule_free(&s);
    prompts_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_ordered_by_time_then_as_they_stand),
        cmocka_unit_test(both_ends_of_the_window_belong_to_it),
        cmocka_unit_test(a_row_without_time_is_named),
        cmocka_unit_test(many_rows_are_ordered_in_files),
        cmocka_unit_test(arrivals_replay_the_times_and_then_the_last),
        cmocka_unit_test(users_have_places_and_follow_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
