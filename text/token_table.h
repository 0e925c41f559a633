/* A vocabulary: token text to id and back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define TOKEN_ID_MAX ((1 << 24) - 1) /* a sane bound on ids that come from files */

struct token_table {
    struct buf text;             /* all token texts, one after another */
    struct token_entry *entries; /* in order of adding */
    size_t n_entries, capacity;
    uint32_t *slots; /* hash table: index of an entry plus 1; 0: free */
    size_t n_slots;
    int32_t *by_id; /* entry of an id, -1: none */
    size_t n_ids;
};

struct token_entry {
    size_t offset; /* into text */
    uint32_t size;
    int32_t id;
};

void token_table_open(struct token_table *t, size_t expected_tokens);
void token_table_close(struct token_table *t);
/* Add a token with an id in 0..TOKEN_ID_MAX; one with the same text gets the new id. */
void token_table_add(struct token_table *t, const char *text, size_t size, int32_t id);
/* The id of a token, or -1. */
int32_t token_table_find(const struct token_table *t, const char *text, size_t size);
/* The text of an id (not NUL-terminated), or NULL when there is none. */
const char *token_table_text(const struct token_table *t, int32_t id, size_t *size);
