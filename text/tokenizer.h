/* Text to token ids. Three kinds, one face:
 *
 *   clip   byte-pair encoding of FLUX's CLIP text encoder: folder with vocab.json + merges.txt
 *   t5     unigram model of its T5 encoder: folder with tokenizer.json, else spiece.model
 *   gpt2   byte-level byte-pair encoding: folder with vocab.json + merges.txt, or the built-in one
 *
 * A tokenizer is immutable after opening and may be used by many threads at once. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tokenizer;

struct token_ids {
    int32_t *ids; /* owned: token_ids_free */
    size_t n_ids, capacity;
};

/* Open the tokenizer in a folder (`tokenizer/` and `tokenizer_2/` of a diffusers checkpoint).
 * Fails naming the file and what is wrong in it. */
bool tokenizer_open_clip(struct tokenizer **out, const char *folder, struct error *err);
bool tokenizer_open_t5(struct tokenizer **out, const char *folder, struct error *err);
bool tokenizer_open_gpt2(struct tokenizer **out, const char *folder, struct error *err);
/* The gpt2 vocabulary that is linked into the program. */
bool tokenizer_open_gpt2_builtin(struct tokenizer **out, struct error *err);
/* Tokenizers without any file, for models of random weights: pieces of words, hashed to ids below
 * vocabulary_size, with the special tokens where the real ones have them. max_length as
 * tokenizer_max_length() will tell it. ERR_INVALID when the vocabulary has no room. */
bool tokenizer_open_synthetic_clip(struct tokenizer **out, int64_t vocabulary_size,
                                   int64_t max_length, struct error *err);
bool tokenizer_open_synthetic_t5(struct tokenizer **out, int64_t vocabulary_size,
                                 int64_t max_length, struct error *err);
void tokenizer_close(struct tokenizer *t); /* NULL is fine */

/* Append the ids of text[0..size) (UTF-8; malformed bytes count as U+FFFD) with the special
 * tokens that the model wants around them: clip start and end, t5 end, gpt2 none. Not padded, not
 * cut. Special tokens written in the text ("<|endoftext|>", "</s>", "<extra_id_3>") are
 * recognised as transformers does. */
void tokenizer_encode(const struct tokenizer *t, const char *text, size_t size,
                      struct token_ids *out);

/* Append the text of ids to out, as decode() of the reference does for gpt2 (bytes of the
 * tokens, malformed UTF-8 replaced). Only for gpt2: the synthetic prompts need it. */
struct buf;
void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n_ids, struct buf *out);

/* Ids with a special meaning (-1: none) and the length the configuration asks for
 * (model_max_length of tokenizer_config.json; 0 when absent or absurdly large). */
int32_t tokenizer_end_id(const struct tokenizer *t);
int32_t tokenizer_pad_id(const struct tokenizer *t);
int64_t tokenizer_max_length(const struct tokenizer *t);
size_t tokenizer_vocabulary_size(const struct tokenizer *t);

/* Append one id. */
void token_ids_push(struct token_ids *ids, int32_t id);
/* Cut or pad ids in place to length: when cutting, the last id becomes the end token, as the
 * reference's truncation does; the rest is filled with the pad token. Returns how many ids were
 * cut away (0: nothing lost). */
size_t token_ids_fit(struct token_ids *ids, const struct tokenizer *t, size_t length);
void token_ids_free(struct token_ids *ids);
