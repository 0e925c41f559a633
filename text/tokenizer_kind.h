/* Inside of struct tokenizer, shared by the face (tokenizer.c) and the three kinds. */
#pragma once

#include "base/buf.h"
#include "text/added_tokens.h"
#include "text/token_config.h"
#include "text/tokenizer.h"

/* What differs between kinds. Text is well-formed UTF-8 without added tokens in it. */
struct tokenizer_kind {
    /* Append the normal form of text; NULL: text is taken as it is. */
    void (*normalize)(const struct tokenizer *t, const char *text, size_t size, struct buf *out);
    /* Append the ids of a stretch of normalised text. */
    void (*encode)(const struct tokenizer *t, const char *text, size_t size, struct token_ids *out);
    void (*decode)(const struct tokenizer *t, const int32_t *ids, size_t n_ids, struct buf *out);
    /* Id of a token in the model's own vocabulary, or -1. */
    int32_t (*find)(const struct tokenizer *t, const char *token);
    size_t (*size)(const struct tokenizer *t); /* tokens in the model's own vocabulary */
    void (*close)(void *model);
};

struct tokenizer {
    const struct tokenizer_kind *kind;
    void *model; /* owned */
    struct added_tokens added;
    int32_t first_id, last_id;          /* put around every text; -1: none */
    int32_t end_id, pad_id, unknown_id; /* -1: none */
    int64_t max_length;
    size_t vocabulary_size;
    bool add_prefix_space;
};

/* Make a tokenizer around a model, which it owns from now on. */
struct tokenizer *tokenizer_new(const struct tokenizer_kind *kind, void *model);

/* Take over the added tokens and special ids of a configuration. New tokens get ids behind the
 * model's vocabulary. */
void tokenizer_configure(struct tokenizer *t, const struct token_config *config);

/* Id of a token, added ones first; -1 when there is none or content is NULL. */
int32_t tokenizer_find(const struct tokenizer *t, const char *content);
