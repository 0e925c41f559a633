#include "tests/text/text_fixture.h"
#include "text/tokenize_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct tokenizer *builtin;
static struct error err;

static int open_builtin(void **state)
{
    (void)state;
    return tokenizer_open_gpt2_builtin(&builtin, &err) ? 0 : -1;
}

static int close_builtin(void **state)
{
    (void)state;
    tokenizer_close(builtin);
    return 0;
}

/* Run the command on lines; what it printed is to be freed. */
static char *run(const char *lines, bool *ok)
{
    char *printed = NULL;
    size_t size = 0;
    FILE *in = fmemopen((void *)(uintptr_t)lines, strlen(lines), "r");
    FILE *out = open_memstream(&printed, &size);
    assert_non_null(in);
    assert_non_null(out);
    err = (struct error){0};
    *ok = tokenize_lines(builtin, in, out, &err);
    fclose(in);
    fclose(out);
    return printed;
}

static void assert_printed(const char *lines, const char *expected)
{
    bool ok;
    char *printed = run(lines, &ok);
    assert_true(ok);
    assert_string_equal(printed, expected);
    free(printed);
}

static void assert_refused(const char *lines, const char *printed_before, const char *place)
{
    bool ok;
    char *printed = run(lines, &ok);
    assert_false(ok);
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, place));
    assert_string_equal(printed, printed_before);
    free(printed);
}

static void every_line_gives_an_array_as_json_dumps_prints_it(void **state)
{
    (void)state;
    assert_printed("\"Hello world\"\n\"\"\n  \"a\" \r\n", "[15496, 995]\n[]\n[64]\n");
    assert_printed("\"Hello world\"", "[15496, 995]\n"); /* no newline at the end */
}

static void empty_lines_are_skipped(void **state)
{
    (void)state;
    assert_printed("\n\"a\"\n \t\n\"b\"\n", "[64]\n[65]\n");
}

static void escapes_name_any_character(void **state)
{
    (void)state;
    assert_printed("\"\\u0061\\n\\u0000b\"\n", "[64, 198, 188, 65]\n");
    assert_printed("\"\\ud83d\\ude00\"\n", "[47249, 222]\n");
    assert_printed("\"\\\"\\\\\\/\"\n", "[1, 11139]\n");
    assert_printed("\"\\ud83d\"\n\"\\ude00\"\n\"\xef\xbf\xbd\"\n",
                   "[4210]\n[4210]\n[4210]\n"); /* half pairs are U+FFFD */
}

static void a_bad_line_is_refused_by_its_number(void **state)
{
    (void)state;
    assert_refused("\"a\"\nb\n\"c\"\n", "[64]\n", "line 2");
    assert_refused("\"a\n", "", "line 1");
    assert_refused("\"a\"b\"\n", "", "line 1");
    assert_refused("\"\\x\"\n", "", "line 1");
    assert_refused("\"\\u12g4\"\n", "", "line 1");
    assert_refused("\"\\\"\n", "", "line 1");
    assert_refused("\n\"\t\"\n", "", "line 2");
    assert_refused("[\"a\"]\n", "", "line 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_gives_an_array_as_json_dumps_prints_it),
        cmocka_unit_test(empty_lines_are_skipped),
        cmocka_unit_test(escapes_name_any_character),
        cmocka_unit_test(a_bad_line_is_refused_by_its_number),
    };
    return cmocka_run_group_tests(tests, open_builtin, close_builtin);
}
