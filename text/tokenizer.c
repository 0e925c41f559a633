/* The face: cut out added tokens, normalise what is between, cut again, let the kind encode the
 * rest. The same order as the tokenizers library. */
#include "text/tokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_kind.h"
#include "text/unicode.h"

/* ---- making -------------------------------------------------------------------------------- */

struct tokenizer *tokenizer_new(const struct tokenizer_kind *kind, void *model)
{
    struct tokenizer *t = xcalloc(1, sizeof *t);
    t->kind = kind;
    t->model = model;
    t->first_id = t->last_id = t->end_id = t->pad_id = t->unknown_id = -1;
    t->vocabulary_size = kind->size(t);
    added_tokens_open(&t->added);
    return t;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    t->kind->close(t->model);
    added_tokens_close(&t->added);
    free(t);
}

int32_t tokenizer_find(const struct tokenizer *t, const char *content)
{
    if (!content)
        return -1;
    const struct added_token *token = added_tokens_find(&t->added, content);
    return token ? token->id : t->kind->find(t, content);
}

void tokenizer_configure(struct tokenizer *t, const struct token_config *config)
{
    for (size_t i = 0; i < config->n_added; i++) {
        struct added_token token = config->added[i];
        token.id = t->kind->find(t, token.content);
        if (token.id < 0)
            token.id = (int32_t)t->vocabulary_size++;
        struct buf pattern = {0};
        if (token.normalized && t->kind->normalize)
            t->kind->normalize(t, token.content, strlen(token.content), &pattern);
        else
            buf_puts(&pattern, token.content);
        token.content = xstrdup(token.content);
        added_tokens_add(&t->added, token, pattern.data, pattern.size);
        buf_free(&pattern);
    }
    t->end_id = tokenizer_find(t, config->special[SPECIAL_EOS]);
    t->pad_id = tokenizer_find(t, config->special[SPECIAL_PAD]);
    t->unknown_id = tokenizer_find(t, config->special[SPECIAL_UNK]);
    t->max_length = config->max_length;
    t->add_prefix_space = config->add_prefix_space;
}

/* ---- encoding ------------------------------------------------------------------------------ */

static void encode_normalized(const struct tokenizer *t, const char *text, size_t size,
                              struct token_ids *out)
{
    struct added_pieces cut = {0};
    added_tokens_split(&t->added, true, text, size, &cut);
    for (size_t i = 0; i < cut.n_pieces; i++) {
        const struct added_piece *piece = &cut.pieces[i];
        if (piece->token)
            token_ids_push(out, piece->token->id);
        else
            t->kind->encode(t, text + piece->start, piece->end - piece->start, out);
    }
    free(cut.pieces);
}

static void encode_raw(const struct tokenizer *t, const char *text, size_t size,
                       struct token_ids *out)
{
    struct added_pieces cut = {0};
    struct buf normal = {0};
    added_tokens_split(&t->added, false, text, size, &cut);
    for (size_t i = 0; i < cut.n_pieces; i++) {
        const struct added_piece *piece = &cut.pieces[i];
        if (piece->token) {
            token_ids_push(out, piece->token->id);
        } else if (t->kind->normalize) {
            buf_clear(&normal);
            t->kind->normalize(t, text + piece->start, piece->end - piece->start, &normal);
            encode_normalized(t, normal.data, normal.size, out);
        } else {
            encode_normalized(t, text + piece->start, piece->end - piece->start, out);
        }
    }
    buf_free(&normal);
    free(cut.pieces);
}

void tokenizer_encode(const struct tokenizer *t, const char *text, size_t size,
                      struct token_ids *out)
{
    struct buf repaired = {0};
    if (!utf8_valid(text, size)) {
        utf8_append_valid(&repaired, text, size);
        text = repaired.data;
        size = repaired.size;
    }
    if (t->first_id >= 0)
        token_ids_push(out, t->first_id);
    encode_raw(t, text, size, out);
    if (t->last_id >= 0)
        token_ids_push(out, t->last_id);
    buf_free(&repaired);
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n_ids, struct buf *out)
{
    assert(t->kind->decode);
    t->kind->decode(t, ids, n_ids, out);
}

/* ---- questions ----------------------------------------------------------------------------- */

int32_t tokenizer_end_id(const struct tokenizer *t) { return t->end_id; }
int32_t tokenizer_pad_id(const struct tokenizer *t) { return t->pad_id; }
int64_t tokenizer_max_length(const struct tokenizer *t) { return t->max_length; }
size_t tokenizer_vocabulary_size(const struct tokenizer *t) { return t->vocabulary_size; }

/* ---- ids ----------------------------------------------------------------------------------- */

void token_ids_push(struct token_ids *ids, int32_t id)
{
    if (ids->n_ids == ids->capacity) {
        ids->capacity = ids->capacity ? 2 * ids->capacity : 64;
        ids->ids = xrealloc(ids->ids, ids->capacity * sizeof *ids->ids);
    }
    ids->ids[ids->n_ids++] = id;
}

size_t token_ids_fit(struct token_ids *ids, const struct tokenizer *t, size_t length)
{
    size_t lost = ids->n_ids > length ? ids->n_ids - length : 0;
    if (lost > 0) {
        ids->n_ids = length;
        if (length > 0 && t->last_id >= 0)
            ids->ids[length - 1] = t->last_id;
    }
    while (ids->n_ids < length)
        token_ids_push(ids, t->pad_id);
    return lost;
}

void token_ids_free(struct token_ids *ids)
{
    free(ids->ids);
    *ids = (struct token_ids){0};
}
