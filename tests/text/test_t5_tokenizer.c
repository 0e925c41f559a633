/* T5's tokenizer on a vocabulary of nine tokens, from tokenizer.json and from a SentencePiece file
 * written here. The ids of the real one are checked by tokenizer_cases. */
#include "base/base64.h"
#include "base/buf.h"
#include "tests/text/text_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAD, END, UNKNOWN, MARK, A, B, AB, MARK_A, MARK_AB };

static const struct piece {
    const char *text;
    float score;
    int type;
} PIECES[] = {
    {"<pad>", 0, 3}, {"</s>", 0, 3}, {"<unk>", 0, 2},       {"\u2581", -2, 1},   {"a", -3, 1},
    {"b", -3, 1},    {"ab", -4, 1},  {"\u2581a", -2.5f, 1}, {"\u2581ab", -9, 1},
};
#define N_PIECES (sizeof PIECES / sizeof *PIECES)

static struct fixture fixture;
static struct tokenizer *tokenizer;
static struct error err;

static int set_up(void **state)
{
    (void)state;
    tokenizer = NULL;
    err = (struct error){0};
    fixture_open(&fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tokenizer_close(tokenizer);
    fixture_close(&fixture);
    return 0;
}

static void opened(void) { assert_true(tokenizer_open_t5(&tokenizer, fixture.path, &err)); }

static void refused(const char *word)
{
    err = (struct error){0};
    assert_false(tokenizer_open_t5(&tokenizer, fixture.path, &err));
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not name %s", err.text, word);
}

/* ---- making files -------------------------------------------------------------------------- */

static void put_le32(struct buf *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        buf_putc(out, (char)(value >> (8 * i) & 0xff));
}

/* A double array that knows one string: "A", to be replaced by "a". */
static void put_charsmap(struct buf *out)
{
    enum { N_UNITS = 256, ROOT_OFFSET = 1, LEAF = 1 << 8 };
    uint32_t units[N_UNITS] = {0};
    units[0] = ROOT_OFFSET << 10;
    units[ROOT_OFFSET ^ 'A'] = 'A' | LEAF | 1 << 10;
    units[ROOT_OFFSET ^ 'A' ^ 1] = 0 | 1u << 31;
    put_le32(out, sizeof units);
    for (size_t i = 0; i < N_UNITS; i++)
        put_le32(out, units[i]);
    buf_append(out, "a", 2);
}

static void write_json(const char *normalizer)
{
    struct buf text = {0};
    buf_printf(&text,
               "{\"added_tokens\":[],\"normalizer\":%s,\"model\":{\"type\":\"Unigram\","
               "\"unk_id\":2,\"vocab\":[",
               normalizer);
    for (size_t i = 0; i < N_PIECES; i++)
        buf_printf(&text, "%s[\"%s\",%g]", i ? "," : "", PIECES[i].text, (double)PIECES[i].score);
    buf_puts(&text, "]}}");
    fixture_write(&fixture, "tokenizer.json", text.data, text.size);
    buf_free(&text);
}

static void put_varint(struct buf *out, size_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_putc(out, (char)(value | 0x80));
    buf_putc(out, (char)value);
}

static void put_bytes(struct buf *out, int field, const void *bytes, size_t size)
{
    put_varint(out, (size_t)field << 3 | 2);
    put_varint(out, size);
    buf_append(out, bytes, size);
}

static void put_model(struct buf *out, int model_type)
{
    struct buf inner = {0}, map = {0};
    for (size_t i = 0; i < N_PIECES; i++) {
        uint32_t bits;
        memcpy(&bits, &PIECES[i].score, sizeof bits);
        buf_clear(&inner);
        put_bytes(&inner, 1, PIECES[i].text, strlen(PIECES[i].text));
        put_varint(&inner, 2 << 3 | 5);
        put_le32(&inner, bits);
        put_varint(&inner, 3 << 3 | 0);
        put_varint(&inner, (size_t)PIECES[i].type);
        put_bytes(out, 1, inner.data, inner.size);
    }
    buf_clear(&inner);
    put_varint(&inner, 3 << 3 | 0);
    put_varint(&inner, (size_t)model_type);
    put_bytes(out, 2, inner.data, inner.size);
    buf_clear(&inner);
    put_charsmap(&map);
    put_bytes(&inner, 1, "test", 4);
    put_bytes(&inner, 2, map.data, map.size);
    put_bytes(out, 3, inner.data, inner.size);
    buf_free(&inner);
    buf_free(&map);
}

static void write_spiece(int model_type, size_t cut)
{
    struct buf model = {0};
    put_model(&model, model_type);
    fixture_write(&fixture, "spiece.model", model.data, model.size - cut);
    buf_free(&model);
}

/* ---- claims -------------------------------------------------------------------------------- */

static void the_best_sum_of_scores_wins(void **state)
{
    (void)state;
    write_json("null");
    opened();
    ASSERT_IDS(tokenizer, "a", MARK_A, END);
    ASSERT_IDS(tokenizer, "b", MARK, B, END);
    ASSERT_IDS(tokenizer, "ab", MARK_A, B, END); /* -5.5; "▁" "ab" has -6, "▁ab" -9 */
    ASSERT_IDS(tokenizer, "aab", MARK_A, AB, END);
}

static void every_word_gets_a_mark_and_white_space_is_gone(void **state)
{
    (void)state;
    write_json("null");
    opened();
    ASSERT_IDS(tokenizer, "", END);
    ASSERT_IDS(tokenizer, " \n\u3000", END);
    ASSERT_IDS(tokenizer, " a \t b ", MARK_A, MARK, B, END);
    ASSERT_IDS(tokenizer, "a\u2581b", MARK_A, MARK, B, END);
    ASSERT_IDS(tokenizer, "\u2581\u2581a", MARK, MARK_A, END);
}

static void a_run_of_unknown_characters_is_one_token(void **state)
{
    (void)state;
    write_json("null");
    opened();
    ASSERT_IDS(tokenizer, "zzz", MARK, UNKNOWN, END);
    ASSERT_IDS(tokenizer, "az\u65e5zb", MARK_A, UNKNOWN, B, END);
    ASSERT_IDS(tokenizer, "z z", MARK, UNKNOWN, MARK, UNKNOWN, END);
}

static void special_tokens_in_the_text_are_recognised(void **state)
{
    (void)state;
    write_json("null");
    opened();
    ASSERT_IDS(tokenizer, "a</s>b", MARK_A, END, MARK, B, END);
    ASSERT_IDS(tokenizer, "<pad><unk>", PAD, UNKNOWN, END);
    /* The json has no sentinels, so they are added behind, first ones first. */
    ASSERT_IDS(tokenizer, "<extra_id_0> <extra_id_99>", 9, 108, END);
    assert_int_equal(tokenizer_vocabulary_size(tokenizer), 109);
}

static void special_ids_come_from_the_configuration(void **state)
{
    (void)state;
    write_json("null");
    fixture_puts(&fixture, "tokenizer_config.json",
                 "{\"eos_token\":\"b\",\"pad_token\":\"a\",\"model_max_length\":512}");
    opened();
    assert_int_equal(tokenizer_end_id(tokenizer), B);
    assert_int_equal(tokenizer_pad_id(tokenizer), A);
    assert_int_equal(tokenizer_max_length(tokenizer), 512);
    ASSERT_IDS(tokenizer, "a", A, B); /* "a" itself is special now */
}

static void the_character_map_of_the_json_is_applied(void **state)
{
    (void)state;
    struct buf map = {0}, normalizer = {0};
    put_charsmap(&map);
    buf_puts(&normalizer, "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\"},"
                          "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"");
    base64_encode(&normalizer, map.data, map.size);
    buf_puts(&normalizer, "\"}]}");
    write_json(normalizer.data);
    buf_free(&map);
    buf_free(&normalizer);
    opened();
    ASSERT_IDS(tokenizer, "A b", MARK_A, MARK, B, END);
    /* A short cluster is replaced whole by what its beginning stands for, its mark is lost. */
    ASSERT_IDS(tokenizer, "A\u0301b", MARK_A, B, END);
    /* A cluster of six bytes and more goes character by character. */
    ASSERT_IDS(tokenizer, "A\u0301\u0301\u0301", MARK_A, UNKNOWN, END);
}

static void a_sentencepiece_file_alone_is_enough(void **state)
{
    (void)state;
    write_spiece(1, 0);
    opened();
    ASSERT_IDS(tokenizer, "A ab zz", MARK_A, MARK_A, B, MARK, UNKNOWN, END);
    ASSERT_IDS(tokenizer, "</s><pad>", END, PAD, END);
    /* A hundred sentinels follow the pieces, last ones first. */
    ASSERT_IDS(tokenizer, "<extra_id_99><extra_id_0>", 9, 108, END);
    assert_int_equal(tokenizer_vocabulary_size(tokenizer), 109);
}

static void the_number_of_sentinels_is_configurable(void **state)
{
    (void)state;
    write_spiece(1, 0);
    fixture_puts(&fixture, "tokenizer_config.json", "{\"extra_ids\":2}");
    opened();
    ASSERT_IDS(tokenizer, "<extra_id_1><extra_id_0>", 9, 10, END);
    assert_int_equal(tokenizer_vocabulary_size(tokenizer), 11);
}

static void bad_files_are_refused_by_name(void **state)
{
    (void)state;
    refused("spiece.model");
    assert_int_equal(err.code, ERR_NOT_FOUND);
    write_spiece(2, 0);
    refused("model_type");
    write_spiece(1, 1);
    refused("SentencePiece");
    fixture_puts(&fixture, "spiece.model", "");
    refused("SentencePiece");
    fixture_puts(&fixture, "tokenizer.json", "{\"model\":{\"type\":\"BPE\"}}");
    refused("model.type");
    fixture_puts(&fixture, "tokenizer.json", "{\"model\":{\"vocab\":[[\"a\",\"b\"]]}}");
    refused("model.vocab[0]");
    fixture_puts(&fixture, "tokenizer.json", "{\"model\":{\"vocab\":[[\"a\",0]]}}");
    refused("at least 3");
    write_json("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}");
    refused("charsmap");
}

static void a_hostile_character_map_does_no_harm(void **state)
{
    (void)state;
    struct buf map = {0}, normalizer = {0};
    put_le32(&map, 8);
    put_le32(&map, 0x7fffffffu << 10); /* offset far outside */
    put_le32(&map, 0xffffffffu);
    buf_puts(&normalizer, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"");
    base64_encode(&normalizer, map.data, map.size);
    buf_puts(&normalizer, "\"}");
    write_json(normalizer.data);
    buf_free(&map);
    buf_free(&normalizer);
    opened();
    ASSERT_IDS(tokenizer, "a", MARK_A, END);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(the_best_sum_of_scores_wins),
        CLAIM(every_word_gets_a_mark_and_white_space_is_gone),
        CLAIM(a_run_of_unknown_characters_is_one_token),
        CLAIM(special_tokens_in_the_text_are_recognised),
        CLAIM(special_ids_come_from_the_configuration),
        CLAIM(the_character_map_of_the_json_is_applied),
        CLAIM(a_sentencepiece_file_alone_is_enough),
        CLAIM(the_number_of_sentinels_is_configurable),
        CLAIM(bad_files_are_refused_by_name),
        CLAIM(a_hostile_character_map_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
