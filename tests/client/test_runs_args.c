/* client/runs_args: whose option is it, and how one of profile is set anew. */
#include "client/runs_args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"

static const struct option ROWS[] = {
    {.name = "--pause", .type = ARG_DOUBLE, .help = ""},
    {.name = "--fast", .aliases = "-F", .type = ARG_FLAG, .help = ""},
};

static void expect_words(struct runs_args *a, const char *want)
{
    struct buf text = {0};
    buf_puts(&text, "");
    for (size_t i = 0; i < a->n_items; i++)
        buf_printf(&text, "%s[%s]", i ? " " : "", a->items[i]);
    assert_string_equal(text.data, want);
    buf_free(&text);
    runs_args_free(a);
}

#define SPLIT(...) split((char *[]){"fluxperf", "repeat", __VA_ARGS__, NULL})

static struct runs_args profile_words, own_words;

static void split(char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    runs_args_split(&profile_words, &own_words, ROWS, 2, argc, argv, 2);
}

static void options_go_to_whom_they_belong(void **state)
{
    (void)state;
    SPLIT("5", "--pause", "2", "--model", "m", "-F", "--url=x", "--verbose", "7");
    expect_words(&own_words, "[5] [--pause] [2] [-F] [7]");
    expect_words(&profile_words, "[--model] [m] [--url=x] [--verbose]");
}

static void value_that_looks_like_an_own_option_stays_a_value(void **state)
{
    (void)state;
    SPLIT("--model", "--pause", "--pause=1");
    expect_words(&own_words, "[--pause=1]");
    expect_words(&profile_words, "[--model] [--pause]");
}

static void unknown_option_is_left_to_profile(void **state)
{
    (void)state;
    SPLIT("--nonsense", "--pause");
    expect_words(&own_words, "[--pause]");
    expect_words(&profile_words, "[--nonsense]");
}

static void set_replaces_all_earlier_uses(void **state)
{
    (void)state;
    SPLIT("-m", "a", "--concurrency=2", "--model-names=b", "--verbose", "--concurrency", "3");
    runs_args_set(&profile_words, "--model", "c");
    assert_true(runs_args_has(&profile_words, "--concurrency"));
    assert_false(runs_args_has(&profile_words, "--request-rate"));
    expect_words(&profile_words, "[--concurrency=2] [--verbose] [--concurrency] [3] [--model=c]");
    runs_args_free(&own_words);
}

static void set_adds_to_a_list(void **state)
{
    (void)state;
    SPLIT("--extra-inputs", "n:1");
    runs_args_set(&profile_words, "--extra-inputs", "n:2");
    expect_words(&profile_words, "[--extra-inputs] [n:1] [--extra-inputs=n:2]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_go_to_whom_they_belong),
        cmocka_unit_test(value_that_looks_like_an_own_option_stays_a_value),
        cmocka_unit_test(unknown_option_is_left_to_profile),
        cmocka_unit_test(set_replaces_all_earlier_uses),
        cmocka_unit_test(set_adds_to_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
