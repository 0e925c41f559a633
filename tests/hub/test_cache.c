/* hub/cache: paths, refs and links. */
#include "hub/cache.h"

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

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER "1123456789abcdef0123456789abcdef01234567"
#define ETAG "ce013625030ba8dba906f756967f9e9ca394464a"

static char folder[32];
static struct cache_repo cache;

static int make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", "/tmp/test_cache.XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    cache_repo_init(&cache, folder, "owner/name");
    return cache_prepare(&cache, NULL) ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    char *command = xasprintf("rm -rf %s", folder);
    int code = system(command); /* NOLINT(cert-env33-c): a path of ours */
    free(command);
    cache_repo_free(&cache);
    return code;
}

static void paths_are_those_of_the_layout(void **state)
{
    (void)state;
    struct cache_repo c;
    cache_repo_init(&c, "/c", "black-forest-labs/FLUX.1-dev");
    char *blob = cache_blob_path(&c, ETAG), *lock = cache_lock_path(&c, ETAG);
    char *snapshot = cache_snapshot_path(&c, COMMIT);
    assert_string_equal(blob, "/c/models--black-forest-labs--FLUX.1-dev/blobs/" ETAG);
    assert_string_equal(lock, "/c/.locks/models--black-forest-labs--FLUX.1-dev/" ETAG ".lock");
    assert_string_equal(snapshot, "/c/models--black-forest-labs--FLUX.1-dev/snapshots/" COMMIT);
    free(blob);
    free(lock);
    free(snapshot);
    cache_repo_free(&c);
}

static void expect_commit(const char *revision, const char *wanted)
{
    char *commit = cache_find_commit(&cache, revision);
    if (wanted)
        assert_string_equal(commit, wanted);
    else
        assert_null(commit);
    free(commit);
}

static void refs_are_remembered(void **state)
{
    (void)state;
    struct error err = {0};
    expect_commit("main", NULL);
    assert_true(cache_write_ref(&cache, "main", COMMIT, &err));
    expect_commit("main", COMMIT);
    assert_true(cache_write_ref(&cache, "main", OTHER, &err));
    expect_commit("main", OTHER);
    assert_true(cache_write_ref(&cache, "refs/pr/1", COMMIT, &err));
    expect_commit("refs/pr/1", COMMIT);
}

static void a_commit_needs_no_ref(void **state)
{
    (void)state;
    expect_commit(COMMIT, COMMIT);
    assert_true(cache_write_ref(&cache, COMMIT, COMMIT, NULL));
    char *path = xasprintf("%s/refs/%s", cache.folder, COMMIT);
    assert_false(file_exists(path));
    free(path);
}

static void a_ref_that_is_no_commit_is_none(void **state)
{
    (void)state;
    assert_true(cache_write_ref(&cache, "main", "../../../etc/passwd", NULL));
    expect_commit("main", NULL);
    assert_true(cache_write_ref(&cache, "main", COMMIT "\n", NULL));
    expect_commit("main", COMMIT);
}

static void links_are_relative_and_replaced(void **state)
{
    (void)state;
    struct error err = {0};
    char target[256] = "";
    char *blob = cache_blob_path(&cache, ETAG), *snapshot = cache_snapshot_path(&cache, COMMIT);
    char *link = xasprintf("%s/vae/config.json", snapshot);
    assert_true(file_write(blob, "hello\n", 6, NULL));
    assert_true(cache_link(&cache, COMMIT, "vae/config.json", OTHER, &err));
    assert_null(cache_etag_of(snapshot, "vae/config.json")); /* leads nowhere */
    assert_true(cache_link(&cache, COMMIT, "vae/config.json", ETAG, &err));
    assert_true(cache_link(&cache, COMMIT, "vae/config.json", ETAG, &err));
    assert_true(readlink(link, target, sizeof target - 1) > 0);
    assert_string_equal(target, "../../../blobs/" ETAG);
    char *etag = cache_etag_of(snapshot, "vae/config.json");
    assert_string_equal(etag, ETAG);
    free(etag);
    free(link);
    free(snapshot);
    free(blob);
}

static void files_that_are_no_links_have_no_etag(void **state)
{
    (void)state;
    assert_true(dir_make(cache.folder, NULL));
    char *path = xasprintf("%s/plain", cache.folder);
    assert_true(file_write(path, "x", 1, NULL));
    assert_null(cache_etag_of(cache.folder, "plain"));
    assert_null(cache_etag_of(cache.folder, "absent"));
    free(path);
}

static void room_is_checked(void **state)
{
    (void)state;
    struct error err = {0};
    assert_true(cache_check_room(&cache, 0, &err));
    assert_false(cache_check_room(&cache, INT64_C(1) << 60, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.text, "1.2 EB are needed"));
    assert_non_null(strstr(err.text, folder));
}

static void sizes_are_readable(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        const char *text;
    } CASES[] = {{0, "0 B"},         {999, "999 B"},
                 {1000, "1.0 kB"},   {99949, "99.9 kB"},
                 {99950, "100 kB"},  {999499, "999 kB"},
                 {999500, "1.0 MB"}, {INT64_C(33700000000), "33.7 GB"}};
    char text[16];
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        assert_string_equal(cache_size_text(text, CASES[i].bytes), CASES[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_those_of_the_layout),
        cmocka_unit_test_setup_teardown(refs_are_remembered, make, drop),
        cmocka_unit_test_setup_teardown(a_commit_needs_no_ref, make, drop),
        cmocka_unit_test_setup_teardown(a_ref_that_is_no_commit_is_none, make, drop),
        cmocka_unit_test_setup_teardown(links_are_relative_and_replaced, make, drop),
        cmocka_unit_test_setup_teardown(files_that_are_no_links_have_no_etag, make, drop),
        cmocka_unit_test_setup_teardown(room_is_checked, make, drop),
        cmocka_unit_test(sizes_are_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
