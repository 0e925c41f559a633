/* A strict look at a JSON text before the library parses it. One pass, no memory: the stack of open
 * brackets is an array, which is also what bounds the nesting. \u0000 is refused, since a C string
 * can't hold it, and so are halves of surrogate pairs, which are no characters. */
#include "base/json_check.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 100
#define MAX_NUMBER_BYTES 63 /* the library's own limit */

struct checker {
    const char *text;
    size_t size, at;
    struct error *err;
};

/* ---- characters ---------------------------------------------------------------------------- */

#define PLAIN_BLOCK 64

static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

size_t json_plain_size(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t at = 0;
    for (; size - at >= PLAIN_BLOCK; at += PLAIN_BLOCK) { /* without a branch: becomes vectors */
        unsigned char other = 0;
        for (size_t i = at; i < at + PLAIN_BLOCK; i++)
            other |=
                (unsigned char)((s[i] < 0x20) | (s[i] >= 0x80) | (s[i] == '"') | (s[i] == '\\'));
        if (other)
            break;
    }
    while (at < size && is_plain(s[at]))
        at++;
    return at;
}

size_t json_utf8_size(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char c = s[0];
    if (c < 0x80)
        return 1;
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || n > size)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    /* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
        (c == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

static bool fail_here(struct checker *c, const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < c->at; i++) {
        if (c->text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)c->text[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    return fail(c->err, ERR_INVALID, "not valid JSON at line %zu column %zu: %s", line, column,
                what);
}

/* The next byte, or -1 at the end. */
static int peek(const struct checker *c)
{
    return c->at < c->size ? (unsigned char)c->text[c->at] : -1;
}

static void skip_space(struct checker *c)
{
    for (; c->at < c->size; c->at++) {
        char b = c->text[c->at];
        if (b != ' ' && b != '\n' && b != '\r' && b != '\t')
            break;
    }
}

/* ---- scalars ------------------------------------------------------------------------------- */

