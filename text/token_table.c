/* Hash table with linear probing over FNV-1a, at most half full. */
#include "text/token_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t hash_of(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32);
}

/* The slot that holds this text, or the free one where it belongs. */
static size_t slot_find(const struct token_table *t, const char *text, size_t size)
{
    size_t slot = hash_of(text, size) & (t->n_slots - 1);
    for (; t->slots[slot]; slot = (slot + 1) & (t->n_slots - 1)) {
        const struct token_entry *e = &t->entries[t->slots[slot] - 1];
        if (e->size == size && memcmp(t->text.data + e->offset, text, size) == 0)
            break;
    }
    return slot;
}

static void slots_grow(struct token_table *t, size_t n_slots)
{
    free(t->slots);
    t->slots = xcalloc(n_slots, sizeof *t->slots);
    t->n_slots = n_slots;
    for (size_t i = 0; i < t->n_entries; i++) {
        const struct token_entry *e = &t->entries[i];
        t->slots[slot_find(t, t->text.data + e->offset, e->size)] = (uint32_t)i + 1;
    }
}

void token_table_open(struct token_table *t, size_t expected_tokens)
{
    *t = (struct token_table){0};
    size_t n_slots = 64;
    while (n_slots < 2 * expected_tokens)
        n_slots *= 2;
    slots_grow(t, n_slots);
    buf_puts(&t->text, ""); /* so that data is never NULL */
}

void token_table_close(struct token_table *t)
{
    buf_free(&t->text);
    free(t->entries);
    free(t->slots);
    free(t->by_id);
    *t = (struct token_table){0};
}

static void set_by_id(struct token_table *t, int32_t id, int32_t entry)
{
    if ((size_t)id >= t->n_ids) {
        size_t n = t->n_ids ? t->n_ids : 1024;
        while (n <= (size_t)id)
            n *= 2;
        t->by_id = xrealloc(t->by_id, n * sizeof *t->by_id);
        for (size_t i = t->n_ids; i < n; i++)
            t->by_id[i] = -1;
        t->n_ids = n;
    }
    t->by_id[id] = entry;
}

void token_table_add(struct token_table *t, const char *text, size_t size, int32_t id)
{
    assert(id >= 0 && id <= TOKEN_ID_MAX && size <= UINT32_MAX);
    if (2 * (t->n_entries + 1) > t->n_slots)
        slots_grow(t, 2 * t->n_slots);
    size_t slot = slot_find(t, text, size);
    if (t->slots[slot]) {
        t->entries[t->slots[slot] - 1].id = id;
        set_by_id(t, id, (int32_t)t->slots[slot] - 1);
        return;
    }
    if (t->n_entries == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 1024;
        t->entries = xrealloc(t->entries, t->capacity * sizeof *t->entries);
    }
    t->entries[t->n_entries++] = (struct token_entry){t->text.size, (uint32_t)size, id};
    buf_append(&t->text, text, size);
    t->slots[slot] = (uint32_t)t->n_entries;
    set_by_id(t, id, (int32_t)t->n_entries - 1);
}

int32_t token_table_find(const struct token_table *t, const char *text, size_t size)
{
    uint32_t entry = t->slots[slot_find(t, text, size)];
    return entry ? t->entries[entry - 1].id : -1;
}

const char *token_table_text(const struct token_table *t, int32_t id, size_t *size)
{
    if (id < 0 || (size_t)id >= t->n_ids || t->by_id[id] < 0)
        return NULL;
    const struct token_entry *e = &t->entries[t->by_id[id]];
    *size = e->size;
    return t->text.data + e->offset;
}
