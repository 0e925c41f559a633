/* base/base64: RFC 4648 vectors, round trips, and everything that is not base64. */
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void rfc_vectors_encode_and_decode(void **state)
{
    (void)state;
    static const char *const CASES[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf code = {0}, back = {0};
        struct error err = {0};
        base64_encode(&code, CASES[i][0], strlen(CASES[i][0]));
        assert_string_equal(code.data, CASES[i][1]);
        assert_true(base64_decode(&back, code.data, code.size, &err));
        assert_string_equal(back.data, CASES[i][0]);
        buf_free(&code);
        buf_free(&back);
    }
}

static void every_length_round_trips(void **state)
{
    (void)state;
    unsigned char bytes[300];
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof bytes; i++) {
        random = random * 1664525U + 1013904223U;
        bytes[i] = (unsigned char)(random >> 24);
    }
    for (size_t size = 0; size <= sizeof bytes; size++) {
        struct buf code = {0}, back = {0};
        struct error err = {0};
        buf_puts(&code, "<");
        buf_puts(&back, ">");
        base64_encode(&code, bytes, size);
        assert_int_equal(code.size, 1 + (size + 2) / 3 * 4);
        assert_int_equal(strlen(code.data), code.size);
        assert_true(base64_decode(&back, code.data + 1, code.size - 1, &err));
        assert_int_equal(back.size, 1 + size);
        assert_memory_equal(back.data + 1, bytes, size);
        assert_int_equal(back.data[back.size], 0);
        buf_free(&code);
        buf_free(&back);
    }
}

static void whole_alphabet_is_used(void **state)
{
    (void)state;
    const char *all = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf bytes = {0}, code = {0};
    struct error err = {0};
    assert_true(base64_decode(&bytes, all, 64, &err));
    assert_int_equal(bytes.size, 48);
    assert_int_equal((unsigned char)bytes.data[1], 0x10); /* A, B = 000000 000001 0... */
    base64_encode(&code, bytes.data, bytes.size);
    assert_string_equal(code.data, all);
    buf_free(&bytes);
    buf_free(&code);
}

static void white_space_is_skipped(void **state)
{
    (void)state;
    struct buf back = {0};
    struct error err = {0};
    const char *text = " Zm9v\r\nYm\tFy Zg = = \n";
    assert_true(base64_decode(&back, text, strlen(text), &err));
    assert_string_equal(back.data, "foobarf");
    buf_free(&back);
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } CASES[] = {
        {"Z", "multiple of 4"},
        {"Zg", "multiple of 4"},
        {"Zg=", "multiple of 4"},
        {"Zm9vYmF", "multiple of 4"},
        {"=", "misplaced padding at character 0"},
        {"Z===", "misplaced padding at character 1"},
        {"Zg===", "misplaced padding at character 4"},
        {"Zm8==", "misplaced padding at character 4"},
        {"Zm9v=", "misplaced padding at character 4"},
        {"Zg==Zg==", "goes on after its padding at character 4"},
        {"Zm8=a", "goes on after its padding"},
        {"Zm9v!m9v", "byte 0x21 at character 4"},
        {"Zm-v", "byte 0x2d at character 2"},
        {"Zm_v", "byte 0x5f at character 2"},
        {"Zm9\x80", "byte 0x80 at character 3"},
        {"Zh==", "stray bits"},
        {"Zm9=", "stray bits"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf back = {0};
        struct error err = {0};
        buf_puts(&back, "kept");
        assert_false(base64_decode(&back, CASES[i].text, strlen(CASES[i].text), &err));
        assert_int_equal(err.code, ERR_INVALID);
        if (!strstr(err.text, CASES[i].reason))
            fail_msg("%s: %s", CASES[i].text, err.text);
        assert_string_equal(back.data, "kept");
        assert_int_equal(back.size, 4);
        buf_free(&back);
    }
}

static void zero_byte_is_foreign(void **state)
{
    (void)state;
    struct buf back = {0};
    struct error err = {0};
    assert_false(base64_decode(&back, "Zm9v\0m9v", 8, &err));
    assert_non_null(strstr(err.text, "byte 0x00 at character 4"));
    buf_free(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_vectors_encode_and_decode), cmocka_unit_test(every_length_round_trips),
        cmocka_unit_test(whole_alphabet_is_used),        cmocka_unit_test(white_space_is_skipped),
        cmocka_unit_test(malformed_text_is_refused),     cmocka_unit_test(zero_byte_is_foreign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
