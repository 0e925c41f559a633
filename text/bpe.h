/* Byte-pair encoding over bytes: a word starts as one token per byte, then the pair with the
 * lowest rank is merged again and again. Shared by the clip and gpt2 tokenizers.
 *
 * Vocabularies write bytes as printable characters (text/byte_alphabet.h); encoding works on the
 * bytes themselves. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "text/token_table.h"
#include "text/tokenizer.h"

struct bpe; /* immutable once opened */

/* Memory of one encoding, reused from word to word; zero-initialise, then bpe_scratch_free. */
struct bpe_scratch {
    struct bpe_symbol *symbols;
    struct bpe_merge *heap;
    size_t symbols_capacity, n_heap, heap_capacity;
};

/* Read the vocabulary and the merge rules in a folder: tokenizer.json when it is there, else
 * vocab.json and merges.txt. The last byte of a word is looked up with suffix appended ("</w>",
 * or "" for none). */
bool bpe_open_folder(struct bpe **out, const char *folder, const char *suffix, struct error *err);

/* Make one from merge rules alone, as pairs of ids: first the 256 bytes in the order of the
 * alphabet, then one token per rule, each rule naming earlier ids. */
struct bpe *bpe_open_pairs(const uint16_t (*pairs)[2], size_t n_pairs);
void bpe_close(struct bpe *b); /* NULL is fine */

/* Append the ids of one word. A byte that the vocabulary lacks becomes unknown_id, or nothing
 * when that is negative. Time n log n. */
void bpe_encode(const struct bpe *b, const char *word, size_t size, int32_t unknown_id,
                struct bpe_scratch *scratch, struct token_ids *out);
void bpe_scratch_free(struct bpe_scratch *scratch);

/* The tokens as the vocabulary writes them ("Ġthe"). */
const struct token_table *bpe_tokens(const struct bpe *b);
