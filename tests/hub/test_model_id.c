/* hub/model_id: names of models, and which paths may be stored. */
#include "hub/model_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hub/hub.h"

static void a_name_is_owner_and_name(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"black-forest-labs/FLUX.1-dev",
                                       "a/b",
                                       "a_b/c.d-e",
                                       "owner/name@main",
                                       "owner/name@refs/pr/1",
                                       "o/n@0123456789abcdef0123456789abcdef01234567"};
    static const char *const BAD[] = {
        "",        "gpt2",   "/a",      "a/",       "a/b/c",     "-a/b",        "a/b-",
        "a--b/c",  "a/b..c", "../b",    "./models", "a /b",      "a/b@",        "a/b@../x",
        "a/b@x y", "a/b@/x", "a/b@x@y", "a\n/b",    "/abs/path", "https://h/x", "a/b@x\x01y"};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        assert_true(hub_is_model_id(GOOD[i]));
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_false(hub_is_model_id(BAD[i]));
}

static void long_names_are_refused(void **state)
{
    (void)state;
    char name[200] = "a/";
    for (size_t i = 2; i < 96; i++)
        name[i] = 'x';
    assert_true(hub_is_model_id(name));
    name[96] = 'x';
    assert_false(hub_is_model_id(name));
}

static void the_revision_is_main_unless_named(void **state)
{
    (void)state;
    struct model_id id = {0};
    struct error err = {0};
    assert_true(model_id_parse(&id, "a/b", NULL, &err));
    assert_string_equal(id.repo, "a/b");
    assert_string_equal(id.revision, "main");
    model_id_free(&id);
    assert_true(model_id_parse(&id, "a/b@v1", NULL, &err));
    assert_string_equal(id.repo, "a/b");
    assert_string_equal(id.revision, "v1");
    model_id_free(&id);
    assert_true(model_id_parse(&id, "a/b@v1", "v2", &err));
    assert_string_equal(id.revision, "v2");
    model_id_free(&id);
    assert_false(model_id_parse(&id, "ab", NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.text,
                        "'ab' is no model name: must be owner/name or owner/name@revision");
    model_id_free(&id);
}

static void paths_that_leave_the_folder_are_unsafe(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"a", "a/b", "a..b/c", ".gitattributes", "a b/c"};
    static const char *const BAD[] = {"",     "/a",     "a/",  "a//b", "..",   "../a",
                                      "a/..", "a/../b", "./a", "a/.",  "a\\b", "a\nb"};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        assert_true(model_id_is_safe_path(GOOD[i]));
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_false(model_id_is_safe_path(BAD[i]));
}

static void a_commit_is_forty_digits(void **state)
{
    (void)state;
    assert_true(model_id_is_commit("0123456789abcdef0123456789abcdef01234567"));
    assert_false(model_id_is_commit("0123456789abcdef0123456789abcdef0123456"));
    assert_false(model_id_is_commit("0123456789ABCDEF0123456789abcdef01234567"));
    assert_false(model_id_is_commit("main"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_owner_and_name),
        cmocka_unit_test(long_names_are_refused),
        cmocka_unit_test(the_revision_is_main_unless_named),
        cmocka_unit_test(paths_that_leave_the_folder_are_unsafe),
        cmocka_unit_test(a_commit_is_forty_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
