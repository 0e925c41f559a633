#include "server/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void put(struct store *s, const char *text, char id[STORE_ID_SIZE])
{
    struct buf file = {0};
    struct error err = {0};
    buf_puts(&file, text);
    assert_true(store_put(s, &file, IMAGE_PNG, id, &err));
    assert_null(file.data);
}

static enum store_answer ask(struct store *s, const char *id, const char *expected)
{
    struct buf out = {0};
    enum image_format format = IMAGE_UNKNOWN;
    enum store_answer answer = store_get(s, id, &out, &format);
    if (answer == STORE_FOUND) {
        assert_string_equal(out.data, expected);
        assert_int_equal(format, IMAGE_PNG);
    }
    buf_free(&out);
    return answer;
}

static void stored_file_comes_back_more_than_once(void **state)
{
    (void)state;
    struct store *s = store_open(2, 100);
    char id[STORE_ID_SIZE];
    put(s, "pixels", id);
    assert_int_equal(ask(s, id, "pixels"), STORE_FOUND);
    assert_int_equal(ask(s, id, "pixels"), STORE_FOUND);
    store_close(s);
}

static void count_limit_drops_the_oldest(void **state)
{
    (void)state;
    struct store *s = store_open(2, 100);
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE], c[STORE_ID_SIZE];
    put(s, "a", a);
    put(s, "b", b);
    put(s, "c", c);
    assert_int_equal(ask(s, a, ""), STORE_DROPPED);
    assert_int_equal(ask(s, b, "b"), STORE_FOUND);
    assert_int_equal(ask(s, c, "c"), STORE_FOUND);
    assert_int_equal(store_size(s).n_images, 2);
    store_close(s);
}

static void byte_limit_drops_as_many_as_needed(void **state)
{
    (void)state;
    struct store *s = store_open(10, 10);
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE], c[STORE_ID_SIZE];
    put(s, "1234", a);
    put(s, "1234", b);
    put(s, "123456789", c);
    assert_int_equal(ask(s, a, ""), STORE_DROPPED);
    assert_int_equal(ask(s, b, ""), STORE_DROPPED);
    assert_int_equal(ask(s, c, "123456789"), STORE_FOUND);
    assert_int_equal(store_size(s).n_bytes, 9);
    store_close(s);
}

static void file_over_the_whole_limit_is_refused(void **state)
{
    (void)state;
    struct store *s = store_open(2, 4);
    struct buf file = {0};
    struct error err = {0};
    char id[STORE_ID_SIZE], kept[STORE_ID_SIZE];
    put(s, "1234", kept);
    buf_puts(&file, "12345");
    assert_false(store_put(s, &file, IMAGE_PNG, id, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "response_format");
    assert_int_equal(ask(s, kept, "1234"), STORE_FOUND);
    buf_free(&file);
    store_close(s);
}

static void unknown_names_were_never_there(void **state)
{
    (void)state;
    struct store *s = store_open(2, 100);
    assert_int_equal(ask(s, "img-0", ""), STORE_UNKNOWN);
    assert_int_equal(ask(s, "", ""), STORE_UNKNOWN);
    store_close(s);
}

static void names_differ(void **state)
{
    (void)state;
    struct store *s = store_open(2, 100);
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE];
    put(s, "a", a);
    put(s, "a", b);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), STORE_ID_SIZE - 4);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_file_comes_back_more_than_once),
        cmocka_unit_test(count_limit_drops_the_oldest),
        cmocka_unit_test(byte_limit_drops_as_many_as_needed),
        cmocka_unit_test(file_over_the_whole_limit_is_refused),
        cmocka_unit_test(unknown_names_were_never_there),
        cmocka_unit_test(names_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
