/* Unigram language model: every token has a score (a log probability), a text is cut into the
 * tokens with the highest sum. Source: Kudo 2018, "Subword Regularization"; details as in the
 * Unigram model of the tokenizers library. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"
#include "text/trie.h"

struct unigram {
    struct trie trie; /* token text to id */
    double *scores;   /* by id */
    size_t n_tokens, capacity;
    double min_score;
    int32_t unknown_id; /* set by the owner; below n_tokens */
};

/* Memory of one encoding; zero-initialise, then unigram_scratch_free. */
struct unigram_scratch {
    struct unigram_node *nodes;
    size_t capacity;
    struct token_ids reversed;
};

void unigram_open(struct unigram *u, size_t expected_tokens);
void unigram_close(struct unigram *u);
/* Add a token; its id is the number of tokens before it. */
void unigram_add(struct unigram *u, const char *text, size_t size, double score);

/* Append the ids of text[0..size), well-formed UTF-8. Characters that no token covers become the
 * unknown token, a run of them one. Time: size times the longest token. */
void unigram_encode(const struct unigram *u, const char *text, size_t size,
                    struct unigram_scratch *scratch, struct token_ids *out);
void unigram_scratch_free(struct unigram_scratch *scratch);
