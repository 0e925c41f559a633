/* SentencePiece's precompiled character map: a double-array trie of byte strings and what to
 * write in their place. It carries NFKC and more ("nmt_nfkc") inside the model file. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct charsmap {
    uint32_t *units; /* owned */
    size_t n_units;
    struct buf strings; /* replacements, each ended by a NUL */
};

/* Read the binary form: size of the trie in bytes (little-endian 32 bit), trie, replacements. */
bool charsmap_open(struct charsmap *map, const void *bytes, size_t size, struct error *err);
void charsmap_close(struct charsmap *map);

/* Append text[0..size), well-formed UTF-8, with its replacements: a grapheme cluster of fewer
 * than six bytes is replaced as a whole by what its shortest known prefix stands for, anything
 * else character by character.
 * Source: the Precompiled normalizer of the tokenizers library (which departs from
 * SentencePiece's own longest match). */
void charsmap_apply(const struct charsmap *map, const char *text, size_t size, struct buf *out);
