/* The printable stand-ins of the 256 bytes in byte-level vocabularies: printable Latin-1 stands
 * for itself, the other 68 bytes are U+0100, U+0101, ... in order. A space is U+0120 (Ġ). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

uint32_t byte_alphabet_code(uint8_t byte);
/* The byte that a character stands for, or -1. */
int byte_alphabet_byte(uint32_t code);
/* The byte at a place of the vocabulary's order: printable ones first, then the rest. */
uint8_t byte_alphabet_nth(size_t n);
/* Append the bytes that token stands for; false (nothing appended) when a character of it is
 * not in the alphabet. */
bool byte_alphabet_decode(struct buf *out, const char *token, size_t size);
