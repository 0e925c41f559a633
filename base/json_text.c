/* Literals as Python's json module writes them with ensure_ascii=False: strings and numbers. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_check.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for bytes that are no UTF-8 */

static void print_escape(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"':
        buf_puts(out, "\\\"");
        break;
    case '\\':
        buf_puts(out, "\\\\");
        break;
    case '\n':
        buf_puts(out, "\\n");
        break;
    case '\r':
        buf_puts(out, "\\r");
        break;
    case '\t':
        buf_puts(out, "\\t");
        break;
    case '\b':
        buf_puts(out, "\\b");
        break;
    case '\f':
        buf_puts(out, "\\f");
        break;
    default:
        buf_printf(out, "\\u%04x", c);
    }
}

void json_print_string(struct buf *out, const char *text, size_t size)
{
    buf_putc(out, '"');
    size_t plain = 0; /* start of the run that needs no change */
    for (size_t at = 0; at < size;) {
        at += json_plain_size(text + at, size - at);
        if (at == size)
            break;
        unsigned char c = (unsigned char)text[at];
        size_t n = c < 0x80 ? 1 : json_utf8_size(text + at, size - at);
        if (n > 0 && c >= 0x20 && c != '"' && c != '\\') {
            at += n;
            continue;
        }
        buf_append(out, text + plain, at - plain);
        if (n == 0)
            buf_puts(out, REPLACEMENT);
        else
            print_escape(out, c);
        plain = ++at;
    }
    buf_append(out, text + plain, size - plain);
    buf_putc(out, '"');
}

/* Add one unit in the last place of d.ddde+xx, unless that gives a digit more. */
static void round_away(char *text)
{
    for (char *p = strchr(text, 'e') - 1; p >= text; p--) {
        if (*p == '.')
            continue;
        if (*p < '9') {
            ++*p;
            return;
        }
        *p = '0';
    }
    text[0] = '0'; /* all nines: no candidate */
}

/* The shortest decimal that reads back as value: its digits without trailing zeros, and the power
 * of ten of the first one. 17 digits always suffice; fewer than 15 need no trial, as trailing zeros
 * tell, except below DBL_MIN, where doubles are sparse. Above a power of two doubles are twice as
 * far apart as below, so there the decimal on the far side may fit where the nearest doesn't. */
static int shortest_digits(double value, char digits[18])
{
    char text[40];
    for (int n = value < DBL_MIN ? 1 : 15; n <= 17; n++) {
        snprintf(text, sizeof text, "%.*e", n - 1, value);
        if (strtod(text, NULL) == value)
            break;
        if (n == 16) {
            round_away(text);
            if (strtod(text, NULL) == value)
                break;
        }
    }
    size_t n_digits = 0;
    const char *p = text;
    for (; *p != 'e'; p++) {
        if (*p != '.')
            digits[n_digits++] = *p;
    }
    while (n_digits > 1 && digits[n_digits - 1] == '0')
        n_digits--;
    digits[n_digits] = '\0';
    return (int)strtol(p + 1, NULL, 10);
}

/* Most numbers here are times, millionths of a unit, or bytes over 1024, which have ten decimals. A
 * decimal of at most 15 digits that gives the same double is the shortest one, so that these need
 * no search. */
static bool print_decimals(struct buf *out, double value, int n_decimals, double scale)
{
    char text[32], *at = text + sizeof text;
    if (!((value == 0 || value >= 1e-4) && value * scale < 1e15))
        return false;
    int64_t n = (int64_t)(value * scale + 0.5);
    if ((double)n / scale != value)
        return false;
    for (; n_decimals > 1 && n % 10 == 0; n_decimals--)
        n /= 10;
    for (int i = 0; n > 0 || i <= n_decimals; i++, n /= 10) {
        if (i == n_decimals)
            *--at = '.';
        *--at = (char)('0' + n % 10);
    }
    buf_append(out, at, (size_t)(text + sizeof text - at));
    return true;
}

void json_print_double(struct buf *out, double value)
{
    if (!isfinite(value)) {
        buf_puts(out, "null");
        return;
    }
    if (signbit(value))
        buf_putc(out, '-');
    value = fabs(value);
    if (print_decimals(out, value, 6, 1e6) || print_decimals(out, value, 10, 1e10))
        return;
    char digits[18];
    int exponent = shortest_digits(value, digits);
    int n = (int)strlen(digits);
    if (exponent < -4 || exponent >= 16) { /* where repr() changes to scientific notation */
        buf_putc(out, digits[0]);
        if (n > 1)
            buf_printf(out, ".%s", digits + 1);
        buf_printf(out, "e%+03d", exponent);
    } else if (exponent < 0) {
        buf_printf(out, "0.%.*s%s", -exponent - 1, "000", digits);
    } else if (n <= exponent + 1) {
        buf_printf(out, "%s%.*s.0", digits, exponent + 1 - n, "0000000000000000");
    } else {
        buf_printf(out, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    }
}
