/* base/json: trees of texts whose long strings are not copied. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* Trees with strings that stayed in the text say the same as others. */
static void long_strings_may_stay_in_the_text(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        bool stays;
    } CASES[] = {
        {"{\"a\":1,\"picture\":\"", "\",\"b\":[2]}", true},
        {"{\"picture\" :\n \"", "\"}", true},
        {"[{\"x\":\"picture\",\"picture\":\"", "\"},{\"picture\":null}]", true},
        {"{\"picture\":\"\\n", "\"}", false},
        {"{\"picture\":\"", "\\u00e4\"}", false},
        {"{\"other\":\"", "\"}", false},
        {"[\"picture\",\"", "\"]", false},
        {"{\"picture\":[\"", "\"]}", false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        for (size_t n = 0; n < 3000; n += 1499) {
            struct buf text = {0}, with = {0}, without = {0};
            buf_puts(&text, CASES[i].before);
            for (size_t k = 0; k < n; k++)
                buf_putc(&text, (char)('a' + k % 26));
            buf_puts(&text, CASES[i].after);
            struct json *tree = json_parse_around(text.data, text.size, "picture", NULL);
            struct json *whole = json_parse(text.data, text.size, NULL);
            assert_non_null(tree);
            const struct json *object = json_type(tree) == JSON_ARRAY ? json_first(tree) : tree;
            const struct json *picture = json_get(object, "picture");
            if (picture && json_type(picture) == JSON_STRING) {
                size_t size;
                const char *found = json_text(picture, &size);
                bool stayed = found >= text.data && found < text.data + text.size;
                assert_int_equal(stayed, CASES[i].stays && n > 1024);
                const struct json *same =
                    json_type(whole) == JSON_ARRAY ? json_first(whole) : whole;
                const char *wanted = json_string(json_get(same, "picture"));
                assert_int_equal(size, strlen(wanted));
                assert_memory_equal(found, wanted, size);
                char *copy = xstrndup(found, size);
                json_set((struct json *)(uintptr_t)object, "picture", json_new_string(copy));
                free(copy);
            }
            json_print(&with, tree, 0);
            json_print(&without, whole, 0);
            assert_string_equal(with.data, without.data);
            json_free(tree);
            json_free(whole);
            buf_free(&text);
            buf_free(&with);
            buf_free(&without);
        }
    }
    struct error err = {0};
    assert_null(json_parse_around("{\"picture\":}", 12, "picture", &err));
    assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_strings_may_stay_in_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
