/* UTF-8 and the character classes and normal forms that tokenizers ask for. The tables are
 * generated (tools/) from the Unicode Character Database and stand in unicode_tables.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Decode one character at text[0..size), size > 0. Returns its length in bytes; malformed input
 * gives U+FFFD and the length of the maximal bad prefix, as Python's errors="replace" does. */
size_t utf8_decode(const char *text, size_t size, uint32_t *code);
void utf8_append(struct buf *out, uint32_t code);
/* True when text is well-formed (no surrogates, no overlong forms). */
bool utf8_valid(const char *text, size_t size);
