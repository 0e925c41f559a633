/* The merge engine: symbols of a word in a doubly linked list, candidate merges in a heap ordered
 * by rank, then position. An entry of the heap is stale when its pair is no longer there; it is
 * dropped when it comes up. Source: Word::merge_all of the tokenizers library. */
#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/bpe_rules.h"
#include "text/byte_alphabet.h"
#include "text/unicode.h"

struct merge_rule {
    uint64_t pair; /* left << 32 | right, plus 1; 0: free slot */
    uint32_t rank;
    int32_t merged;
};

struct bpe {
    struct token_table tokens;
    struct merge_rule *rules; /* hash table with linear probing */
    size_t n_rules, n_slots;
    int32_t byte_id[256], last_byte_id[256]; /* -1: not in the vocabulary */
};

struct bpe_symbol {
    int32_t id; /* -1: merged into its left neighbour */
    int32_t previous, next;
};

struct bpe_merge {
    uint32_t rank;
    int32_t position, merged;
};

#define NONE (-1)

/* ---- rules --------------------------------------------------------------------------------- */

static size_t rule_slot(const struct bpe *b, uint64_t pair)
{
    size_t slot = (size_t)((pair * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (b->n_slots - 1);
    while (b->rules[slot].pair && b->rules[slot].pair != pair)
        slot = (slot + 1) & (b->n_slots - 1);
    return slot;
}

static uint64_t pair_of(int32_t left, int32_t right)
{
    return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
}

static const struct merge_rule *rule_find(const struct bpe *b, int32_t left, int32_t right)
{
    const struct merge_rule *rule = &b->rules[rule_slot(b, pair_of(left, right))];
    return rule->pair ? rule : NULL;
}

static void rules_reserve(struct bpe *b, size_t n_rules)
{
    size_t n_slots = 64;
    while (n_slots < 2 * n_rules)
        n_slots *= 2;
    if (n_slots <= b->n_slots)
        return;
    struct merge_rule *old = b->rules;
    size_t n_old = b->n_slots;
    b->rules = xcalloc(n_slots, sizeof *b->rules);
    b->n_slots = n_slots;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].pair)
            b->rules[rule_slot(b, old[i].pair)] = old[i];
    free(old);
}

/* The rank of a rule is its place in the list; of two rules for one pair the later one counts. */
void bpe_add_rule(struct bpe *b, int32_t left, int32_t right, int32_t merged)
{
    rules_reserve(b, b->n_rules + 1);
    uint64_t pair = pair_of(left, right);
    b->rules[rule_slot(b, pair)] = (struct merge_rule){pair, (uint32_t)b->n_rules, merged};
    b->n_rules++;
}

/* ---- opening ------------------------------------------------------------------------------- */

static void find_bytes(struct bpe *b, const char *suffix)
{
    for (int byte = 0; byte < 256; byte++) {
        struct buf text = {0};
        utf8_append(&text, byte_alphabet_code((uint8_t)byte));
        b->byte_id[byte] = token_table_find(&b->tokens, text.data, text.size);
        buf_puts(&text, suffix);
        b->last_byte_id[byte] = token_table_find(&b->tokens, text.data, text.size);
        buf_free(&text);
    }
}

struct token_table *bpe_tokens_mutable(struct bpe *b) { return &b->tokens; }
const struct token_table *bpe_tokens(const struct bpe *b) { return &b->tokens; }

bool bpe_open_folder(struct bpe **out, const char *folder, const char *suffix, struct error *err)
{
    struct bpe *b = xcalloc(1, sizeof *b);
    token_table_open(&b->tokens, 0);
    rules_reserve(b, 1);
    if (!bpe_read_folder(b, folder, err)) {
        bpe_close(b);
        return false;
    }
    find_bytes(b, suffix);
    *out = b;
    return true;
}

struct bpe *bpe_open_pairs(const uint16_t (*pairs)[2], size_t n_pairs)
{
    struct bpe *b = xcalloc(1, sizeof *b);
    token_table_open(&b->tokens, 256 + n_pairs);
    rules_reserve(b, n_pairs);
    struct buf text = {0};
    for (int32_t i = 0; i < 256; i++) {
        buf_clear(&text);
        utf8_append(&text, byte_alphabet_code(byte_alphabet_nth((size_t)i)));
        token_table_add(&b->tokens, text.data, text.size, i);
    }
    for (size_t i = 0; i < n_pairs; i++) {
        buf_clear(&text);
        for (int side = 0; side < 2; side++) {
            size_t size = 0;
            const char *part = token_table_text(&b->tokens, pairs[i][side], &size);
            buf_append(&text, part, size);
        }
        int32_t id = (int32_t)(256 + i);
        token_table_add(&b->tokens, text.data, text.size, id);
        bpe_add_rule(b, pairs[i][0], pairs[i][1], id);
    }
    buf_free(&text);
    find_bytes(b, "");
    return b;
}

