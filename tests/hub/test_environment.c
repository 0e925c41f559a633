/* hub/environment: which variable wins. */
#include "hub/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

static const char *const VARIABLES[] = {"HF_HUB_CACHE",
                                        "HUGGINGFACE_HUB_CACHE",
                                        "HF_HOME",
                                        "XDG_CACHE_HOME",
                                        "HF_ENDPOINT",
                                        "HF_TOKEN",
                                        "HF_TOKEN_PATH",
                                        "HUGGING_FACE_HUB_TOKEN",
                                        "HF_HUB_OFFLINE",
                                        "TRANSFORMERS_OFFLINE",
                                        "HF_HUB_DOWNLOAD_TIMEOUT",
                                        "HF_HUB_DISABLE_IMPLICIT_TOKEN"};

static int clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof VARIABLES / sizeof VARIABLES[0]; i++)
        unsetenv(VARIABLES[i]);
    setenv("HOME", "/home/me", 1);
    return 0;
}

static void expect_cache(const char *wanted)
{
    struct environment e = {0};
    struct error err = {0};
    assert_true(environment_read(&e, &(struct hub_options){0}, &err));
    assert_string_equal(e.cache_dir, wanted);
    environment_free(&e);
}

static void expect_error(const char *part)
{
    struct environment e = {0};
    struct error err = {0};
    assert_false(environment_read(&e, &(struct hub_options){0}, &err));
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.text, part))
        fail_msg("'%s' is not in: %s", part, err.text);
    environment_free(&e);
}

static void the_nearest_variable_names_the_cache(void **state)
{
    (void)state;
    expect_cache("/home/me/.cache/huggingface/hub");
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    expect_cache("/xdg/huggingface/hub");
    setenv("HF_HOME", "/hf", 1);
    expect_cache("/hf/hub");
    setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
    expect_cache("/old");
    setenv("HF_HUB_CACHE", "/new", 1);
    expect_cache("/new");
    setenv("HF_HUB_CACHE", "", 1); /* empty is not set */
    expect_cache("/old");
}

static void paths_are_expanded(void **state)
{
    (void)state;
    setenv("DISK", "/disk", 1);
    setenv("HF_HOME", "~/models", 1);
    expect_cache("/home/me/models/hub");
    setenv("HF_HOME", "$DISK/a/${DISK}/$UNKNOWN_VARIABLE/$", 1);
    expect_cache("/disk/a//disk/$UNKNOWN_VARIABLE/$/hub");
    char *here = getcwd(NULL, 0), *below = xasprintf("%s/below/hub", here);
    setenv("HF_HOME", "below", 1);
    expect_cache(below);
    free(below);
    free(here);
}

static void the_option_wins(void **state)
{
    (void)state;
    struct environment e = {0};
    setenv("HF_HUB_CACHE", "/new", 1);
    assert_true(environment_read(&e, &(struct hub_options){.cache_dir = "/given"}, NULL));
    assert_string_equal(e.cache_dir, "/given");
    environment_free(&e);
}

static void without_a_home_the_cache_must_be_named(void **state)
{
    (void)state;
    unsetenv("HOME");
    expect_error("set HF_HOME");
    setenv("HF_HUB_CACHE", "/c", 1);
    expect_cache("/c");
}

static void the_endpoint_has_a_default_and_no_slash(void **state)
{
    (void)state;
    struct environment e = {0};
    assert_true(environment_read(&e, &(struct hub_options){0}, NULL));
    assert_string_equal(e.endpoint, "https://huggingface.co");
    environment_free(&e);
    setenv("HF_ENDPOINT", "http://mirror:8080/hub//", 1);
    assert_true(environment_read(&e, &(struct hub_options){0}, NULL));
    assert_string_equal(e.endpoint, "http://mirror:8080/hub");
    environment_free(&e);
    setenv("HF_ENDPOINT", "file:///etc", 1);
    expect_error("HF_ENDPOINT 'file:///etc'");
    setenv("HF_ENDPOINT", "https://user@host", 1);
    expect_error("HF_ENDPOINT");
}

static void expect_token(const char *wanted)
{
    struct environment e = {0};
    struct error err = {0};
    assert_true(environment_read(&e, &(struct hub_options){0}, &err));
    if (wanted)
        assert_string_equal(e.token, wanted);
    else
        assert_null(e.token);
    environment_free(&e);
}

static void the_token_is_in_a_variable_or_a_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_environment.XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *in_home = xasprintf("%s/token", folder), *other = xasprintf("%s/other", folder);
    expect_token(NULL);
    setenv("HF_HOME", folder, 1);
    expect_token(NULL);
    assert_true(file_write(in_home, "hf_home\n", 8, NULL));
    expect_token("hf_home");
    assert_true(file_write(other, " hf_other\r\n", 11, NULL));
    setenv("HF_TOKEN_PATH", other, 1);
    expect_token("hf_other");
    setenv("HF_TOKEN", "hf_variable\n", 1);
    expect_token("hf_variable");
    setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
    expect_token(NULL);
    unlink(in_home);
    unlink(other);
    rmdir(folder);
    free(in_home);
    free(other);
}

static void a_token_fits_into_a_header(void **state)
{
    (void)state;
    setenv("HF_TOKEN", "hf_a\r\nX-Evil: 1", 1);
    expect_error("HF_TOKEN holds no token");
}

static void offline_is_a_true_word(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool is_offline;
    } CASES[] = {{"1", true},  {"true", true}, {"Yes", true},
                 {"on", true}, {"0", false},   {"", false}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct environment e = {0};
        setenv("HF_HUB_OFFLINE", CASES[i].value, 1);
        assert_true(environment_read(&e, &(struct hub_options){0}, NULL));
        assert_int_equal(e.is_offline, CASES[i].is_offline);
        environment_free(&e);
    }
}

static void the_timeout_is_whole_seconds(void **state)
{
    (void)state;
    struct environment e = {0};
    setenv("HF_HUB_DOWNLOAD_TIMEOUT", "7", 1);
    assert_true(environment_read(&e, &(struct hub_options){0}, NULL));
    assert_int_equal(e.stall_s, 7);
    environment_free(&e);
    setenv("HF_HUB_DOWNLOAD_TIMEOUT", "soon", 1);
    expect_error("HF_HUB_DOWNLOAD_TIMEOUT 'soon'");
    setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0", 1);
    expect_error("HF_HUB_DOWNLOAD_TIMEOUT '0'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_nearest_variable_names_the_cache, clear),
        cmocka_unit_test_setup(paths_are_expanded, clear),
        cmocka_unit_test_setup(the_option_wins, clear),
        cmocka_unit_test_setup(without_a_home_the_cache_must_be_named, clear),
        cmocka_unit_test_setup(the_endpoint_has_a_default_and_no_slash, clear),
        cmocka_unit_test_setup(the_token_is_in_a_variable_or_a_file, clear),
        cmocka_unit_test_setup(a_token_fits_into_a_header, clear),
        cmocka_unit_test_setup(offline_is_a_true_word, clear),
        cmocka_unit_test_setup(the_timeout_is_whole_seconds, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
