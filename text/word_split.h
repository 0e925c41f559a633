/* How the byte-pair tokenizers cut text into words before merging. */
#pragma once

#include <stddef.h>

/* Bytes of the first word of text[0..size), size > 0, well-formed UTF-8, by GPT-2's pattern
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * which covers every text: words follow each other without gaps. */
size_t word_split_gpt2(const char *text, size_t size);

/* The same for CLIP's pattern
 *     <|startoftext|>|<|endoftext|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+
 * White space belongs to no word: 0 when text begins with it, and *space is its length. */
size_t word_split_clip(const char *text, size_t size, size_t *space);
