/* Synthetic prompts: descriptions of pictures, put together from word lists by a seeded random
 * stream, with an exact length in tokens. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "client/random.h"
#include "client/tokens.h"

/* Append a prompt of exactly n_tokens (at least 1) tokens. Returns the length reached, which
 * differs only for a tokenizer in which none of the filling words is a single token. */
int64_t words_prompt(struct buf *out, struct random *random, const struct tokens *tokens,
                     int64_t n_tokens);
