/* client/spill, client/shelf, client/shuffle and client/sampler. */
#include "client/sampler.h"
#include "client/shelf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void check_sorted(size_t n, const char *dir)
{
    struct spill s = {.dir = dir};
    struct error err = {0};
    bool *is_there = xcalloc(n + 1, sizeof *is_there);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t value = (i * 104729) % n;
        assert_true(spill_append(&s, &value, sizeof value, &err));
        is_there[value] = true;
    }
    assert_true(spill_done(&s, &err));
    if (!spill_sort(&s, sizeof(uint64_t), by_value, &err))
        fail_msg("%s", err.text);
    assert_int_equal(s.size, n * sizeof(uint64_t));
    assert_int_equal(s.has_file, dir && s.size > SPILL_MEMORY);
    uint64_t last = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t value;
        memcpy(&value, s.at + i * sizeof value, sizeof value);
        assert_true(value >= last && is_there[value]);
        last = value;
    }
    spill_close(&s);
    free(is_there);
}

static void sorting_keeps_all_in_memory_and_in_files(void **state)
{
    (void)state;
    const size_t runs = SPILL_MEMORY / 64;
    check_sorted(0, NULL);
    check_sorted(1, "/tmp");
    check_sorted(1000, "/tmp");
    check_sorted(5 * runs + 3, NULL);
    check_sorted(9 * runs + 3, "/tmp"); /* an odd number of runs, the last one short */
}

static void pages_given_back_come_again(void **state)
{
    (void)state;
    struct spill s = {.dir = "/tmp"};
    assert_true(spill_zero(&s, SPILL_MEMORY + 4096, NULL));
    assert_true(s.has_file);
    assert_int_equal(s.at[SPILL_MEMORY], 0);
    s.at[SPILL_MEMORY] = 7;
    spill_trim(&s);
    assert_int_equal(s.at[SPILL_MEMORY], 7);
    spill_close(&s);
}

static void a_directory_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    struct spill s = {.dir = "/proc/no/such"};
    struct error err = {0};
    char *bytes = xcalloc(1, SPILL_MEMORY + 1);
    assert_false(spill_append(&s, bytes, SPILL_MEMORY + 1, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.text, "/proc/no/such"));
    spill_close(&s);
    free(bytes);
}

static void pieces_keep_their_bounds(void **state)
{
    (void)state;
    struct shelf s;
    size_t size;
    shelf_init(&s, "/tmp");
    for (size_t i = 0; i < 600000; i++) {
        assert_true(shelf_append(&s, "0123456789", i % 8, NULL));
        assert_true(shelf_append(&s, "x", i % 2, NULL));
        assert_true(shelf_end(&s, NULL));
    }
    assert_true(shelf_done(&s, NULL));
    assert_true(s.bytes.has_file && s.ends.has_file);
    struct shelf_reader reader = {.shelf = &s};
    for (size_t i = 0; i < s.n; i += i % 49 == 0 ? 40000 : 1) { /* here and there, 48 in order */
        const char *at = shelf_at(&reader, i, &size);
        assert_int_equal(size, i % 8 + i % 2);
        assert_memory_equal(at, "0123456789", i % 8);
        assert_true(i % 2 == 0 || at[size - 1] == 'x');
    }
    shelf_reader_free(&reader);
    shelf_close(&s);
}

/* numpy.random.default_rng(seed).shuffle(list(range(n))), twice. */
static void orders_are_numpys(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t seed;
        uint32_t first[7], second[7];
    } CASES[] = {
        {7, 5, {1, 4, 2, 3, 6, 5, 0}, {1, 4, 3, 0, 6, 2, 5}},
        {3000,
         UINT64_C(12345678901234567),
         {2640, 1920, 222, 317, 1635, 2738, 2451},
         {402, 1030, 756, 478, 2278, 1181, 452}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct shuffle s;
        assert_true(shuffle_open(&s, CASES[i].n, CASES[i].seed, NULL, NULL));
        assert_memory_equal(s.order, CASES[i].first, sizeof CASES[i].first);
        shuffle_again(&s);
        assert_memory_equal(s.order, CASES[i].second, sizeof CASES[i].second);
        shuffle_close(&s);
    }
}

static void each_is_taken_once_before_any_comes_again(void **state)
{
    (void)state;
    struct sampler s;
    bool differs = false;
    size_t last[10];
    assert_true(sampler_open(&s, SAMPLING_SHUFFLE, 10, 3, NULL, NULL));
    for (int round = 0; round < 4; round++) {
        int n_taken[10] = {0};
        for (size_t i = 0; i < 10; i++) {
            size_t k = sampler_next(&s);
            assert_in_range(k, 0, 9);
            n_taken[k]++;
            differs = differs || (round > 0 && last[i] != k);
            last[i] = k;
        }
        for (size_t i = 0; i < 10; i++)
            assert_int_equal(n_taken[i], 1);
    }
    assert_true(differs);
    sampler_close(&s);
}

static void one_entry_can_be_shuffled(void **state)
{
    (void)state;
    struct sampler s;
    assert_true(sampler_open(&s, SAMPLING_SHUFFLE, 1, 3, NULL, NULL));
    for (int i = 0; i < 3; i++)
        assert_int_equal(sampler_next(&s), 0);
    sampler_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorting_keeps_all_in_memory_and_in_files),
        cmocka_unit_test(pages_given_back_come_again),
        cmocka_unit_test(a_directory_that_cannot_be_written_is_named),
        cmocka_unit_test(pieces_keep_their_bounds),
        cmocka_unit_test(orders_are_numpys),
        cmocka_unit_test(each_is_taken_once_before_any_comes_again),
        cmocka_unit_test(one_entry_can_be_shuffled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
