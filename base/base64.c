/* Base64 by table. The loops handle whole groups (3 bytes to 4 characters) with nothing but loads
 * and shifts, since an image of some megabytes goes through here for every answer; padding, white
 * space and errors take the slow way. */
#include "base/base64.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static const char ALPHABET[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- encoding ------------------------------------------------------------------------------ */

static void encode_group(char *to, const unsigned char *from)
{
    uint32_t v = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
    to[0] = ALPHABET[v >> 18];
    to[1] = ALPHABET[v >> 12 & 63];
    to[2] = ALPHABET[v >> 6 & 63];
    to[3] = ALPHABET[v & 63];
}

void base64_encode(struct buf *out, const void *bytes, size_t size)
{
    const unsigned char *from = bytes;
    size_t n_groups = size / 3, rest = size % 3;
    char *to = buf_reserve(out, (n_groups + 1) * 4);
    for (size_t i = 0; i < n_groups; i++, from += 3, to += 4)
        encode_group(to, from);
    if (rest) {
        unsigned char last[3] = {from[0], rest == 2 ? from[1] : 0, 0};
        encode_group(to, last);
        to[3] = '=';
        if (rest == 1)
            to[2] = '=';
        to += 4;
    }
    *to = '\0';
    out->size = (size_t)(to - out->data);
}

/* ---- decoding ------------------------------------------------------------------------------ */

/* What a character stands for: 0..63, or one of these. All three have the sign bit set. */
enum { FOREIGN = -1, SPACE = -2, PADDING = -3 };

static void fill_values(int8_t values[256])
{
    memset(values, FOREIGN, 256);
    for (int i = 0; i < 64; i++)
        values[(unsigned char)ALPHABET[i]] = (int8_t)i;
    for (const char *p = " \t\r\n\f\v"; *p; p++)
        values[(unsigned char)*p] = SPACE;
    values['='] = PADDING;
}

/* Decode whole groups for as long as they hold nothing special; returns the characters read. */
static size_t decode_plain(const int8_t values[256], const unsigned char *text, size_t size,
                           unsigned char **to)
{
    size_t at = 0;
    unsigned char *out = *to;
    for (; at + 4 <= size; at += 4, out += 3) {
        int a = values[text[at]], b = values[text[at + 1]];
        int c = values[text[at + 2]], d = values[text[at + 3]];
        if ((a | b | c | d) < 0)
            break;
        uint32_t v = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | (uint32_t)d;
        out[0] = (unsigned char)(v >> 16);
        out[1] = (unsigned char)(v >> 8);
        out[2] = (unsigned char)v;
    }
    *to = out;
    return at;
}

/* Two paddings follow one byte, one follows two; the bits beyond must be 0. */
static bool decode_tail(uint32_t group, int n_digits, int n_paddings, size_t size,
                        unsigned char **to, struct error *err)
{
    if (n_digits + n_paddings != 4 && n_digits + n_paddings != 0)
        return fail(err, ERR_INVALID,
                    "base64 text ends within a group at character %zu: "
                    "its length must be a multiple of 4, padded with '='",
                    size);
    if (n_digits == 0)
        return true;
    group <<= 6 * (4 - n_digits);
    if (n_digits < 2 || (group & (n_digits == 2 ? 0xffffU : 0xffU)) != 0)
        return fail(err, ERR_INVALID,
                    "base64 text has stray bits before the padding at "
                    "character %zu",
                    size);
    *(*to)++ = (unsigned char)(group >> 16);
    if (n_digits == 3)
        *(*to)++ = (unsigned char)(group >> 8);
    return true;
}

bool base64_decode(struct buf *out, const char *text, size_t size, struct error *err)
{
    int8_t values[256];
    fill_values(values);
    const unsigned char *from = (const unsigned char *)text;
    unsigned char *start = (unsigned char *)buf_reserve(out, size / 4 * 3 + 3), *to = start;
    uint32_t group = 0;
    int n_digits = 0, n_paddings = 0;
    bool ok = true;

    for (size_t at = 0; ok && at < size; at++) {
        if (n_digits == 0 && n_paddings == 0) {
            at += decode_plain(values, from + at, size - at, &to);
            if (at == size)
                break;
        }
        int value = values[from[at]];
        if (value == SPACE)
            continue;
        if (value == FOREIGN) {
            ok = fail(err, ERR_INVALID,
                      "base64 text has byte 0x%02x at character %zu: only "
                      "A-Z a-z 0-9 + / and = are allowed",
                      from[at], at);
        } else if (value == PADDING) {
            if (n_digits < 2 || n_digits + ++n_paddings > 4)
                ok = fail(err, ERR_INVALID, "base64 text has misplaced padding at character %zu",
                          at);
        } else if (n_paddings) {
            ok = fail(err, ERR_INVALID, "base64 text goes on after its padding at character %zu",
                      at);
        } else {
            group = group << 6 | (uint32_t)value;
            if (++n_digits == 4) {
                *to++ = (unsigned char)(group >> 16);
                *to++ = (unsigned char)(group >> 8);
                *to++ = (unsigned char)group;
                n_digits = 0;
                group = 0;
            }
        }
    }
    ok = ok && decode_tail(group, n_digits, n_paddings, size, &to, err);
    if (ok)
        out->size += (size_t)(to - start);
    out->data[out->size] = '\0';
    return ok;
}
