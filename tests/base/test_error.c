/* base/error: the first failure is kept, texts stay one valid line, codes map outward. */
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#undef fail /* cmocka has a macro of that name */

static void first_failure_is_kept(void **state)
{
    (void)state;
    struct error err = {0};
    assert_false(fail(&err, ERR_IO, "disk %d", 7));
    assert_false(fail(&err, ERR_BUSY, "later"));
    assert_false(fail_field(&err, "n", "later still"));
    assert_int_equal(err.code, ERR_IO);
    assert_string_equal(err.text, "disk 7");
    assert_string_equal(err.field, "");
}

static void field_is_named(void **state)
{
    (void)state;
    struct error err = {0};
    assert_false(fail_field(&err, "size", "size %dx%d: sides must be multiples of 16", 3, 4));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "size");
    assert_string_equal(err.text, "size 3x4: sides must be multiples of 16");
}

static void prefix_goes_in_front(void **state)
{
    (void)state;
    struct error err = {0};
    fail(&err, ERR_NOT_FOUND, "no tensor");
    assert_false(error_prefix(&err, "block %d", 3));
    assert_false(error_prefix(&err, "transformer"));
    assert_string_equal(err.text, "transformer: block 3: no tensor");
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void prefix_without_failure_does_nothing(void **state)
{
    (void)state;
    struct error err = {0};
    error_prefix(&err, "transformer");
    assert_int_equal(err.code, ERR_NONE);
    assert_string_equal(err.text, "");
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    assert_false(fail(NULL, ERR_IO, "x"));
    assert_false(fail_field(NULL, "f", "x"));
    assert_false(error_prefix(NULL, "x"));
}

static void text_is_one_line(void **state)
{
    (void)state;
    struct error err = {0};
    fail(&err, ERR_INVALID, "a\nb\tc\x1b[0m\x7f");
    assert_string_equal(err.text, "a b c [0m ");
}

static void long_text_is_cut_at_a_character(void **state)
{
    (void)state;
    char text[1024];
    for (size_t shift = 0; shift < 3; shift++) { /* the cut falls on each byte of the character */
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        struct error err = {0};
        fail(&err, ERR_INVALID, "%s", text);
        size_t size = strlen(err.text);
        assert_in_range(size, sizeof err.text - 4, sizeof err.text - 1);
        assert_int_equal((size - shift) % 3, 0);
        struct error prefixed = {0};
        fail(&prefixed, ERR_INVALID, "%s", text);
        error_prefix(&prefixed, "%.*s", (int)shift, "xx"); /* moves the cut */
        assert_int_equal((unsigned char)prefixed.text[strlen(prefixed.text) - 1], 0xac);
        assert_true(strlen(err.text) < sizeof err.text);
    }
}

static void long_prefix_cuts_the_text(void **state)
{
    (void)state;
    char text[1024];
    memset(text, 'p', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct error err = {0};
    fail(&err, ERR_IO, "reason");
    error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(err.text[0], 'p');
}

static void codes_have_meanings(void **state)
{
    (void)state;
    assert_int_equal(error_http_status(ERR_INVALID), 400);
    assert_int_equal(error_http_status(ERR_NOT_FOUND), 404);
    assert_int_equal(error_http_status(ERR_BUSY), 429);
    assert_int_equal(error_http_status(ERR_INTERNAL), 500);
    assert_int_equal(error_exit_code(ERR_NONE), 0);
    assert_int_equal(error_exit_code(ERR_INVALID), 2);
    assert_int_equal(error_exit_code(ERR_IO), 1);
    assert_string_equal(error_name(ERR_CANCELED), "canceled");
    assert_string_equal(error_name((enum error_code)99), "unknown");
    assert_int_equal(error_http_status((enum error_code)99), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_failure_is_kept),
        cmocka_unit_test(field_is_named),
        cmocka_unit_test(prefix_goes_in_front),
        cmocka_unit_test(prefix_without_failure_does_nothing),
        cmocka_unit_test(nobody_has_to_listen),
        cmocka_unit_test(text_is_one_line),
        cmocka_unit_test(long_text_is_cut_at_a_character),
        cmocka_unit_test(long_prefix_cuts_the_text),
        cmocka_unit_test(codes_have_meanings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
