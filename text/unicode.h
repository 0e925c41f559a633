/* UTF-8 and the character classes and normal forms that tokenizers ask for. The tables are
 * generated (tools/) and stand in unicode_tables.c; the classes are those of the reference
 * tokenizers, which lag one or two versions of Unicode behind each other. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* ---- UTF-8 --------------------------------------------------------------------------------- */

/* Decode one character at text[0..size), size > 0. Returns its length in bytes; malformed input
 * gives U+FFFD and the length of the maximal bad prefix, as Python's errors="replace" does. */
size_t utf8_decode(const char *text, size_t size, uint32_t *code);
void utf8_append(struct buf *out, uint32_t code);
/* True when text is well-formed (no surrogates, no overlong forms). */
bool utf8_valid(const char *text, size_t size);
/* Append text with every malformed part replaced by U+FFFD. */
void utf8_append_valid(struct buf *out, const char *text, size_t size);

/* ---- classes ------------------------------------------------------------------------------- */

bool unicode_is_letter(uint32_t code); /* \p{L} */
bool unicode_is_number(uint32_t code); /* \p{N} */
bool unicode_is_space(uint32_t code);  /* \s, White_Space */
bool unicode_is_word(uint32_t code);   /* \w: letters, marks, digits, connectors, joiners */

/* ---- forms --------------------------------------------------------------------------------- */

/* Append the lower case of one character (up to three); no context, so no final sigma. */
void unicode_append_lower(struct buf *out, uint32_t code);

/* Append the canonical composition (NFC) of well-formed UTF-8. Linear in size.
 * Source: Unicode Standard Annex 15. */
void unicode_append_nfc(struct buf *out, const char *text, size_t size);

/* Bytes of the first extended grapheme cluster of text[0..size), size > 0, well-formed UTF-8.
 * Source: Unicode Standard Annex 29. */
size_t unicode_cluster_length(const char *text, size_t size);
