#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text/tokenizer.h"

#include <cmocka.h> /* last: it defines fail */

enum { CLIP_TOKENS = 49408, T5_TOKENS = 32128 };

static void assert_ids_equal(const struct token_ids *a, const struct token_ids *b)
{
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->ids, b->ids, a->n_ids * sizeof *a->ids);
}

static struct token_ids encode(const struct tokenizer *t, const char *text)
{
    struct token_ids ids = {0};
    tokenizer_encode(t, text, strlen(text), &ids);
    return ids;
}

static void clip_ids_stand_between_start_and_end(void **state)
{
    (void)state;
    struct tokenizer *t = NULL;
    struct error err = {0};
    assert_true(tokenizer_open_synthetic_clip(&t, CLIP_TOKENS, 77, &err));
    struct token_ids ids = encode(t, "a red  fox"), empty = encode(t, "");
    assert_int_equal(ids.n_ids, 5);
    assert_int_equal(ids.ids[0], 49406);
    assert_int_equal(ids.ids[4], 49407);
    for (int i = 1; i < 4; i++)
        assert_in_range(ids.ids[i], 0, 49405);
    assert_int_equal(empty.n_ids, 2);
    assert_int_equal(tokenizer_max_length(t), 77);
    assert_int_equal(tokenizer_pad_id(t), 49407);
    token_ids_free(&ids);
    token_ids_free(&empty);
    tokenizer_close(t);
}

static void the_same_text_gives_the_same_ids(void **state)
{
    (void)state;
    struct tokenizer *one = NULL, *two = NULL;
    struct error err = {0};
    assert_true(tokenizer_open_synthetic_t5(&one, T5_TOKENS, 512, &err));
    assert_true(tokenizer_open_synthetic_t5(&two, T5_TOKENS, 512, &err));
    static const char TEXT[] = "Die Straßenbahn fährt \xf0\x9f\xa6\x8a\n\tnach \xff Westen";
    struct token_ids a = encode(one, TEXT), b = encode(two, TEXT), c = encode(one, "Ein Fuchs");
    assert_ids_equal(&a, &b);
    assert_int_equal(a.ids[a.n_ids - 1], 1);
    assert_true(c.n_ids == 3 && c.ids[0] != a.ids[0] && c.ids[0] != c.ids[1]);
    for (size_t i = 0; i + 1 < a.n_ids; i++)
        assert_in_range(a.ids[i], 3, T5_TOKENS - 1);
    token_ids_free(&a);
    token_ids_free(&b);
    token_ids_free(&c);
    tokenizer_close(one);
    tokenizer_close(two);
}

static void long_words_are_cut(void **state)
{
    (void)state;
    struct tokenizer *t = NULL;
    struct error err = {0};
    assert_true(tokenizer_open_synthetic_t5(&t, T5_TOKENS, 0, &err));
    struct token_ids ids = encode(t, "abcdefghijk"); /* abcde fghij k */
    assert_int_equal(ids.n_ids, 4);
    assert_int_equal(token_ids_fit(&ids, t, 6), 0);
    assert_int_equal(ids.ids[5], 0);
    assert_int_equal(token_ids_fit(&ids, t, 2), 4);
    assert_int_equal(ids.ids[1], 1);
    token_ids_free(&ids);
    tokenizer_close(t);
}

static void a_vocabulary_without_room_is_refused(void **state)
{
    (void)state;
    struct tokenizer *t = NULL;
    struct error clip = {0}, t5 = {0};
    assert_false(tokenizer_open_synthetic_clip(&t, 2, 77, &clip));
    assert_non_null(strstr(clip.text, "CLIP: a vocabulary of 2"));
    assert_false(tokenizer_open_synthetic_t5(&t, 3, 77, &t5));
    assert_int_equal(t5.code, ERR_INVALID);
    assert_null(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clip_ids_stand_between_start_and_end),
        cmocka_unit_test(the_same_text_gives_the_same_ids),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(a_vocabulary_without_room_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
