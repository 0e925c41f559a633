/* The text and the outward meaning of a failure. */
#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int http_status, exit_code;
} CODES[] = {
    [ERR_NONE] = {"none", 200, 0},           [ERR_INVALID] = {"invalid", 400, 2},
    [ERR_NOT_FOUND] = {"not_found", 404, 1}, [ERR_BUSY] = {"busy", 429, 1},
    [ERR_CANCELED] = {"canceled", 499, 1},   [ERR_IO] = {"io", 500, 1},
    [ERR_MEMORY] = {"memory", 507, 1},       [ERR_DEVICE] = {"device", 500, 1},
    [ERR_INTERNAL] = {"internal", 500, 1},
};

#define N_CODES (sizeof(CODES) / sizeof(CODES[0]))

/* Text with values of outsiders stays one printable line: a control character becomes a space. */
static void make_one_line(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
    }
}

/* A cut may not leave half a UTF-8 character behind, since texts end up in JSON. */
static void drop_partial_character(char *text)
{
    size_t size = strlen(text), start = size;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (size - (start - 1) < want)
        text[start - 1] = '\0';
}

static void set_text(struct error *err, enum error_code code, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void set_text(struct error *err, enum error_code code, const char *format, va_list args)
{
    err->code = code;
    err->field[0] = '\0';
    int size = vsnprintf(err->text, sizeof err->text, format, args);
    if (size < 0)
        err->text[0] = '\0';
    if (size >= (int)sizeof err->text)
        drop_partial_character(err->text);
    make_one_line(err->text);
}

bool fail(struct error *err, enum error_code code, const char *format, ...)
{
    assert(code != ERR_NONE);
    if (!err || err->code != ERR_NONE)
        return false;
    va_list args;
    va_start(args, format);
    set_text(err, code, format, args);
    va_end(args);
    return false;
}

bool fail_field(struct error *err, const char *field, const char *format, ...)
{
    if (!err || err->code != ERR_NONE)
        return false;
    va_list args;
    va_start(args, format);
    set_text(err, ERR_INVALID, format, args);
    va_end(args);
    snprintf(err->field, sizeof err->field, "%s", field);
    drop_partial_character(err->field);
    return false;
}

bool error_prefix(struct error *err, const char *format, ...)
{
    if (!err || err->code == ERR_NONE)
        return false;
    char text[2 * sizeof err->text];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof err->text - 2, format, args);
    va_end(args);
    if (size < 0)
        return false;
    size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, ": %s", err->text);
    text[sizeof err->text - 1] = '\0';
    drop_partial_character(text);
    make_one_line(text);
    memcpy(err->text, text, sizeof err->text);
    return false;
}

int error_http_status(enum error_code code)
{
    return (size_t)code < N_CODES ? CODES[code].http_status : 500;
}

int error_exit_code(enum error_code code)
{
    return (size_t)code < N_CODES ? CODES[code].exit_code : 1;
}

const char *error_name(enum error_code code)
{
    return (size_t)code < N_CODES ? CODES[code].name : "unknown";
}
