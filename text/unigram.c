/* Viterbi over byte positions: a node is the best way to get to a position. */
#include "text/unigram.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "text/unicode.h"

#define UNKNOWN_PENALTY 10.0 /* an unknown character scores this much below the worst token */
#define BYTES_PER_TOKEN 8    /* of the trie, roughly; only a first size of its table */

struct unigram_node {
    double score;
    int32_t id;   /* token that ends here; -1: not reached */
    size_t start; /* where it begins */
};

void unigram_open(struct unigram *u, size_t expected_tokens)
{
    *u = (struct unigram){.min_score = HUGE_VAL};
    trie_open(&u->trie, BYTES_PER_TOKEN * expected_tokens);
}

void unigram_close(struct unigram *u)
{
    trie_close(&u->trie);
    free(u->scores);
    *u = (struct unigram){0};
}

void unigram_add(struct unigram *u, const char *text, size_t size, double score)
{
    if (u->n_tokens == u->capacity) {
        u->capacity = u->capacity ? 2 * u->capacity : 1024;
        u->scores = xrealloc(u->scores, u->capacity * sizeof *u->scores);
    }
    trie_add(&u->trie, text, size, (int32_t)u->n_tokens);
    u->scores[u->n_tokens++] = score;
    if (score < u->min_score)
        u->min_score = score;
}

static void reach(struct unigram_node *node, double score, int32_t id, size_t start)
{
    if (node->id < 0 || score > node->score)
        *node = (struct unigram_node){score, id, start};
}

static void find_best_paths(const struct unigram *u, const char *text, size_t size,
                            struct unigram_node *nodes)
{
    double unknown_score = u->min_score - UNKNOWN_PENALTY;
    for (size_t i = 0; i <= size; i++)
        nodes[i] = (struct unigram_node){.id = -1};
    for (size_t at = 0; at < size;) {
        uint32_t code, node = TRIE_ROOT;
        size_t character = utf8_decode(text + at, size - at, &code);
        bool has_character = false; /* the character itself is a token */
        double before = nodes[at].score;
        for (size_t end = at; end < size;) {
            node = trie_step(&u->trie, node, (uint8_t)text[end++]);
            if (node == TRIE_ROOT)
                break;
            int32_t id = u->trie.values[node];
            if (id == TRIE_NONE)
                continue;
            reach(&nodes[end], u->scores[id] + before, id, at);
            has_character |= end - at == character;
        }
        if (!has_character)
            reach(&nodes[at + character], unknown_score + before, u->unknown_id, at);
        at += character;
    }
}

void unigram_encode(const struct unigram *u, const char *text, size_t size,
                    struct unigram_scratch *scratch, struct token_ids *out)
{
    if (size + 1 > scratch->capacity) {
        scratch->capacity = size + 1 < 256 ? 256 : size + 1;
        scratch->nodes = xrealloc(scratch->nodes, scratch->capacity * sizeof *scratch->nodes);
    }
    find_best_paths(u, text, size, scratch->nodes);
    struct token_ids *reversed = &scratch->reversed;
    reversed->n_ids = 0;
    for (size_t end = size; end > 0;) {
        const struct unigram_node *node = &scratch->nodes[end];
        int32_t id = node->id;
        size_t start = node->start;
        if (id == u->unknown_id) { /* a run of unknowns is one token, unless that is known */
            while (start > 0 && scratch->nodes[start].id == u->unknown_id)
                start = scratch->nodes[start].start;
            int32_t known = trie_get(&u->trie, text + start, end - start);
            id = known == TRIE_NONE ? u->unknown_id : known;
        }
        token_ids_push(reversed, id);
        end = start;
    }
    for (size_t i = reversed->n_ids; i-- > 0;)
        token_ids_push(out, reversed->ids[i]);
}

void unigram_scratch_free(struct unigram_scratch *scratch)
{
    free(scratch->nodes);
    token_ids_free(&scratch->reversed);
    *scratch = (struct unigram_scratch){0};
}
