/* CLIP's tokenizer on a vocabulary of sixteen tokens. The ids of the real one are checked by
 * tokenizer_cases. */
#include "base/buf.h"
#include "tests/text/text_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char VOCAB[] =
    "{\"a\":0,\"b\":1,\"c\":2,\"a</w>\":3,\"b</w>\":4,\"c</w>\":5,\"ab\":6,\"ab</w>\":7,"
    "\"bc</w>\":8,\"<s>\":9,\"<e>\":10,\"'\":11,\"s</w>\":12,\"'s</w>\":13,\"1</w>\":14,"
    "\"aa\":15}";
static const char MERGES[] = "#version: 0.2\na b\na b</w>\nb c</w>\n' s</w>\na a\n";
static const char CONFIG[] =
    "{\"bos_token\":\"<s>\",\"eos_token\":\"<e>\",\"unk_token\":\"<e>\",\"pad_token\":\"1</w>\","
    "\"model_max_length\":77}";

enum { START = 9, END = 10, UNKNOWN = 10, PAD = 14 };

static struct fixture fixture;
static struct tokenizer *tokenizer;
static struct error err;

static int set_up(void **state)
{
    (void)state;
    tokenizer = NULL;
    err = (struct error){0};
    fixture_open(&fixture);
    fixture_puts(&fixture, "vocab.json", VOCAB);
    fixture_puts(&fixture, "merges.txt", MERGES);
    fixture_puts(&fixture, "tokenizer_config.json", CONFIG);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tokenizer_close(tokenizer);
    fixture_close(&fixture);
    return 0;
}

static void opened(void) { assert_true(tokenizer_open_clip(&tokenizer, fixture.path, &err)); }

/* Opening fails and says so with this word in it. */
static void refused(const char *word)
{
    assert_false(tokenizer_open_clip(&tokenizer, fixture.path, &err));
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not name %s", err.text, word);
}

static void merges_apply_in_the_order_of_their_rank(void **state)
{
    (void)state;
    opened();
    ASSERT_IDS(tokenizer, "ab", START, 7, END);
    ASSERT_IDS(tokenizer, "bc", START, 8, END);
    ASSERT_IDS(tokenizer, "abc", START, 6, 5, END); /* "a b" beats "b c</w>" */
    ASSERT_IDS(tokenizer, "aaaa", START, 15, 0, 3, END);
}

static void words_end_at_white_space_digits_and_contractions(void **state)
{
    (void)state;
    opened();
    ASSERT_IDS(tokenizer, "", START, END);
    ASSERT_IDS(tokenizer, " \t\u3000\n", START, END);
    ASSERT_IDS(tokenizer, "a b", START, 3, 4, END);
    ASSERT_IDS(tokenizer, "a\u00a0 \nb", START, 3, 4, END);
    ASSERT_IDS(tokenizer, "11", START, 14, 14, END);
    ASSERT_IDS(tokenizer, "a1b", START, 3, 14, 4, END);
    ASSERT_IDS(tokenizer, "ab's", START, 7, 13, END);
    ASSERT_IDS(tokenizer, "AB'S", START, 7, 13, END);
}

static void unknown_bytes_become_the_unknown_token(void **state)
{
    (void)state;
    opened();
    ASSERT_IDS(tokenizer, "z", START, UNKNOWN, END);
    ASSERT_IDS(tokenizer, "\u00e9", START, UNKNOWN, UNKNOWN, END);
    ASSERT_IDS(tokenizer, "\xff", START, UNKNOWN, UNKNOWN, UNKNOWN, END);
}

static void special_tokens_in_the_text_are_recognised(void **state)
{
    (void)state;
    opened();
    ASSERT_IDS(tokenizer, "a<e>b", START, 3, END, 4, END);
    ASSERT_IDS(tokenizer, "<s><s>", START, START, START, END);
}

static void ids_and_length_come_from_the_configuration(void **state)
{
    (void)state;
    opened();
    assert_int_equal(tokenizer_end_id(tokenizer), END);
    assert_int_equal(tokenizer_pad_id(tokenizer), PAD);
    assert_int_equal(tokenizer_max_length(tokenizer), 77);
    assert_int_equal(tokenizer_vocabulary_size(tokenizer), 16);
}

static void special_tokens_map_counts_when_the_config_lists_no_added_tokens(void **state)
{
    (void)state;
    fixture_puts(&fixture, "special_tokens_map.json",
                 "{\"pad_token\":{\"content\":\"c\",\"normalized\":true}}");
    opened();
    assert_int_equal(tokenizer_pad_id(tokenizer), 2);
}

static void added_tokens_of_the_config_make_the_map_irrelevant(void **state)
{
    (void)state;
    fixture_puts(&fixture, "tokenizer_config.json",
                 "{\"bos_token\":\"<s>\",\"eos_token\":\"<e>\",\"unk_token\":\"<e>\","
                 "\"pad_token\":\"<e>\",\"model_max_length\":1e30,\"added_tokens_decoder\":{"
                 "\"9\":{\"content\":\"<s>\",\"normalized\":true,\"special\":true},"
                 "\"99\":{\"content\":\"[NEW]\",\"special\":true}}}");
    fixture_puts(&fixture, "special_tokens_map.json", "{\"pad_token\":\"c\"}");
    opened();
    assert_int_equal(tokenizer_pad_id(tokenizer), END);
    assert_int_equal(tokenizer_max_length(tokenizer), 0);
    /* Not in vocab.json, so it gets the next free id whatever the file says. */
    ASSERT_IDS(tokenizer, "[NEW]", START, 16, END);
    /* Normalised tokens are found after lower-casing, others only as they are. */
    ASSERT_IDS(tokenizer, "<S>", START, START, END);
    ASSERT_IDS(tokenizer, "<E>", START, UNKNOWN, UNKNOWN, UNKNOWN, END);
}

