/* The `tokenize` command of both programs: one JSON string per line in, one JSON array of token
 * ids per line out. */
#pragma once

#include <stdio.h>

#include "base/error.h"
#include "text/tokenizer.h"

/* Tokenize all lines of in ("a cat" -> [320, 2368]); empty lines are skipped. Escapes may name any
 * character, NUL included; half a surrogate pair counts as U+FFFD. A line that is no JSON string
 * is ERR_INVALID with its number; what came before it has been written. */
bool tokenize_lines(const struct tokenizer *t, FILE *in, FILE *out, struct error *err);
