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

/* A judged record with one picture, as answer_judge leaves it. */
static struct record judged(const char *body, uint8_t digest)
{
    struct record r = {.n_returned = 1, .n_decoded = 1, .image_bytes = 7, .image_pixels = 64};
    buf_puts(&r.body, body);
    r.images = xcalloc(1, sizeof *r.images);
    r.images[0] = (struct record_image){"png", 8, 8, 7};
    r.digests = xcalloc(1, sizeof *r.digests);
    r.digests[0][0] = digest;
    return r;
}

/* What record_free frees, but for the record. */
static void clear(struct record *r)
{
    record_reset(r);
    buf_free(&r->body);
}

static void only_an_equal_answer_is_recalled(void **state)
{
    (void)state;
    struct answer_memory *m = answer_memory_open();
    struct record a = judged("{\"data\":[1]}", 42), b = {0};
    assert_false(answer_memory_recognise(m, &a));
    answer_memory_keep(m, &a, 0, 0);
    assert_null(a.body.data);
    assert_string_equal(record_body(&a)->data, "{\"data\":[1]}");
    assert_int_equal(a.digests[0][0], 42); /* still its own */

    buf_puts(&b.body, "{\"data\":[2]}");
    assert_false(answer_memory_recognise(m, &b));
    b.body.data[9] = '1';
    assert_true(answer_memory_recognise(m, &b));
    answer_memory_recall(&b);
    assert_int_equal(b.n_decoded, 1);
    assert_int_equal(b.image_pixels, 64);
    assert_string_equal(b.images[0].format, "png");
    assert_int_equal(b.digests[0][0], 42);
    answer_memory_close(m); /* both hold it on */
    assert_string_equal(record_body(&b)->data, "{\"data\":[1]}");
    clear(&a);
    clear(&b);
}

static void the_oldest_answers_are_forgotten(void **state)
{
    (void)state;
    struct answer_memory *m = answer_memory_open();
    char body[] = "0";
    for (int i = 0; i <= ANSWER_MEMORY_ITEMS; i++) {
        body[0] = (char)('a' + i);
        struct record r = judged(body, (uint8_t)i);
        answer_memory_keep(m, &r, 0, 0);
        clear(&r);
    }
    for (int i = 0; i <= ANSWER_MEMORY_ITEMS; i++) {
        struct record r = {0};
        body[0] = (char)('a' + i);
        buf_puts(&r.body, body);
        assert_int_equal(answer_memory_recognise(m, &r), i > 0);
        clear(&r);
    }
    answer_memory_close(m);
}

/* Pieces of `text` arrive, `end` ends it. Returns what record_body has then. */
static const char *receive(struct record *r, struct answer_memory *m, const char *text,
                           size_t piece, size_t n)
{
    *r = (struct record){.memory = m, .expected_bytes = strlen(text)};
    for (size_t at = 0; at < n; at += piece) {
        size_t size = n - at < piece ? n - at : piece;
        if (!answer_same_bytes(r, text + at, size))
            buf_append(&r->body, text + at, size);
    }
    answer_same_end(r);
    return record_body(r)->data;
}

static void bytes_that_arrive_are_compared(void **state)
{
    (void)state;
    static const char KNOWN[] = "first second third";
    struct answer_memory *m = answer_memory_open();
    struct record a = judged(KNOWN, 1), r;
    answer_memory_keep(m, &a, 0, 0);
    for (size_t piece = 1; piece <= sizeof KNOWN; piece++) {
        assert_string_equal(receive(&r, m, KNOWN, piece, strlen(KNOWN)), KNOWN);
        assert_ptr_equal(r.known, a.known);
        assert_int_equal(r.body.size, 0);
        clear(&r);
        /* another end, or none */
        assert_string_equal(receive(&r, m, "first second thirD", piece, 18), "first second thirD");
        assert_null(r.known);
        clear(&r);
        assert_string_equal(receive(&r, m, KNOWN, piece, 9), "first sec");
        assert_null(r.known);
        clear(&r);
        /* more than was told */
        r = (struct record){.memory = m, .expected_bytes = strlen(KNOWN)};
        assert_true(answer_same_bytes(&r, KNOWN, strlen(KNOWN)));
        assert_false(answer_same_bytes(&r, "!", 1));
        assert_string_equal(r.body.data, KNOWN);
        clear(&r);
    }
    assert_string_equal(receive(&r, m, "other", 2, 5), "other");
    assert_null(r.known);
    clear(&r);
    clear(&a);
    answer_memory_close(m);
}

static void failures_are_told_apart_up_to_a_number(void **state)
{
    (void)state;
    struct kept *k = kept_open(NULL);
    static char text[3 * KEPT_MAX_TEXT];
    for (int i = 0; i < 2 * KEPT_MAX_TEXTS; i++) {
        snprintf(text, sizeof text, "request %d", i);
        const struct record r = {.error = {500, "Internal Server Error", text}};
        kept_add(k, &r);
    }
    assert_string_equal(kept_at(k, 0)->error.message, "request 0");
    assert_string_equal(kept_at(k, 2 * KEPT_MAX_TEXTS - 1)->error.message, KEPT_OTHER_TEXT);
    assert_string_equal(kept_at(k, 2 * KEPT_MAX_TEXTS - 1)->error.type, "Internal Server Error");
    kept_close(k);

    k = kept_open(NULL);
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 4); /* the euro sign */
    const struct record r = {.error = {500, "Busy", text}};
    kept_add(k, &r);
    kept_add(k, &r);
    const char *message = kept_at(k, 0)->error.message;
    assert_int_equal(strlen(message), (KEPT_MAX_TEXT + 2) / 3 * 3);
    assert_ptr_equal(kept_at(k, 1)->error.message, message);
    kept_close(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_outlive_trimming),
        cmocka_unit_test(failures_are_told_apart_up_to_a_number),
        cmocka_unit_test(without_a_directory_they_lie_in_memory),
        cmocka_unit_test(only_an_equal_answer_is_recalled),
        cmocka_unit_test(the_oldest_answers_are_forgotten),
        cmocka_unit_test(bytes_that_arrive_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