void bpe_close(struct bpe *b)
{
    if (!b)
        return;
    token_table_close(&b->tokens);
    free(b->rules);
    free(b);
}

/* ---- the heap of candidate merges ---------------------------------------------------------- */

static bool comes_before(const struct bpe_merge *a, const struct bpe_merge *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static void heap_push(struct bpe_scratch *s, struct bpe_merge merge)
{
    if (s->n_heap == s->heap_capacity) {
        s->heap_capacity = s->heap_capacity ? 2 * s->heap_capacity : 64;
        s->heap = xrealloc(s->heap, s->heap_capacity * sizeof *s->heap);
    }
    size_t at = s->n_heap++;
    while (at > 0 && comes_before(&merge, &s->heap[(at - 1) / 2])) {
        s->heap[at] = s->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->heap[at] = merge;
}

static struct bpe_merge heap_pop(struct bpe_scratch *s)
{
    struct bpe_merge top = s->heap[0], last = s->heap[--s->n_heap];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= s->n_heap)
            break;
        if (child + 1 < s->n_heap && comes_before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!comes_before(&s->heap[child], &last))
            break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return top;
}

/* ---- encoding ------------------------------------------------------------------------------ */

static void propose(const struct bpe *b, struct bpe_scratch *s, int32_t left, int32_t right)
{
    const struct merge_rule *rule = rule_find(b, s->symbols[left].id, s->symbols[right].id);
    if (rule)
        heap_push(s, (struct bpe_merge){rule->rank, left, rule->merged});
}

/* One symbol per byte that the vocabulary knows; returns how many. */
static int32_t symbols_fill(const struct bpe *b, const char *word, size_t size, int32_t unknown_id,
                            struct bpe_scratch *s)
{
    if (size > s->symbols_capacity) {
        s->symbols_capacity = size < 64 ? 64 : size;
        s->symbols = xrealloc(s->symbols, s->symbols_capacity * sizeof *s->symbols);
    }
    int32_t n = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)word[i];
        int32_t id = i + 1 == size ? b->last_byte_id[byte] : b->byte_id[byte];
        if (id < 0)
            id = unknown_id;
        if (id < 0)
            continue;
        s->symbols[n] = (struct bpe_symbol){id, n - 1, n + 1};
        n++;
    }
    if (n > 0)
        s->symbols[n - 1].next = NONE;
    return n;
}

static void merge_all(const struct bpe *b, struct bpe_scratch *s)
{
    while (s->n_heap > 0) {
        struct bpe_merge top = heap_pop(s);
        struct bpe_symbol *left = &s->symbols[top.position];
        if (left->id < 0 || left->next == NONE)
            continue;
        struct bpe_symbol *right = &s->symbols[left->next];
        const struct merge_rule *rule = rule_find(b, left->id, right->id);
        if (!rule || rule->merged != top.merged)
            continue;
        left->id = top.merged;
        left->next = right->next;
        right->id = NONE;
        if (left->next != NONE) {
            s->symbols[left->next].previous = top.position;
            propose(b, s, top.position, left->next);
        }
        if (left->previous != NONE)
            propose(b, s, left->previous, top.position);
    }
}

void bpe_encode(const struct bpe *b, const char *word, size_t size, int32_t unknown_id,
                struct bpe_scratch *scratch, struct token_ids *out)
{
    int32_t n = symbols_fill(b, word, size, unknown_id, scratch);
    scratch->n_heap = 0;
    for (int32_t i = 0; i + 1 < n; i++)
        propose(b, scratch, i, i + 1);
    merge_all(b, scratch);
    for (int32_t i = 0; i < n; i++)
        if (scratch->symbols[i].id >= 0)
            token_ids_push(out, scratch->symbols[i].id);
}

void bpe_scratch_free(struct bpe_scratch *scratch)
{
    free(scratch->symbols);
    free(scratch->heap);
    *scratch = (struct bpe_scratch){0};
}
