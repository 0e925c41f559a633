/* A set of byte strings, each with a value, searched along a text. Edges are kept in one hash
 * table keyed by (node, byte): quick to build, one probe per byte to follow. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trie {
    uint64_t *keys;  /* of the edge table: node << 8 | byte, plus 1; 0: free */
    uint32_t *nodes; /* where the edge leads */
    size_t n_slots;  /* a power of two */
    int32_t *values; /* per node; TRIE_NONE: no string ends here */
    size_t n_nodes, capacity;
};

#define TRIE_ROOT 0
#define TRIE_NONE INT32_MIN

void trie_open(struct trie *t, size_t expected_bytes);
void trie_close(struct trie *t);

/* Add a string; the value of one that is there already is replaced. */
void trie_add(struct trie *t, const char *bytes, size_t size, int32_t value);

/* Follow one byte from a node: the next node, or 0 (the root, which nothing leads to). */
uint32_t trie_step(const struct trie *t, uint32_t node, uint8_t byte);

/* The value of exactly this string, or TRIE_NONE. */
int32_t trie_get(const struct trie *t, const char *bytes, size_t size);

/* The value of the longest string that text[0..size) begins with (its length in *length), or
 * TRIE_NONE. The empty string is never found. */
int32_t trie_longest(const struct trie *t, const char *text, size_t size, size_t *length);
