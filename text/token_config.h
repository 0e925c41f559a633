/* What a tokenizer folder says about special tokens: tokenizer_config.json, and where that lists
 * no added tokens, special_tokens_map.json, added_tokens.json and tokenizer.json. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "text/added_tokens.h"

enum special_role {
    SPECIAL_BOS,
    SPECIAL_EOS,
    SPECIAL_UNK,
    SPECIAL_SEP,
    SPECIAL_PAD,
    SPECIAL_CLS,
    SPECIAL_MASK,
    N_SPECIAL_ROLES,
};

struct token_config {
    char *special[N_SPECIAL_ROLES]; /* contents; NULL: the role is not filled */
    /* All tokens to cut out of texts, in the order in which new ones get ids; .id is not set. */
    struct added_token *added;
    size_t n_added;
    int64_t max_length; /* model_max_length; 0: none */
    bool add_prefix_space;
};

/* Defaults are what the tokenizer's kind uses for roles that no file mentions; extra tokens are
 * added when the files name no additional ones. */
struct token_defaults {
    const char *special[N_SPECIAL_ROLES];
    const char *const *extra;
    size_t n_extra;
};

/* Read a folder; files that are missing are fine, malformed ones are not. */
bool token_config_read(struct token_config *c, const char *folder,
                       const struct token_defaults *defaults, struct error *err);
void token_config_free(struct token_config *c);