static void added_tokens_obey_their_flags(void **state)
{
    (void)state;
    fixture_puts(&fixture, "tokenizer_config.json",
                 "{\"bos_token\":\"<s>\",\"eos_token\":\"<e>\",\"unk_token\":\"<e>\","
                 "\"added_tokens_decoder\":{"
                 "\"20\":{\"content\":\"[W]\",\"single_word\":true,\"special\":true},"
                 "\"21\":{\"content\":\"[L]\",\"lstrip\":true,\"special\":true},"
                 "\"22\":{\"content\":\"cc\",\"special\":true},"
                 "\"23\":{\"content\":\"ccc\",\"special\":true}}}");
    opened();
    ASSERT_IDS(tokenizer, "a [W] b", START, 3, 16, 4, END);
    ASSERT_IDS(tokenizer, "[L]  [L]", START, 17, 17, END);
    ASSERT_IDS(tokenizer, "ccccc", START, 19, 18, END); /* leftmost, longest */
    struct token_ids ids = {0};
    tokenizer_encode(tokenizer, "a[W]", 4, &ids);
    assert_int_equal(ids.ids[2], UNKNOWN); /* touches a word: no token */
    token_ids_free(&ids);
}

static void a_tokenizer_json_takes_the_place_of_both_files(void **state)
{
    (void)state;
    fixture_puts(&fixture, "tokenizer.json",
                 "{\"added_tokens\":[],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b</w>\":1,"
                 "\"ab</w>\":2,\"<s>\":3,\"<e>\":4},\"merges\":[[\"a\",\"b</w>\"]]}}");
    opened();
    ASSERT_IDS(tokenizer, "ab", 3, 2, 4);
    fixture_puts(&fixture, "tokenizer.json",
                 "{\"model\":{\"vocab\":{\"a\":0,\"b</w>\":1,\"ab</w>\":2},"
                 "\"merges\":[\"a b</w>\"]}}");
    tokenizer_close(tokenizer);
    opened();
    ASSERT_IDS(tokenizer, "ab", 3, 2, 4); /* <s> and <e> are added behind */
    tokenizer_close(tokenizer);
    tokenizer = NULL;
    fixture_puts(&fixture, "tokenizer.json", "{\"model\":{\"type\":\"Unigram\"}}");
    refused("model.type");
}

static void cutting_ends_with_the_end_token_and_padding_uses_the_pad_token(void **state)
{
    (void)state;
    opened();
    struct token_ids ids = {0};
    tokenizer_encode(tokenizer, "a a a a", 7, &ids);
    assert_int_equal(token_ids_fit(&ids, tokenizer, 4), 2);
    assert_int_equal(ids.n_ids, 4);
    assert_memory_equal(ids.ids, ((int32_t[]){START, 3, 3, END}), 16);
    assert_int_equal(token_ids_fit(&ids, tokenizer, 6), 0);
    assert_memory_equal(ids.ids, ((int32_t[]){START, 3, 3, END, PAD, PAD}), 24);
    token_ids_free(&ids);
}

static void a_hundred_thousand_equal_letters_are_merged_in_no_time(void **state)
{
    (void)state;
    enum { N = 100000 };
    opened();
    struct buf text = {0};
    struct token_ids ids = {0};
    for (int i = 0; i < N; i++)
        buf_putc(&text, 'a');
    tokenizer_encode(tokenizer, text.data, text.size, &ids);
    assert_int_equal(ids.n_ids, N / 2 + 3); /* pairs, but the last letter stays alone */
    token_ids_free(&ids);
    buf_free(&text);
}

static void bad_files_are_refused_by_name(void **state)
{
    (void)state;
    fixture_puts(&fixture, "merges.txt", "a b\na b c\n");
    refused("merge rule 2");
    err = (struct error){0};
    fixture_puts(&fixture, "merges.txt", "a x\n");
    refused("\"x\"");
    err = (struct error){0};
    fixture_puts(&fixture, "vocab.json", "{\"a\":-1}");
    refused("vocab.json");
    err = (struct error){0};
    fixture_puts(&fixture, "vocab.json", "[]");
    refused("object");
    err = (struct error){0};
    fixture_puts(&fixture, "vocab.json", VOCAB);
    fixture_puts(&fixture, "merges.txt", MERGES);
    fixture_puts(&fixture, "tokenizer_config.json", "{\"bos_token\":7}");
    refused("bos_token");
    err = (struct error){0};
    fixture_puts(&fixture, "tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{}}}");
    refused("added_tokens_decoder");
}

static void a_missing_folder_is_not_found(void **state)
{
    (void)state;
    assert_false(tokenizer_open_clip(&tokenizer, "/nonexistent", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/vocab.json"));
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(merges_apply_in_the_order_of_their_rank),
        CLAIM(words_end_at_white_space_digits_and_contractions),
        CLAIM(unknown_bytes_become_the_unknown_token),
        CLAIM(special_tokens_in_the_text_are_recognised),
        CLAIM(ids_and_length_come_from_the_configuration),
        CLAIM(special_tokens_map_counts_when_the_config_lists_no_added_tokens),
        CLAIM(added_tokens_of_the_config_make_the_map_irrelevant),
        CLAIM(added_tokens_obey_their_flags),
        CLAIM(a_tokenizer_json_takes_the_place_of_both_files),
        CLAIM(cutting_ends_with_the_end_token_and_padding_uses_the_pad_token),
        CLAIM(a_hundred_thousand_equal_letters_are_merged_in_no_time),
        CLAIM(bad_files_are_refused_by_name),
        CLAIM(a_missing_folder_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
