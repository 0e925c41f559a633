#include "text/unicode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_repaired(const char *bytes, size_t size, const char *expected)
{
    struct buf out = {0};
    utf8_append_valid(&out, bytes, size);
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

static void malformed_utf8_becomes_one_replacement_per_maximal_prefix(void **state)
{
    (void)state;
    assert_repaired("a\xff"
                    "b",
                    3,
                    "a\xef\xbf\xbd"
                    "b");
    assert_repaired("\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd");                 /* overlong NUL */
    assert_repaired("\xe2\x82", 2, "\xef\xbf\xbd");                             /* cut short */
    assert_repaired("\xe2\x82z", 3, "\xef\xbf\xbdz");                           /* broken off */
    assert_repaired("\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* surrogate */
    assert_repaired("\xf4\x90\x80\x80", 4,
                    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* above U+10FFFF */
    assert_repaired("\xf0\x9f\x98", 3, "\xef\xbf\xbd");
}

static void validity_accepts_a_real_replacement_character(void **state)
{
    (void)state;
    assert_true(utf8_valid("\xef\xbf\xbd", 3));
    assert_true(utf8_valid("a\0b", 3));
    assert_true(utf8_valid("\xf0\x9f\x98\x80", 4));
    assert_false(utf8_valid("\xed\xa0\x80", 3));
    assert_false(utf8_valid("\xf0\x9f\x98", 3));
    assert_false(utf8_valid("\x80", 1));
}

static void every_code_point_survives_encoding_and_decoding(void **state)
{
    (void)state;
    struct buf text = {0};
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint32_t back;
        if (code >= 0xd800 && code < 0xe000)
            continue;
        buf_clear(&text);
        utf8_append(&text, code);
        assert_int_equal(utf8_decode(text.data, text.size, &back), text.size);
        assert_int_equal(back, code);
    }
    buf_free(&text);
}

static void classes_cover_more_than_ascii(void **state)
{
    (void)state;
    assert_true(unicode_is_letter('a') && unicode_is_letter(0xe9) && unicode_is_letter(0x65e5));
    assert_false(unicode_is_letter('1') || unicode_is_letter(0x301) || unicode_is_letter('_'));
    assert_true(unicode_is_number('7') && unicode_is_number(0xbd) && unicode_is_number(0x2167));
    assert_true(unicode_is_space(' ') && unicode_is_space(0xa0) && unicode_is_space(0x3000));
    assert_false(unicode_is_space(0x200b) || unicode_is_space(0x180e) || unicode_is_space(0xfeff));
    assert_true(unicode_is_word('_') && unicode_is_word(0x301) && unicode_is_word('1'));
    assert_false(unicode_is_word('-'));
}

static void assert_lower(uint32_t code, const char *expected)
{
    struct buf out = {0};
    unicode_append_lower(&out, code);
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

static void lower_case_may_take_two_characters_and_knows_no_final_sigma(void **state)
{
    (void)state;
    assert_lower('Q', "q");
    assert_lower('[', "[");
    assert_lower(0xc9, "\u00e9");
    assert_lower(0x130, "i\u0307");
    assert_lower(0x3a3, "\u03c3");
    assert_lower(0x10400, "\U00010428");
}

static void assert_nfc(const char *text, const char *expected)
{
    struct buf out = {0};
    unicode_append_nfc(&out, text, strlen(text));
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

static void composition_follows_the_annex(void **state)
{
    (void)state;
    assert_nfc("plain", "plain");
    assert_nfc("e\u0301", "\u00e9");
    assert_nfc("s\u0307\u0323", "\u1e69");                   /* marks are put in order first */
    assert_nfc("\u1e0b\u0323", "\u1e0d\u0307");              /* a composed one comes apart for it */
    assert_nfc("\u212b", "\u00c5");                          /* singletons map away */
    assert_nfc("\u0958", "\u0915\u093c");                    /* excluded from composition */
    assert_nfc("a\u0328\u0301\u0301", "\u0105\u0301\u0301"); /* blocked by its equal */
    assert_nfc("\u0301e", "\u0301e");
}

static void hangul_composes_by_arithmetic(void **state)
{
    (void)state;
    assert_nfc("\u1112\u1161\u11ab", "\ud55c");
    assert_nfc("\uac00\u11a8", "\uac01");
    assert_nfc("\uac01\u11a8", "\uac01\u11a8"); /* has a final already */
    assert_nfc("\uac00\u11a7", "\uac00\u11a7"); /* no final consonant */
}

static void a_million_marks_are_ordered_in_no_time(void **state)
{
    (void)state;
    struct buf text = {0}, out = {0};
    for (int i = 0; i < 500000; i++)
        buf_puts(&text, "\u0301\u0323");
    unicode_append_nfc(&out, text.data, text.size);
    assert_int_equal(out.size, text.size);
    assert_memory_equal(out.data, "\u0323\u0323", 4);
    assert_memory_equal(out.data + out.size - 4, "\u0301\u0301", 4);
    buf_free(&text);
    buf_free(&out);
}

static void assert_cluster(const char *text, size_t expected)
{
    assert_int_equal(unicode_cluster_length(text, strlen(text)), expected);
}

static void clusters_follow_the_annex(void **state)
{
    (void)state;
    assert_cluster("ab", 1);
    assert_cluster("e\u0301x", 3);
    assert_cluster("\r\nx", 2);
    assert_cluster("\n\u0301", 1);
    assert_cluster("\u1100\u1161\u11a8\u1100", 9);                 /* one Hangul syllable */
    assert_cluster("\U0001f1eb\U0001f1f7\U0001f1ef\U0001f1f5", 8); /* flags go in pairs */
    assert_cluster("\U0001f469\u200d\U0001f680!", 11);             /* astronaut */
    assert_cluster("a\u200d\U0001f680", 4);                        /* no pictograph before */
    assert_cluster("\U0001f469\ufe0f\u200d\U0001f680", 14);
    assert_cluster("\u0915\u094d\u0937\u093f", 12); /* Indic conjunct */
    assert_cluster("\u0915\u0937", 3);
    assert_cluster("\u0600\u0661", 4); /* prepended sign */
    assert_cluster("\u0600a", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_utf8_becomes_one_replacement_per_maximal_prefix),
        cmocka_unit_test(validity_accepts_a_real_replacement_character),
        cmocka_unit_test(every_code_point_survives_encoding_and_decoding),
        cmocka_unit_test(classes_cover_more_than_ascii),
        cmocka_unit_test(lower_case_may_take_two_characters_and_knows_no_final_sigma),
        cmocka_unit_test(composition_follows_the_annex),
        cmocka_unit_test(hangul_composes_by_arithmetic),
        cmocka_unit_test(a_million_marks_are_ordered_in_no_time),
        cmocka_unit_test(clusters_follow_the_annex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
