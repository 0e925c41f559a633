/* One JSON string literal by itself, with all that JSON allows in it: base/json.h gives strings
 * that end at the first NUL, which is not enough for tokenizers. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

/* Append the UTF-8 of the string literal that text[0..size) consists of, white space around it
 * aside. Half a surrogate pair becomes U+FFFD; bytes are passed through. */
bool json_string_line_decode(struct buf *out, const char *text, size_t size, struct error *err);
