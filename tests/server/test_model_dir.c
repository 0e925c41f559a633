#include "server/model_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void refuse(const char *path, const char *part_of_text)
{
    struct buf dir = {0};
    struct error err = {0};
    assert_false(model_dir_find(&dir, path, MODEL_ALL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "--model-path");
    if (!strstr(err.text, part_of_text))
        fail_msg("'%s' is not in '%s'", part_of_text, err.text);
    buf_free(&dir);
}

static void directory_with_an_index_is_taken_as_it_is(void **state)
{
    (void)state;
    struct buf dir = {0};
    struct error err = {0};
    const char *path = FLUXBENCH_SOURCE_DIR "/models/" MODEL_DIR_DEFAULT;
    assert_true(model_dir_find(&dir, path, MODEL_ALL, &err));
    assert_string_equal(dir.data, path);
    buf_free(&dir);
}

static void directory_with_a_model_file_is_taken_too(void **state)
{
    (void)state;
    struct buf dir = {0};
    struct error err = {0};
    assert_true(model_dir_find(&dir, FLUXBENCH_SOURCE_DIR "/tests/data/gguf", MODEL_ALL, &err));
    assert_string_equal(dir.data, FLUXBENCH_SOURCE_DIR "/tests/data/gguf");
    buf_free(&dir);
}

static void a_name_is_looked_up_in_the_cache(void **state)
{
    (void)state;
    struct buf dir = {0};
    struct error err = {0};
    setenv("HF_HUB_OFFLINE", "1", 1);
    setenv("HF_HUB_CACHE", "/nonexistent/cache", 1);
    assert_false(model_dir_find(&dir, "black-forest-labs/FLUX.1-dev", MODEL_ALL, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "--model-path 'black-forest-labs/FLUX.1-dev'"));
    buf_free(&dir);
}

static void lost_paths_are_refused(void **state)
{
    (void)state;
    refuse("/nonexistent/model", "no such directory");
    refuse("./nonexistent", "no such directory");
    refuse(FLUXBENCH_SOURCE_DIR "/server", "model_index.json");
    refuse(FLUXBENCH_SOURCE_DIR "/README.md", "a single file goes to --transformer-path");
}

static void embedded_model_is_found_by_the_environment(void **state)
{
    (void)state;
    struct buf dir = {0};
    struct error err = {0};
    setenv("FLUXBENCH_MODEL_DIR", FLUXBENCH_SOURCE_DIR "/models", 1);
    assert_true(model_dir_find(&dir, NULL, MODEL_ALL, &err));
    assert_string_equal(dir.data, FLUXBENCH_SOURCE_DIR "/models/" MODEL_DIR_DEFAULT);
    buf_free(&dir);
    unsetenv("FLUXBENCH_MODEL_DIR");
}

static void basename_is_the_last_part(void **state)
{
    (void)state;
    static const char *const CASES[][2] = {
        {"a/b", "b"}, {"/a/b///", "b"}, {"b", "b"}, {"./b/", "b"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf name = {0};
        model_dir_basename(&name, CASES[i][0]);
        assert_string_equal(name.data, CASES[i][1]);
        buf_free(&name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_with_an_index_is_taken_as_it_is),
        cmocka_unit_test(directory_with_a_model_file_is_taken_too),
        cmocka_unit_test(a_name_is_looked_up_in_the_cache),
        cmocka_unit_test(lost_paths_are_refused),
        cmocka_unit_test(embedded_model_is_found_by_the_environment),
        cmocka_unit_test(basename_is_the_last_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
