#include "base/buf.h"
#include "tests/text/text_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct tokenizer *builtin;

static int open_builtin(void **state)
{
    (void)state;
    struct error err = {0};
    return tokenizer_open_gpt2_builtin(&builtin, &err) ? 0 : -1;
}

static int close_builtin(void **state)
{
    (void)state;
    tokenizer_close(builtin);
    return 0;
}

static void builtin_vocabulary_is_the_published_one(void **state)
{
    (void)state;
    assert_int_equal(tokenizer_vocabulary_size(builtin), 50257);
    assert_int_equal(tokenizer_end_id(builtin), 50256);
    ASSERT_IDS(builtin, "Hello world", 15496, 995);
    ASSERT_IDS(builtin, "1234567890", 10163, 2231, 30924, 3829);
    ASSERT_IDS(builtin, "a<|endoftext|>b", 64, 50256, 65);
}

static void white_space_leaves_one_to_the_next_word(void **state)
{
    (void)state;
    ASSERT_IDS(builtin, "word   \n", 4775, 220, 220, 220, 198);
    ASSERT_IDS(builtin, "a \n b", 64, 220, 198, 275);
    ASSERT_IDS(builtin, " ", 220);
    ASSERT_IDS(builtin, "", -1); /* nothing at all */
}

static void only_lower_case_contractions_are_words(void **state)
{
    (void)state;
    ASSERT_IDS(builtin, "don''t", 9099, 7061, 83);
    ASSERT_IDS(builtin, "'S 'T", 6, 50, 705, 51);
}

static void assert_decoded(const int32_t *ids, size_t n, const char *expected)
{
    struct buf out = {0};
    buf_puts(&out, "");
    tokenizer_decode(builtin, ids, n, &out);
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

static void decoding_joins_bytes_and_replaces_broken_characters(void **state)
{
    (void)state;
    assert_decoded((int32_t[]){15496, 995}, 2, "Hello world");
    assert_decoded((int32_t[]){47249, 222}, 2, "\U0001f600"); /* one emoji in two tokens */
    assert_decoded((int32_t[]){47249, 15496}, 2, "\ufffdHello");
    assert_decoded((int32_t[]){64, 50256, 65}, 3, "a<|endoftext|>b");
    assert_decoded((int32_t[]){-1, 99999, 64}, 3, "a"); /* ids that don't exist are nothing */
    assert_decoded(NULL, 0, "");
}

static void a_folder_may_ask_for_a_space_in_front(void **state)
{
    (void)state;
    struct fixture fixture;
    struct tokenizer *t = NULL;
    struct error err = {0};
    fixture_open(&fixture);
    fixture_puts(&fixture, "vocab.json", "{\"a\":0,\"\u0120\":1,\"\u0120a\":2,\"b\":3}");
    fixture_puts(&fixture, "merges.txt", "\u0120 a\n");
    assert_true(tokenizer_open_gpt2(&t, fixture.path, &err));
    ASSERT_IDS(t, "a a", 0, 2);
    ASSERT_IDS(t, "axb", 0, 3); /* a byte outside the vocabulary is nothing */
    ASSERT_IDS(t, "<|endoftext|>", 4);
    tokenizer_close(t);
    fixture_puts(&fixture, "tokenizer_config.json", "{\"add_prefix_space\":true}");
    assert_true(tokenizer_open_gpt2(&t, fixture.path, &err));
    ASSERT_IDS(t, "a a", 2, 2);
    ASSERT_IDS(t, " a", 2);
    tokenizer_close(t);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builtin_vocabulary_is_the_published_one),
        cmocka_unit_test(white_space_leaves_one_to_the_next_word),
        cmocka_unit_test(only_lower_case_contractions_are_words),
        cmocka_unit_test(decoding_joins_bytes_and_replaces_broken_characters),
        cmocka_unit_test(a_folder_may_ask_for_a_space_in_front),
    };
    return cmocka_run_group_tests(tests, open_builtin, close_builtin);
}
