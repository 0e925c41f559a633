/* The grammar of JSON (RFC 8259), for json.c. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* True when text[0..size) is one JSON value in valid UTF-8, white space around it allowed, nested
 * no deeper than 100 and with numbers within the range of a double. On failure ERR_INVALID says
 * what is wrong at which line and column (both from 1, columns in characters). */
bool json_check(const char *text, size_t size, struct error *err);

/* How many bytes text[0..size) begins with that stand for themselves in a string literal: ASCII,
 * but no control characters, quotes and backslashes. Fast, since pictures come as such strings. */
size_t json_plain_size(const char *text, size_t size);

/* The length of the valid UTF-8 character at text[0..size), size > 0, or 0 when it is broken. */
size_t json_utf8_size(const char *text, size_t size);
