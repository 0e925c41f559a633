/* Tokens outside the model's own segmentation: special tokens and others that a configuration
 * adds. They are cut out of the text before the model sees it, leftmost and longest first, in two
 * rounds: those that match the text as it is, then those that match it after normalisation. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/trie.h"

struct added_token {
    char *content;       /* owned by the list that holds it */
    bool single_word;    /* only where no word character touches it */
    bool lstrip, rstrip; /* takes the white space on that side with it */
    bool normalized;     /* found in the second round, by its normalised content */
    int32_t id;
};

struct added_tokens {
    struct added_token *tokens;
    size_t n_tokens;
    struct trie raw, normalized; /* values are indices into tokens */
};

/* A stretch of text: plain (token NULL) or an added token. Both ends are byte offsets. */
struct added_piece {
    size_t start, end;
    const struct added_token *token;
};

struct added_pieces {
    struct added_piece *pieces; /* owned: free() */
    size_t n_pieces, capacity;
};

void added_tokens_open(struct added_tokens *a);
void added_tokens_close(struct added_tokens *a);

/* Add a token by what it looks like (normalised content if token.normalized). Takes over
 * token.content; a token that is there already (same content) is replaced. */
void added_tokens_add(struct added_tokens *a, struct added_token token, const char *pattern,
                      size_t pattern_size);
const struct added_token *added_tokens_find(const struct added_tokens *a, const char *content);

/* Cut text into pieces, in order; round 1 looks for raw tokens, round 2 for normalised ones.
 * Empty text gives no piece. */
void added_tokens_split(const struct added_tokens *a, bool normalized, const char *text,
                        size_t size, struct added_pieces *out);
