/* A tokenizer without a vocabulary: words are cut into pieces of a usual length and hashed. */
#include <stdlib.h>

#include "text/tokenizer_kind.h"
#include "text/unicode.h"

/* Longest piece of a word: near the mean length of T5's tokens in English text. */
enum { PIECE_CHARACTERS = 5 };

struct synthetic {
    int32_t low, n_ids; /* ids of pieces are low .. low + n_ids - 1 */
    size_t vocabulary_size;
};

/* FNV-1a. */
static uint32_t hash(const char *text, size_t size)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

static void push_piece(const struct synthetic *s, const char *text, size_t size,
                       struct token_ids *out)
{
    if (size > 0)
        token_ids_push(out, s->low + (int32_t)(hash(text, size) % (uint32_t)s->n_ids));
}

static void synthetic_encode(const struct tokenizer *t, const char *text, size_t size,
                             struct token_ids *out)
{
    size_t start = 0, at = 0;
    int n_characters = 0;
    while (at < size) {
        uint32_t code;
        size_t n = utf8_decode(text + at, size - at, &code);
        bool is_space = unicode_is_space(code);
        if (is_space || n_characters == PIECE_CHARACTERS) {
            push_piece(t->model, text + start, at - start, out);
            start = is_space ? at + n : at;
            n_characters = 0;
        }
        n_characters += !is_space;
        at += n;
    }
    push_piece(t->model, text + start, at - start, out);
}

static int32_t synthetic_find(const struct tokenizer *t, const char *token)
{
    (void)t, (void)token;
    return -1;
}

static size_t synthetic_size(const struct tokenizer *t)
{
    const struct synthetic *s = t->model;
    return s->vocabulary_size;
}

static const struct tokenizer_kind SYNTHETIC = {
    .encode = synthetic_encode,
    .find = synthetic_find,
    .size = synthetic_size,
    .close = free,
};

static bool open_synthetic(struct tokenizer **out, int64_t vocabulary_size, int32_t low,
                           int32_t n_special, int64_t max_length, struct error *err)
{
    if (vocabulary_size <= n_special || vocabulary_size > INT32_MAX) {
        return fail(err, ERR_INVALID,
                    "a vocabulary of %lld tokens: must have more than the %d special ones",
                    (long long)vocabulary_size, (int)n_special);
    }
    struct synthetic *s = xcalloc(1, sizeof *s);
    *s = (struct synthetic){.low = low,
                            .n_ids = (int32_t)vocabulary_size - n_special,
                            .vocabulary_size = (size_t)vocabulary_size};
    *out = tokenizer_new(&SYNTHETIC, s);
    (*out)->max_length = max_length;
    return true;
}

bool tokenizer_open_synthetic_clip(struct tokenizer **out, int64_t vocabulary_size,
                                   int64_t max_length, struct error *err)
{
    enum { N_SPECIAL = 2 }; /* start and end are the last two, as in CLIP's own vocabulary */
    if (!open_synthetic(out, vocabulary_size, 0, N_SPECIAL, max_length, err))
        return error_prefix(err, "CLIP");
    struct tokenizer *t = *out;
    t->first_id = (int32_t)vocabulary_size - 2;
    t->last_id = t->end_id = t->pad_id = t->unknown_id = (int32_t)vocabulary_size - 1;
    return true;
}

bool tokenizer_open_synthetic_t5(struct tokenizer **out, int64_t vocabulary_size,
                                 int64_t max_length, struct error *err)
{
    enum { PAD, END, UNKNOWN, N_SPECIAL };
    if (!open_synthetic(out, vocabulary_size, N_SPECIAL, N_SPECIAL, max_length, err))
        return error_prefix(err, "T5");
    struct tokenizer *t = *out;
    t->pad_id = PAD;
    t->last_id = t->end_id = END;
    t->unknown_id = UNKNOWN;
    return true;
}
