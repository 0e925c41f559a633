/* base/args: the table of a made-up program. */
#include "base/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct config {
    bool verbose;
    int64_t port, seed;
    double scale;
    const char *model;
    struct arg_list inputs;
    int backend;
};

static const struct option OPTIONS[] = {
    {"--verbose", "-v", NULL, ARG_FLAG, offsetof(struct config, verbose),
     .env = "TEST_ARGS_VERBOSE", .group = "General", .help = "say more"},
    {"--port", "-p|--listen-port", "N", ARG_INT, offsetof(struct config, port), .max = 65535,
     .env = "TEST_ARGS_PORT", .help = "port to listen on (default 30000)"},
    {"--seed", NULL, "N", ARG_INT, offsetof(struct config, seed), .help = "any integer"},
    {"--scale", NULL, "X", ARG_DOUBLE, offsetof(struct config, scale), .min = -1, .max = 1,
     .help = "a factor"},
    {"--model", "-m", "NAME", ARG_STRING, offsetof(struct config, model), .group = "Model",
     .help = "what to load"},
    {"--input", NULL, "K:V", ARG_LIST, offsetof(struct config, inputs), .env = "TEST_ARGS_INPUT",
     .help = "a pair; this sentence is long enough that it must be wrapped at the right margin, "
             "and then once more because it does not stop talking about itself"},
    {"--backend", NULL, NULL, ARG_CHOICE, offsetof(struct config, backend),
     .choices = "auto|cpu|cuda", .env = "TEST_ARGS_BACKEND", .help = "where to compute"},
};

#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])
#define MAX_WORDS 16

