/* client/fields: typing, order and the exact text of JSON values. */
#include "client/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void check_type(const char *text, const char *want)
{
    struct buf out = {0};
    fields_type_value(&out, text, strlen(text));
    assert_string_equal(out.data, want);
    buf_free(&out);
}

static void bare_values_are_typed_by_the_table(void **state)
{
    (void)state;
    check_type("true", "true");
    check_type("FALSE", "false");
    check_type("None", "null");
    check_type("null", "null");
    check_type("0", "0");
    check_type("-0", "0");
    check_type("2", "2");
    check_type("-7", "-7");
    check_type("18446744073709551615", "18446744073709551615");
    check_type("3.5", "3.5");
    check_type("-3.50", "-3.5");
    check_type("3.", "3.0");
    check_type(".5", "0.5");
    check_type("020", "\"020\"");
    check_type("1e5", "\"1e5\"");
    check_type("1_000", "\"1_000\"");
    check_type("+3", "\"+3\"");
    check_type("1.2.3", "\"1.2.3\"");
    check_type(".", "\".\"");
    check_type("-", "\"-\"");
    check_type("", "\"\"");
    check_type("512x512", "\"512x512\"");
    check_type("say \"x\"", "\"say \\\"x\\\"\"");
}

static char *parse_all(const char *const *uses)
{
    struct fields f = {0};
    struct error err = {0};
    struct buf out = {0};
    for (; *uses; uses++) {
        if (!fields_parse(&f, *uses, &err))
            fail_msg("%s: %s", *uses, err.text);
    }
    fields_print(&out, &f, 0, 0);
    fields_free(&f);
    return out.data;
}

static void check_all(const char *const *uses, const char *want)
{
    char *got = parse_all(uses);
    assert_string_equal(got, want);
    free(got);
}

static void pairs_are_cut_at_the_first_colon_and_trimmed(void **state)
{
    (void)state;
    check_all((const char *const[]){" a : b:c , d:1", NULL}, "{\"a\":\"b:c\",\"d\":1}");
}

static void a_later_value_takes_the_place_of_an_earlier_one(void **state)
{
    (void)state;
    check_all((const char *const[]){"a:1", "b:2", "{\"a\": \"3\"}", NULL}, "{\"a\":3,\"b\":2}");
}

static void objects_keep_nested_values_as_written(void **state)
{
    (void)state;
    check_all(
        (const char *const[]){"{ \"x\" : { \"a\": [1, 2.50, 1.0, 1e2, \"5\", []], \"b\":{} }, "
                              "\"s\":\"2.0\", \"t\":\"\\u00e9\", \"n\":null, \"f\":false}",
                              NULL},
        "{\"x\":{\"a\":[1,2.5,1.0,100.0,\"5\",[]],\"b\":{}},\"s\":2.0,\"t\":\"\xc3\xa9\","
        "\"n\":null,\"f\":false}");
}

static void keys_may_hold_anything(void **state)
{
    (void)state;
    check_all((const char *const[]){"{\"a\\\"}{,:\": \"}\\\\\"}", NULL},
              "{\"a\\\"}{,:\":\"}\\\\\"}");
}

static void check_refused(const char *text, const char *why)
{
    struct fields f = {0};
    struct error err = {0};
    assert_false(fields_parse(&f, text, &err));
    if (!strstr(err.text, why))
        fail_msg("'%s' lacks '%s'", err.text, why);
    fields_free(&f);
}

static void what_is_no_pair_is_refused(void **state)
{
    (void)state;
    check_refused("a:b,c", "'c' has no colon");
    check_refused("", "empty");
    check_refused(":x", "no key");
    check_refused("{\"a\":}", "");
    check_refused("{\"a\":1} x", "");
}

static void indented_form_has_no_final_newline(void **state)
{
    (void)state;
    struct buf out = {0};
    fields_format_json(&out, "{\"a\":[1,{}],\"b\":{\"c\":null}}", 2, 1);
    assert_string_equal(out.data, "{\n    \"a\": [\n      1,\n      {}\n    ],\n    \"b\": {\n"
                                  "      \"c\": null\n    }\n  }");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bare_values_are_typed_by_the_table),
        cmocka_unit_test(pairs_are_cut_at_the_first_colon_and_trimmed),
        cmocka_unit_test(a_later_value_takes_the_place_of_an_earlier_one),
        cmocka_unit_test(objects_keep_nested_values_as_written),
        cmocka_unit_test(keys_may_hold_anything),
        cmocka_unit_test(what_is_no_pair_is_refused),
        cmocka_unit_test(indented_form_has_no_final_newline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