/* Four hex digits at the position; -1 when they are not. */
static int hex4(const struct checker *c, size_t at)
{
    if (at + 4 > c->size)
        return -1;
    int value = 0;
    for (size_t i = at; i < at + 4; i++) {
        char d = c->text[i];
        int digit = d >= '0' && d <= '9'   ? d - '0'
                    : d >= 'a' && d <= 'f' ? d - 'a' + 10
                    : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* At the backslash. */
static bool check_escape(struct checker *c)
{
    int kind = c->at + 1 < c->size ? (unsigned char)c->text[c->at + 1] : -1;
    if (kind != 'u') {
        if (kind < 0 || !strchr("\"\\/bfnrt", kind) || kind == 0)
            return fail_here(c, "unknown escape in a string");
        c->at += 2;
        return true;
    }
    int unit = hex4(c, c->at + 2);
    if (unit < 0)
        return fail_here(c, "\\u needs four hex digits");
    if (unit == 0)
        return fail_here(c, "\\u0000 can't be part of a string");
    bool is_high = unit >= 0xd800 && unit < 0xdc00;
    if (is_high) {
        bool is_pair = c->at + 8 <= c->size && memcmp(c->text + c->at + 6, "\\u", 2) == 0;
        int low = is_pair ? hex4(c, c->at + 8) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail_here(c, "half of a surrogate pair");
        c->at += 12;
        return true;
    }
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return fail_here(c, "half of a surrogate pair");
    c->at += 6;
    return true;
}

/* At the opening quote. */
static bool check_string(struct checker *c)
{
    c->at++;
    for (;;) {
        c->at += json_plain_size(c->text + c->at, c->size - c->at);
        int b = peek(c);
        if (b < 0)
            return fail_here(c, "the text ends within a string");
        if (b == '"') {
            c->at++;
            return true;
        }
        if (b == '\\') {
            if (!check_escape(c))
                return false;
        } else if (b < 0x20) {
            return fail_here(c, "control character in a string: write it as an escape");
        } else {
            size_t n = json_utf8_size(c->text + c->at, c->size - c->at);
            if (n == 0)
                return fail_here(c, "a string is not valid UTF-8");
            c->at += n;
        }
    }
}

static size_t skip_digits(struct checker *c)
{
    size_t start = c->at;
    while (peek(c) >= '0' && peek(c) <= '9')
        c->at++;
    return c->at - start;
}

static bool check_number(struct checker *c)
{
    size_t start = c->at;
    if (peek(c) == '-')
        c->at++;
    bool is_zero_first = peek(c) == '0';
    size_t n = skip_digits(c);
    if (n == 0)
        return fail_here(c, "a number needs a digit");
    if (is_zero_first && n > 1) {
        c->at = start;
        return fail_here(c, "a number starts with 0");
    }
    if (peek(c) == '.') {
        c->at++;
        if (skip_digits(c) == 0)
            return fail_here(c, "a number needs a digit after its point");
    }
    if (peek(c) == 'e' || peek(c) == 'E') {
        c->at++;
        if (peek(c) == '+' || peek(c) == '-')
            c->at++;
        if (skip_digits(c) == 0)
            return fail_here(c, "a number needs a digit in its exponent");
    }
    char copy[MAX_NUMBER_BYTES + 1];
    size_t size = c->at - start;
    c->at = start; /* for the messages */
    if (size > MAX_NUMBER_BYTES)
        return fail_here(c, "a number has more than 63 characters");
    memcpy(copy, c->text + start, size);
    copy[size] = '\0';
    if (!isfinite(strtod(copy, NULL)))
        return fail_here(c, "a number is too large");
    c->at = start + size;
    return true;
}

static bool check_word(struct checker *c, const char *word)
{
    size_t size = strlen(word);
    if (c->size - c->at < size || memcmp(c->text + c->at, word, size) != 0)
        return fail_here(c, "unknown word: only true, false and null exist");
    c->at += size;
    return true;
}

static bool check_scalar(struct checker *c)
{
    int b = peek(c);
    if (b == '"')
        return check_string(c);
    if (b == '-' || (b >= '0' && b <= '9'))
        return check_number(c);
    if (b == 't' || b == 'f' || b == 'n')
        return check_word(c, b == 't' ? "true" : b == 'f' ? "false" : "null");
    return fail_here(c, b < 0 ? "the text ends where a value should be" : "a value should be here");
}

/* ---- structure ----------------------------------------------------------------------------- */

/* A key and its colon, the position being where the key should start. */
static bool check_key(struct checker *c)
{
    if (peek(c) != '"')
        return fail_here(c, "a key in double quotes should be here");
    if (!check_string(c))
        return false;
    skip_space(c);
    if (peek(c) != ':')
        return fail_here(c, "a colon should follow the key");
    c->at++;
    skip_space(c);
    return true;
}

/* After a value: close what closes here, then step over a comma. *is_done says the root ended. */
static bool check_after_value(struct checker *c, const char *open, int *depth, bool *is_done)
{
    for (;;) {
        skip_space(c);
        if (*depth == 0) {
            *is_done = true;
            return true;
        }
        char closer = open[*depth - 1] == '{' ? '}' : ']';
        if (peek(c) == closer) {
            c->at++;
            (*depth)--;
            continue;
        }
        if (peek(c) != ',')
            return fail_here(c, closer == '}' ? "a comma or } should be here"
                                              : "a comma or ] should be here");
        c->at++;
        skip_space(c);
        return closer == ']' || check_key(c);
    }
}

bool json_check(const char *text, size_t size, struct error *err)
{
    struct checker c = {.text = text, .size = size, .err = err};
    char open[MAX_DEPTH];
    int depth = 0;
    bool is_done = false;

    skip_space(&c);
    while (!is_done) {
        int b = peek(&c);
        bool is_empty = false;
        if (b == '{' || b == '[') {
            if (depth == MAX_DEPTH)
                return fail_here(&c, "nested deeper than 100");
            open[depth++] = (char)b;
            c.at++;
            skip_space(&c);
            is_empty = peek(&c) == (b == '{' ? '}' : ']');
            if (!is_empty) {
                if (b == '{' && !check_key(&c))
                    return false;
                continue;
            }
        } else if (!check_scalar(&c)) {
            return false;
        }
        if (!check_after_value(&c, open, &depth, &is_done))
            return false;
    }
    return c.at == c.size || fail_here(&c, "something follows the value");
}
