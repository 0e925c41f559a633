#include "text/json_string_line.h"

#include <stdint.h>
#include <string.h>

#include "text/unicode.h"

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* \uXXXX, and the second half of a pair with it; p stands behind the u. Returns bytes used, 0
 * when malformed. */
static size_t unicode_escape(struct buf *out, const char *p, const char *end)
{
    int32_t code = hex4(p, end);
    if (code < 0)
        return 0;
    if (code >= 0xd800 && code < 0xdc00 && end - p >= 10 && p[4] == '\\' && p[5] == 'u') {
        int32_t low = hex4(p + 6, end);
        if (low >= 0xdc00 && low < 0xe000) {
            utf8_append(out,
                        0x10000u + ((uint32_t)(code - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
            return 10;
        }
    }
    utf8_append(out, code >= 0xd800 && code < 0xe000 ? 0xfffd : (uint32_t)code);
    return 4;
}

bool json_string_line_decode(struct buf *out, const char *text, size_t size, struct error *err)
{
    static const char ESCAPES[] = "\"\\/bfnrt", MEANINGS[] = "\"\\/\b\f\n\r\t";
    const char *p = text, *end = text + size;
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    if (end - p < 2 || *p != '"' || end[-1] != '"')
        return fail(err, ERR_INVALID, "must be a JSON string in double quotes");
    p++;
    end--;
    while (p < end) {
        const char *escape;
        if (*p == '"' || (uint8_t)*p < 0x20)
            return fail(err, ERR_INVALID, "byte 0x%02x at %zu must be escaped in a JSON string",
                        (unsigned)(uint8_t)*p, (size_t)(p - text));
        if (*p != '\\') {
            buf_putc(out, *p++);
            continue;
        }
        size_t used = 0;
        if (p + 1 < end && p[1] == 'u')
            used = unicode_escape(out, p + 2, end);
        if (used > 0) {
            p += 2 + used;
        } else if (p + 1 < end && p[1] && (escape = strchr(ESCAPES, p[1])) != NULL) {
            buf_putc(out, MEANINGS[escape - ESCAPES]);
            p += 2;
        } else {
            return fail(err, ERR_INVALID, "malformed escape at %zu in a JSON string",
                        (size_t)(p - text));
        }
    }
    return true;
}
