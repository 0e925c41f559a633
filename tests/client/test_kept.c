/* client/kept: numbers of many requests outlive the trimming of their pages; client/answer_memory:
 * only an equal answer is recalled. */
#include "client/kept.h"

#include "client/answer_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N 10000 /* several chunks */

static void fill(struct record *r, int64_t i, struct stages *stages)
{
    *r = (struct record){.session = i, .end_ns = 3 * i, .n_decoded = (size_t)i};
    if (i % 3 == 0) {
        *stages = (struct stages){.n_steps = (size_t)i};
        r->stages = stages;
    }
    if (i % 2 == 1) {
        r->error = (struct record_error){503, "Busy", xasprintf("no %d", (int)(i % 4))};
        r->is_good = true;
    }
}

static void keep_many(const char *dir)
{
    struct kept *k = kept_open(dir);
    struct record r;
    struct stages stages;
    for (int64_t i = 0; i < N; i++) {
        fill(&r, i, &stages);
        kept_add(k, &r);
        free(r.error.message);
    }
    kept_trim(k);
    assert_int_equal(kept_count(k), N);
    for (int64_t i = N - 1; i >= 0; i--) {
        const struct record *c = kept_at(k, (size_t)i);
        assert_int_equal(c->session, i);
        assert_int_equal(c->end_ns, 3 * i);
        assert_int_equal(c->n_decoded, i);
        assert_int_equal(record_succeeded(c), i % 2 == 0);
        assert_int_equal(c->stages != NULL, i % 3 == 0);
        if (c->stages)
            assert_int_equal(c->stages->n_steps, i);
        if (i % 4 == 3)
            assert_string_equal(c->error.message, "no 3");
        kept_pass(k, (size_t)i);
    }
    /* equal messages are kept once */
    assert_ptr_equal(kept_at(k, 1)->error.message, kept_at(k, 5)->error.message);
    kept_close(k);
}

static void numbers_outlive_trimming(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_kept.XXXXXX";
    assert_non_null(mkdtemp(dir));
    keep_many(dir);
    assert_int_equal(rmdir(dir), 0); /* no file is left */
}

static void without_a_directory_they_lie_in_memory(void **state)
{
    (void)state;
    keep_many(NULL);
    keep_many("/no/such/directory");
}

static void only_an_equal_answer_is_recalled(void **state)
{
    (void)state;
    struct answer_memory m = {0};
    struct record a = {.n_returned = 1, .n_decoded = 1, .image_bytes = 7, .image_pixels = 64};
    struct record_image image = {"png", 8, 8, 7};
    uint8_t digest[1][SHA256_SIZE] = {{42}};
    buf_puts(&a.body, "{\"data\":[1]}");
    a.images = &image;
    a.digests = digest;
    assert_false(answer_memory_recall(&m, &a));
    answer_memory_keep(&m, &a);
    assert_null(a.body.data);

    struct record b = {0};
    buf_puts(&b.body, "{\"data\":[2]}");
    assert_false(answer_memory_recall(&m, &b));
    b.body.data[9] = '1';
    assert_true(answer_memory_recall(&m, &b));
    assert_int_equal(b.n_decoded, 1);
    assert_int_equal(b.image_pixels, 64);
    assert_string_equal(b.images[0].format, "png");
    assert_int_equal(b.digests[0][0], 42);
    free(b.images);
    free(b.digests);
    buf_free(&b.body);
    answer_memory_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_outlive_trimming),
        cmocka_unit_test(without_a_directory_they_lie_in_memory),
        cmocka_unit_test(only_an_equal_answer_is_recalled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
