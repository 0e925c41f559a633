/* How long a prompt is in tokens, special tokens left out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tokens;

/* Open by the value of --tokenizer: "gpt2" (and "builtin") is linked into the program, "none"
 * gives *out NULL, anything else is a folder with vocab.json and merges.txt (gpt2's or CLIP's
 * layout), tokenizer.json or spiece.model (T5's). */
bool tokens_open(struct tokens **out, const char *name, struct error *err);
void tokens_close(struct tokens *t); /* NULL is fine */

int64_t tokens_count(const struct tokens *t, const char *text, size_t size);
