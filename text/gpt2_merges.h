/* The merge rules of GPT-2's published vocabulary as pairs of token ids, best first. The ids of
 * the 256 bytes come first (in the order of text/byte_alphabet.h), then one per rule, then
 * <|endoftext|>. Generated; see text/data/README.md. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GPT2_N_MERGES ((size_t)50000)

extern const uint16_t GPT2_MERGES[][2];
