/* UTF-8 and character classes. Normal forms are in unicode_nfc.c, clusters in
 * unicode_cluster.c. */
#include "text/unicode.h"

#include <string.h>

#include "text/unicode_tables.h"

/* ---- UTF-8 --------------------------------------------------------------------------------- */

/* The second byte decides whether a sequence is overlong, a surrogate or beyond U+10FFFF; its
 * valid range depends on the first. Source: Unicode Standard, table 3-7. */
static void second_byte_range(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
}

size_t utf8_decode(const char *text, size_t size, uint32_t *code)
{
    const uint8_t *p = (const uint8_t *)text;
    uint8_t lead = p[0];
    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                    : lead >= 0xe0 && lead <= 0xef ? 3
                    : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                   : 0;
    *code = UNICODE_REPLACEMENT;
    if (length == 0)
        return 1;
    uint8_t low, high;
    second_byte_range(lead, &low, &high);
    uint32_t value = lead & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i >= size || p[i] < low || p[i] > high)
            return i;
        value = value << 6 | (p[i] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *code = value;
    return length;
}

void utf8_append(struct buf *out, uint32_t code)
{
    char bytes[4];
    size_t n;
    if (code < 0x80) {
        bytes[0] = (char)code;
        n = 1;
    } else if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 0x3f));
        n = 2;
    } else if (code < 0x10000) {
        bytes[0] = (char)(0xe0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (code & 0x3f));
        n = 3;
    } else {
        bytes[0] = (char)(0xf0 | code >> 18);
        bytes[1] = (char)(0x80 | (code >> 12 & 0x3f));
        bytes[2] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[3] = (char)(0x80 | (code & 0x3f));
        n = 4;
    }
    buf_append(out, bytes, n);
}

bool utf8_valid(const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        if ((uint8_t)text[i] < 0x80) {
            i++;
            continue;
        }
        uint32_t code;
        size_t length = utf8_decode(text + i, size - i, &code);
        /* A real U+FFFD is three bytes that begin with 0xef. */
        if (code == UNICODE_REPLACEMENT && (length != 3 || (uint8_t)text[i] != 0xef))
            return false;
        i += length;
    }
    return true;
}

void utf8_append_valid(struct buf *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint32_t code;
        i += utf8_decode(text + i, size - i, &code);
        utf8_append(out, code);
    }
}

/* ---- classes and lower case ---------------------------------------------------------------- */

bool unicode_is_letter(uint32_t code) { return unicode_record(code)->flags & UNICODE_LETTER; }
bool unicode_is_number(uint32_t code) { return unicode_record(code)->flags & UNICODE_NUMBER; }
bool unicode_is_space(uint32_t code) { return unicode_record(code)->flags & UNICODE_SPACE; }
bool unicode_is_word(uint32_t code) { return unicode_record(code)->flags & UNICODE_WORD; }

const struct unicode_mapping *unicode_mapping_find(const struct unicode_mapping *table, size_t n,
                                                   uint32_t code)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && table[low].code == code ? &table[low] : NULL;
}

void unicode_append_lower(struct buf *out, uint32_t code)
{
    if (code < 0x80) {
        buf_putc(out, (char)(code >= 'A' && code <= 'Z' ? code + 'a' - 'A' : code));
        return;
    }
    const struct unicode_mapping *lower =
        unicode_mapping_find(UNICODE_LOWER, UNICODE_N_LOWER, code);
    if (!lower) {
        utf8_append(out, code);
        return;
    }
    for (size_t i = 0; i < 4 && lower->to[i]; i++)
        utf8_append(out, lower->to[i]);
}