/* Parse words (NULL-terminated) as argv[1...]. */
static bool parse(const char *const *words, struct config *config, struct arg_list *positionals,
                  struct args_seen *seen, struct error *err)
{
    char *argv[MAX_WORDS + 1] = {(char[]){"program"}};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    return args_parse(OPTIONS, N_OPTIONS, argc, argv, 1, config, positionals, seen, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void every_type_is_read(void **state)
{
    (void)state;
    struct config c = {0};
    struct error err = {0};
    assert_true(parse(WORDS("--verbose", "--port", "80", "--seed=-7", "--scale", "-0.5", "--model",
                            "a b", "--input", "x:1", "--input=y=2", "--backend", "cuda"),
                      &c, NULL, NULL, &err));
    assert_true(c.verbose);
    assert_int_equal(c.port, 80);
    assert_int_equal(c.seed, -7);
    assert_true(c.scale == -0.5);
    assert_string_equal(c.model, "a b");
    assert_int_equal(c.inputs.n_items, 2);
    assert_string_equal(c.inputs.items[0], "x:1");
    assert_string_equal(c.inputs.items[1], "y=2");
    assert_int_equal(c.backend, 2);
    args_free(&c.inputs);
}

static void defaults_stay_when_nothing_is_given(void **state)
{
    (void)state;
    struct config c = {.port = 30000, .model = "default"};
    struct args_seen seen = {.given = {true, true}};
    struct error err = {0};
    assert_true(parse((const char *const[]){NULL}, &c, NULL, &seen, &err));
    assert_int_equal(c.port, 30000);
    assert_string_equal(c.model, "default");
    for (size_t i = 0; i < N_OPTIONS; i++)
        assert_false(seen.given[i]);
}

static void aliases_and_last_value_count(void **state)
{
    (void)state;
    struct config c = {0};
    struct args_seen seen;
    struct error err = {0};
    assert_true(parse(WORDS("-p", "1", "--listen-port=2", "-v", "-m", "-"), &c, NULL, &seen, &err));
    assert_int_equal(c.port, 2);
    assert_true(c.verbose);
    assert_string_equal(c.model, "-");
    assert_true(seen.given[0]);
    assert_true(seen.given[1]);
    assert_false(seen.given[2]);
}

static void positionals_are_collected_or_refused(void **state)
{
    (void)state;
    struct config c = {0};
    struct arg_list rest = {0};
    struct error err = {0};
    assert_true(parse(WORDS("serve", "-v", "-", "--", "--port"), &c, &rest, NULL, &err));
    assert_int_equal(rest.n_items, 3);
    assert_string_equal(rest.items[0], "serve");
    assert_string_equal(rest.items[1], "-");
    assert_string_equal(rest.items[2], "--port");
    args_free(&rest);
    assert_null(rest.items);
    assert_false(parse(WORDS("serve"), &c, NULL, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, "'serve'"));
}

static void wrong_words_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *words[3], *field, *text;
    } CASES[] = {
        {{"--prot", "1"}, "--prot", "unknown option --prot: did you mean --port?"},
        {{"--listenport=1"},
         "--listenport",
         "unknown option --listenport: did you mean --listen-port?"},
        {{"--nonsense"}, "--nonsense", "unknown option --nonsense: --help lists all"},
        {{"-x"}, "-x", "unknown option -x: --help lists all"},
        {{"---"}, "---", "unknown option ---: --help lists all"},
        {{"--=1"}, "--", "unknown option --: --help lists all"},
        {{"--port"}, "--port", "--port needs a value (N)"},
        {{"--port", "--verbose"}, "--port", "--port needs a value (N)"},
        {{"--backend"}, "--backend", "--backend needs a value"},
        {{"--port", "many"}, "--port", "--port is 'many': must be an integer from 0 to 65535"},
        {{"--port", "-1"}, "--port", "--port is '-1': must be an integer from 0 to 65535"},
        {{"--port", "65536"}, "--port", "--port is '65536': must be an integer from 0 to 65535"},
        {{"--port", "1.5"}, "--port", "--port is '1.5': must be an integer from 0 to 65535"},
        {{"--port="}, "--port", "--port is '': must be an integer from 0 to 65535"},
        {{"--seed", "99999999999999999999"},
         "--seed",
         "--seed is '99999999999999999999': must be an integer"},
        {{"--scale", "nan"}, "--scale", "--scale is 'nan': must be a number from -1 to 1"},
        {{"--scale", "1e9"}, "--scale", "--scale is '1e9': must be a number from -1 to 1"},
        {{"--scale", "1x"}, "--scale", "--scale is '1x': must be a number from -1 to 1"},
        {{"--backend", "gpu"}, "--backend", "--backend is 'gpu': must be one of auto|cpu|cuda"},
        {{"--backend", "auto|cpu"},
         "--backend",
         "--backend is 'auto|cpu': must be one of auto|cpu|cuda"},
        {{"--backend", ""}, "--backend", "--backend is '': must be one of auto|cpu|cuda"},
        {{"--verbose=maybe"}, "--verbose", "--verbose is 'maybe': must be true or false"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct config c = {0};
        struct error err = {0};
        assert_false(parse(CASES[i].words, &c, NULL, NULL, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.field, CASES[i].field);
        assert_string_equal(err.text, CASES[i].text);
    }
}

static void environment_comes_before_the_command_line(void **state)
{
    (void)state;
    setenv("TEST_ARGS_PORT", "7", 1);
    setenv("TEST_ARGS_VERBOSE", "yes", 1);
    setenv("TEST_ARGS_INPUT", "env", 1);
    setenv("TEST_ARGS_BACKEND", "", 1); /* empty is unset */
    struct config c = {0};
    struct args_seen seen;
    struct error err = {0};
    assert_true(parse(WORDS("--seed", "1"), &c, NULL, &seen, &err));
    assert_int_equal(c.port, 7);
    assert_true(c.verbose);
    assert_true(seen.given[1]);
    assert_false(seen.given[6]);
    assert_int_equal(c.inputs.n_items, 1);
    args_free(&c.inputs);

    struct config d = {0};
    assert_true(parse(WORDS("--port", "9", "--verbose=off", "--input", "a", "--input", "b"), &d,
                      NULL, &seen, &err));
    assert_int_equal(d.port, 9);
    assert_false(d.verbose);
    assert_int_equal(d.inputs.n_items, 2);
    assert_string_equal(d.inputs.items[0], "a");
    args_free(&d.inputs);

    setenv("TEST_ARGS_PORT", "x", 1);
    struct config e = {0};
    assert_false(parse((const char *const[]){NULL}, &e, NULL, &seen, &err));
    assert_string_equal(err.text,
                        "TEST_ARGS_PORT (environment) is 'x': must be an integer from 0 to 65535");
    unsetenv("TEST_ARGS_PORT");
    unsetenv("TEST_ARGS_VERBOSE");
    unsetenv("TEST_ARGS_INPUT");
    unsetenv("TEST_ARGS_BACKEND");
}

static void help_shows_every_row_within_100_columns(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    int saved = dup(STDOUT_FILENO);
    fflush(stdout);
    dup2(fileno(file), STDOUT_FILENO);
    args_help("program [options]", "A program that does not exist.", OPTIONS, N_OPTIONS);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(file);
    char text[8192];
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);

    for (size_t i = 0; i < N_OPTIONS; i++)
        assert_non_null(strstr(text, OPTIONS[i].name));
    assert_int_equal(strncmp(text, "usage: program [options]\n\nA program", 35), 0);
    assert_non_null(strstr(text, "\nGeneral:\n  --verbose, -v  "));
    assert_non_null(strstr(text, "\nModel:\n  --model, -m NAME "));
    assert_non_null(strstr(text, "--port, -p, --listen-port N"));
    assert_non_null(strstr(text, "[env TEST_ARGS_PORT]"));
    assert_non_null(strstr(text, "--backend auto|cpu|cuda "));
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        assert_true(strcspn(line, "\n") <= 100);
        assert_true(strcspn(line, "\n") == 0 || line[strcspn(line, "\n") - 1] != ' ');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(defaults_stay_when_nothing_is_given),
        cmocka_unit_test(aliases_and_last_value_count),
        cmocka_unit_test(positionals_are_collected_or_refused),
        cmocka_unit_test(wrong_words_are_refused),
        cmocka_unit_test(environment_comes_before_the_command_line),
        cmocka_unit_test(help_shows_every_row_within_100_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
