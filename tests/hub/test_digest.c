/* hub/digest: known checksums. */
#include "hub/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static bool matches(const char *text, const char *name)
{
    size_t size = strlen(text), half = size / 2;
    struct digest *d = digest_open(digest_kind_of(name), (int64_t)size);
    digest_update(d, text, half);
    digest_update(d, text + half, size - half);
    bool is_right = digest_matches(d, name);
    digest_close(d);
    return is_right;
}

/* FIPS 180-2, appendix B.1 */
static void sha256_is_of_the_bytes(void **state)
{
    (void)state;
    const char *abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_true(matches("abc", abc));
    assert_false(matches("abd", abc));
}

/* `printf 'hello\n' | git hash-object --stdin`, and the well-known empty blob */
static void sha1_is_gits_blob_id(void **state)
{
    (void)state;
    assert_true(matches("hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"));
    assert_true(matches("", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"));
    assert_false(matches("hello", "ce013625030ba8dba906f756967f9e9ca394464a"));
}

static void other_names_are_no_checksums(void **state)
{
    (void)state;
    assert_int_equal(digest_kind_of(""), DIGEST_NONE);
    assert_int_equal(digest_kind_of("abc-2"), DIGEST_NONE);
    assert_int_equal(digest_kind_of("CE013625030BA8DBA906F756967F9E9CA394464A"), DIGEST_NONE);
    assert_int_equal(digest_kind_of("../3625030ba8dba906f756967f9e9ca394464a1"), DIGEST_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_is_of_the_bytes),
        cmocka_unit_test(sha1_is_gits_blob_id),
        cmocka_unit_test(other_names_are_no_checksums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
