/* Open addressing with linear probing; the table is at most half full. */
#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define MIN_SLOTS 64

static size_t slot_of(const struct trie *t, uint64_t key)
{
    uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing */
    return (size_t)(hash >> 32) & (t->n_slots - 1);
}

static void table_grow(struct trie *t, size_t n_slots)
{
    struct trie old = *t;
    t->n_slots = n_slots;
    t->keys = xcalloc(n_slots, sizeof *t->keys);
    t->nodes = xmalloc(n_slots * sizeof *t->nodes);
    for (size_t i = 0; i < old.n_slots; i++) {
        if (!old.keys[i])
            continue;
        size_t slot = slot_of(t, old.keys[i]);
        while (t->keys[slot])
            slot = (slot + 1) & (n_slots - 1);
        t->keys[slot] = old.keys[i];
        t->nodes[slot] = old.nodes[i];
    }
    free(old.keys);
    free(old.nodes);
}

static uint32_t node_new(struct trie *t)
{
    if (t->n_nodes == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : MIN_SLOTS;
        t->values = xrealloc(t->values, t->capacity * sizeof *t->values);
    }
    t->values[t->n_nodes] = TRIE_NONE;
    return (uint32_t)t->n_nodes++;
}

void trie_open(struct trie *t, size_t expected_bytes)
{
    *t = (struct trie){0};
    size_t n_slots = MIN_SLOTS;
    while (n_slots < expected_bytes)
        n_slots *= 2;
    table_grow(t, n_slots);
    node_new(t);
}

void trie_close(struct trie *t)
{
    free(t->keys);
    free(t->nodes);
    free(t->values);
    *t = (struct trie){0};
}

uint32_t trie_step(const struct trie *t, uint32_t node, uint8_t byte)
{
    uint64_t key = ((uint64_t)node << 8 | byte) + 1;
    for (size_t slot = slot_of(t, key); t->keys[slot]; slot = (slot + 1) & (t->n_slots - 1))
        if (t->keys[slot] == key)
            return t->nodes[slot];
    return TRIE_ROOT;
}

void trie_add(struct trie *t, const char *bytes, size_t size, int32_t value)
{
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)bytes[i];
        uint32_t next = trie_step(t, node, byte);
        if (next == TRIE_ROOT) {
            if (2 * t->n_nodes >= t->n_slots)
                table_grow(t, 2 * t->n_slots);
            next = node_new(t);
            uint64_t key = ((uint64_t)node << 8 | byte) + 1;
            size_t slot = slot_of(t, key);
            while (t->keys[slot])
                slot = (slot + 1) & (t->n_slots - 1);
            t->keys[slot] = key;
            t->nodes[slot] = next;
        }
        node = next;
    }
    t->values[node] = value;
}

int32_t trie_get(const struct trie *t, const char *bytes, size_t size)
{
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < size; i++) {
        node = trie_step(t, node, (uint8_t)bytes[i]);
        if (node == TRIE_ROOT)
            return TRIE_NONE;
    }
    return t->values[node];
}

int32_t trie_longest(const struct trie *t, const char *text, size_t size, size_t *length)
{
    int32_t best = TRIE_NONE;
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < size; i++) {
        node = trie_step(t, node, (uint8_t)text[i]);
        if (node == TRIE_ROOT)
            break;
        if (t->values[node] != TRIE_NONE) {
            best = t->values[node];
            *length = i + 1;
        }
    }
    return best;
}
