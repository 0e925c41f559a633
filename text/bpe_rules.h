/* Reading the files of a byte-pair vocabulary. Private to bpe.c and bpe_rules.c. */
#pragma once

#include "text/bpe.h"

bool bpe_read_folder(struct bpe *b, const char *folder, struct error *err);

/* What the reader fills in. */
struct token_table *bpe_tokens_mutable(struct bpe *b);
void bpe_add_rule(struct bpe *b, int32_t left, int32_t right, int32_t merged);
