/* base/json: what is accepted, what is refused and where, typed reads, and printing as Python's
 * json module does it. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json *parse(const char *text)
{
    struct error err = {0};
    struct json *root = json_parse(text, strlen(text), &err);
    if (!root)
        fail_msg("%s: %s", text, err.text);
    return root;
}

static void assert_prints(const struct json *node, int indent, const char *expected)
{
    struct buf out = {0};
    json_print(&out, node, indent);
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

/* ---- parsing ------------------------------------------------------------------------------- */

static void compact_text_prints_back(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "null",
        "true",
        "false",
        "0",
        "-7",
        "9007199254740992",
        "-9007199254740991",
        "0.1",
        "1e-05",
        "1e+16",
        "1.5e+300",
        "\"\"",
        "[]",
        "{}",
        "[[],{}]",
        "{\"a\":1,\"b\":[1,2]}",
        "{\"a\":{\"b\":{\"c\":[null,true,false,\"x\"]}}}",
        "\"\\u0001\\\\ \\\" \\n\"",
        "\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"",
        "{\"\":\"\"}",
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        struct json *root = parse(TEXTS[i]);
        assert_prints(root, 0, TEXTS[i]);
        json_free(root);
    }
}

static void escapes_become_characters(void **state)
{
    (void)state;
    struct json *root = parse("\"\\u00e9\\u20ac\\ud83d\\ude00\\/\\b\\f\\t\"");
    assert_string_equal(json_string(root), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/\b\f\t");
    json_free(root);
}

static void white_space_and_byte_order_mark_are_skipped(void **state)
{
    (void)state;
    struct json *root = parse("\xef\xbb\xbf \r\n\t{ \"a\" : [ 1 , 2 ] } \n");
    assert_prints(root, 0, "{\"a\":[1,2]}");
    json_free(root);
}

static void malformed_text_is_refused_with_position(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } CASES[] = {
        {"", "line 1 column 1: the text ends"},
        {" \n ", "line 2 column 2: the text ends"},
        {"nul", "column 1: unknown word"},
        {"True", "column 1: a value"},
        {"nulls", "column 5: something follows"},
        {"1 2", "column 3: something follows"},
        {"{} x", "column 4: something follows"},
        {"[1,]", "column 4: a value"},
        {"[1", "column 3: a comma or ]"},
        {"[1 2]", "column 4: a comma or ]"},
        {"[", "column 2: the text ends"},
        {"]", "column 1: a value"},
        {"[1}", "column 3: a comma or ]"},
        {"{\"a\":1]", "column 7: a comma or }"},
        {"{", "column 2: a key"},
        {"{a:1}", "column 2: a key"},
        {"{'a':1}", "column 2: a key"},
        {"{\"a\" 1}", "column 6: a colon"},
        {"{\"a\":}", "column 6: a value"},
        {"{\"a\":1,}", "column 8: a key"},
        {"{\n\"a\": 1,\n\"b\": 01}", "line 3 column 6: a number starts with 0"},
        {"-", "a number needs a digit"},
        {"+1", "a value should be here"},
        {".5", "a value should be here"},
        {"1.", "digit after its point"},
        {"1e", "digit in its exponent"},
        {"1e+", "digit in its exponent"},
        {"-01", "starts with 0"},
        {"1e999", "too large"},
        {"0000000000000000000000000000000000000000000000000000000000000000000", "starts with 0"},
        {"1234567890123456789012345678901234567890123456789012345678901234", "63 characters"},
        {"NaN", "a value"},
        {"Infinity", "a value"},
        {"\"", "column 2: the text ends within a string"},
        {"\"\\\"", "ends within a string"},
        {"\"\\x41\"", "column 2: unknown escape"},
        {"\"\\", "unknown escape"},
        {"\"\\u12g4\"", "four hex digits"},
        {"\"\\u12", "four hex digits"},
        {"\"\\u0000\"", "u0000"},
        {"\"\\ud800\"", "half of a surrogate"},
        {"\"\\ud800\\u0041\"", "half of a surrogate"},
        {"\"\\udc00\"", "half of a surrogate"},
        {"\"\\ud800\\u", "half of a surrogate"},
        {"\"a\nb\"", "control character"},
        {"\"\x80\"", "not valid UTF-8"},
        {"\"\xc3\"", "not valid UTF-8"},
        {"\"\xc0\xaf\"", "not valid UTF-8"},
        {"\"\xe0\x80\xaf\"", "not valid UTF-8"},
        {"\"\xed\xa0\x80\"", "not valid UTF-8"},
        {"\"\xf5\x80\x80\x80\"", "not valid UTF-8"},
        {"\"\xf4\x90\x80\x80\"", "not valid UTF-8"},
        {"\"\xe2\x82", "not valid UTF-8"},
        {"\"h\xc3\xa9\" x", "column 6: something"},
        {"// c\n1", "a value"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct error err = {0};
        /* A copy of exact size, so that the sanitizers see a read beyond it. */
        size_t size = strlen(CASES[i].text);
        char *copy = xmalloc(size);
        memcpy(copy, CASES[i].text, size);
        struct json *root = json_parse(copy, size, &err);
        free(copy);
        if (root || !strstr(err.text, CASES[i].reason))
            fail_msg("%s: %s", CASES[i].text, root ? "accepted" : err.text);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void zero_bytes_are_refused(void **state)
{
    (void)state;
    struct error a = {0}, b = {0};
    assert_null(json_parse("1\0", 2, &a));
    assert_null(json_parse("\"a\0b\"", 5, &b));
    assert_non_null(strstr(b.text, "control character"));
}

static char *nested(int depth)
{
    char *text = xmalloc((size_t)depth * 2 + 1);
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    text[depth * 2] = '\0';
    return text;
}

static void nesting_is_bounded_at_100(void **state)
{
    (void)state;
    char *deep = nested(100), *deeper = nested(101);
    struct json *root = parse(deep);
    assert_prints(root, 0, deep);
    json_free(root);
    struct error err = {0};
    assert_null(json_parse(deeper, strlen(deeper), &err));
    assert_string_equal(err.text, "not valid JSON at line 1 column 101: nested deeper than 100");
    free(deep);
    free(deeper);
}

static void file_failures_name_the_path(void **state)
{
    (void)state;
    char path[] = "/tmp/test_json.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fputs("{\"a\": }", file);
    fclose(file);
    struct error err = {0}, missing = {0};
    assert_null(json_read_file(path, &err));
    assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
    remove(path);
    assert_null(json_read_file(path, &missing));
    assert_int_equal(missing.code, ERR_NOT_FOUND);
}

/* ---- looking ------------------------------------------------------------------------------- */

static void nodes_have_types_sizes_and_keys(void **state)
{
    (void)state;
    struct json *root =
        parse("{\"n\":null,\"b\":true,\"d\":1.5,\"s\":\"x\",\"a\":[1,2,3],\"o\":{}}");
    static const char *const NAMES[] = {"null", "boolean", "number", "string", "array", "object"};
    size_t i = 0;
    for (const struct json *child = json_first(root); child; child = json_next(child), i++) {
        assert_string_equal(json_type_name(json_type(child)), NAMES[i]);
        assert_ptr_equal(json_get(root, json_key(child)), child);
    }
    assert_int_equal(i, 6);
    assert_int_equal(json_size(root), 6);
    assert_int_equal(json_size(json_get(root, "a")), 3);
    assert_int_equal(json_size(json_get(root, "s")), 0);
    assert_true(json_bool(json_get(root, "b")));
    assert_true(json_number(json_get(root, "d")) == 1.5);
    assert_null(json_get(root, "N")); /* case matters */
    assert_null(json_get(json_get(root, "a"), "n"));
    assert_null(json_get(NULL, "n"));
    json_free(root);
    json_free(NULL);
}

static void big_objects_are_walked_in_linear_time(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_putc(&text, '{');
    for (int i = 0; i < 50000; i++)
        buf_printf(&text, "%s\"k%d\":%d", i ? "," : "", i, i);
    buf_putc(&text, '}');
    struct json *root = parse(text.data);
    int64_t sum = 0;
    for (const struct json *child = json_first(root); child; child = json_next(child))
        sum += (int64_t)json_number(child);
    assert_int_equal(sum, INT64_C(50000) * 49999 / 2);
    assert_prints(root, 0, text.data);
    json_free(root);
    buf_free(&text);
}

/* ---- typed reads --------------------------------------------------------------------------- */

static void absent_and_null_keep_the_default(void **state)
{
    (void)state;
    struct json *root = parse("{\"a\":null}");
    int64_t i = 5;
    double d = 2.5;
    bool b = true;
    const char *s = "kept";
    struct error err = {0};
    static const char *const KEYS[] = {"a", "missing"};
    for (size_t k = 0; k < 2; k++) {
        assert_true(json_read_int(root, KEYS[k], 0, 9, &i, &err));
        assert_true(json_read_double(root, KEYS[k], 0, 9, &d, &err));
        assert_true(json_read_bool(root, KEYS[k], &b, &err));
        assert_true(json_read_string(root, KEYS[k], &s, &err));
    }
    assert_int_equal(i, 5);
    assert_true(d == 2.5);
    assert_true(b);
    assert_string_equal(s, "kept");
    json_free(root);
}

static void present_values_are_read(void **state)
{
    (void)state;
    struct json *root = parse("{\"i\":10,\"f\":10.0,\"d\":0.25,\"b\":false,\"s\":\"x\","
                              "\"big\":9007199254740992}");
    int64_t i = 0, f = 0, big = 0;
    double d = 0;
    bool b = true;
    const char *s = NULL;
    struct error err = {0};
    assert_true(json_read_int(root, "i", 1, 10, &i, &err));
    assert_true(json_read_int(root, "f", 1, 10, &f, &err)); /* whole, so an integer */
    assert_true(json_read_int(root, "big", INT64_MIN, INT64_MAX, &big, &err));
    assert_true(json_read_double(root, "d", 0, 1, &d, &err));
    assert_true(json_read_bool(root, "b", &b, &err));
    assert_true(json_read_string(root, "s", &s, &err));
    assert_int_equal(i, 10);
    assert_int_equal(f, 10);
    assert_int_equal(big, INT64_C(9007199254740992));
    assert_true(d == 0.25);
    assert_false(b);
    assert_string_equal(s, "x");
    json_free(root);
}

static void assert_int_refused(const char *value, int64_t min, int64_t max, const char *message)
{
    char *text = xasprintf("{\"n\":%s}", value);
    struct json *root = parse(text);
    int64_t n = 77;
    struct error err = {0};
    assert_false(json_read_int(root, "n", min, max, &n, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "n");
    assert_string_equal(err.text, message);
    assert_int_equal(n, 77);
    json_free(root);
    free(text);
}

static void wrong_integers_say_what_would_be_right(void **state)
{
    (void)state;
    assert_int_refused("11", 1, 10, "n is 11: must be an integer from 1 to 10");
    assert_int_refused("0", 1, 10, "n is 0: must be an integer from 1 to 10");
    assert_int_refused("2.5", 1, 10, "n is 2.5: must be an integer from 1 to 10");
    assert_int_refused("\"2\"", 1, 10, "n is \"2\": must be an integer from 1 to 10");
    assert_int_refused("true", 1, 10, "n is true: must be an integer from 1 to 10");
    assert_int_refused("[1]", 1, 10, "n is an array: must be an integer from 1 to 10");
    assert_int_refused("{}", 1, 10, "n is an object: must be an integer from 1 to 10");
    assert_int_refused("1e30", 0, INT64_MAX,
                       "n is 1e+30: must be an integer from 0 to 9007199254740992");
    assert_int_refused("\"0123456789012345678901234567890123456789\"", 0, 1,
                       "n is \"012345678901234567890123456789012345678...: must be an integer "
                       "from 0 to 1");
}

static void wrong_types_are_refused(void **state)
{
    (void)state;
    struct json *root = parse("{\"x\":[],\"y\":\"1\"}");
    double d = 1;
    bool b = true;
    const char *s = "kept";
    struct error e1 = {0}, e2 = {0}, e3 = {0};
    assert_false(json_read_double(root, "y", 0, 1.5, &d, &e1));
    assert_string_equal(e1.text, "y is \"1\": must be a number from 0 to 1.5");
    assert_false(json_read_bool(root, "y", &b, &e2));
    assert_string_equal(e2.text, "y is \"1\": must be true or false");
    assert_false(json_read_string(root, "x", &s, &e3));
    assert_string_equal(e3.text, "x is an array: must be a string");
    assert_string_equal(e3.field, "x");
    assert_string_equal(s, "kept");
    json_free(root);
}

/* ---- building and printing ----------------------------------------------------------------- */

static void built_tree_prints_like_python(void **state)
{
    (void)state;
    struct json *root = json_new_object(), *list = json_new_array();
    json_push(list, json_new_int(1));
    json_push(list, json_new_double(3.0));
    json_push(list, json_new_array());
    json_push(list, json_new_object());
    json_set(root, "z", json_new_string("\xc3\xa9\n"));
    json_set(root, "a", list);
    json_set(root, "Z", json_new_null());
    json_set(root, "z", json_new_bool(true)); /* replaced in its place */
    assert_prints(root, 0, "{\"z\":true,\"a\":[1,3.0,[],{}],\"Z\":null}");
    assert_prints(root, 2,
                  "{\n  \"z\": true,\n  \"a\": [\n    1,\n    3.0,\n    [],\n    {}\n  ],\n"
                  "  \"Z\": null\n}");
    struct json *copy = json_copy(root);
    json_free(root);
    assert_prints(copy, 0, "{\"z\":true,\"a\":[1,3.0,[],{}],\"Z\":null}");
    json_free(copy);
}

static void all_integers_survive(void **state)
{
    (void)state;
    struct json *low = json_new_int(INT64_MIN), *high = json_new_int(INT64_MAX);
    assert_prints(low, 0, "-9223372036854775808");
    assert_prints(high, 0, "9223372036854775807");
    assert_int_equal(json_type(high), JSON_NUMBER);
    assert_true(json_number(high) == 0x1p63);
    json_free(low);
    json_free(high);
}

static void doubles_print_as_repr(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } CASES[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {3.0, "3.0"},
        {-3.5, "-3.5"},
        {0.1, "0.1"},
        {0.30000000000000004, "0.30000000000000004"},
        {1.0 / 3.0, "0.3333333333333333"},
        {2.0 / 3.0, "0.6666666666666666"},
        {100.0, "100.0"},
        {123456.789, "123456.789"},
        {1e-4, "0.0001"},
        {0.00012345, "0.00012345"},
        {1e-5, "1e-05"},
        {1.25e-7, "1.25e-07"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {1.5e16, "1.5e+16"},
        {1e22, "1e+22"},
        {1e23, "1e+23"},
        {9007199254740993.0, "9007199254740992.0"},
        {1e100, "1e+100"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {5e-324, "5e-324"},
        {0x1p-44, "5.684341886080802e-14"},
        {0x1p-24, "5.960464477539063e-08"},
        {9.5, "9.5"},
        {12345678901234567.0, "1.2345678901234568e+16"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf out = {0};
        json_print_double(&out, CASES[i].value);
        assert_string_equal(out.data, CASES[i].text);
        buf_free(&out);
    }
}

static void doubles_read_back_exactly(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252U;
    for (int i = 0; i < 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        double value;
        memcpy(&value, &random, sizeof value);
        if (!isfinite(value))
            continue;
        struct buf out = {0};
        json_print_double(&out, value);
        assert_true(strtod(out.data, NULL) == value);
        struct json *node = parse(out.data);
        assert_true(json_number(node) == value);
        json_free(node);
        buf_free(&out);
    }
}

/* Times in ms and sizes in KB: the decimal with the fewest digits, which %.15g gives too. */
static void millionths_are_printed_in_full(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252U;
    for (int i = 0; i < 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        double value = i % 2 ? (double)(random % 1000000000000000U >> i % 40) / 1e6
                             : (double)(random % 100000000U >> i % 20) / 1024;
        char expected[40];
        snprintf(expected, sizeof expected, "%.15g", value);
        struct buf out = {0};
        json_print_double(&out, value);
        assert_true(strtod(out.data, NULL) == value);
        if (strchr(expected, '.') && !strchr(expected, 'e'))
            assert_string_equal(out.data, expected);
        buf_free(&out);
    }
}

static void no_number_becomes_null(void **state)
{
    (void)state;
    struct json *root = json_new_array();
    json_push(root, json_new_double((double)NAN));
    json_push(root, json_new_double((double)INFINITY));
    assert_prints(root, 0, "[null,null]");
    json_free(root);
    struct buf out = {0};
    json_print_double(&out, (double)-INFINITY);
    assert_string_equal(out.data, "null");
    buf_free(&out);
}

static void any_bytes_make_a_valid_literal(void **state)
{
    (void)state;
    struct buf out = {0};
    json_print_string(&out, "a\0\x1f\x7f\"\\\b\f\n\r\t\xc3\xa9\xff\xc3", 15);
    assert_string_equal(out.data, "\"a\\u0000\\u001f\x7f\\\"\\\\\\b\\f\\n\\r\\t"
                                  "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\"");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compact_text_prints_back),
        cmocka_unit_test(escapes_become_characters),
        cmocka_unit_test(white_space_and_byte_order_mark_are_skipped),
        cmocka_unit_test(malformed_text_is_refused_with_position),
        cmocka_unit_test(zero_bytes_are_refused),
        cmocka_unit_test(nesting_is_bounded_at_100),
        cmocka_unit_test(file_failures_name_the_path),
        cmocka_unit_test(nodes_have_types_sizes_and_keys),
        cmocka_unit_test(big_objects_are_walked_in_linear_time),
        cmocka_unit_test(absent_and_null_keep_the_default),
        cmocka_unit_test(present_values_are_read),
        cmocka_unit_test(wrong_integers_say_what_would_be_right),
        cmocka_unit_test(wrong_types_are_refused),
        cmocka_unit_test(built_tree_prints_like_python),
        cmocka_unit_test(all_integers_survive),
        cmocka_unit_test(doubles_print_as_repr),
        cmocka_unit_test(doubles_read_back_exactly),
        cmocka_unit_test(millionths_are_printed_in_full),
        cmocka_unit_test(no_number_becomes_null),
        cmocka_unit_test(any_bytes_make_a_valid_literal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
