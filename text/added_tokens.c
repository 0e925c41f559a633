/* Follows AddedVocabulary of the tokenizers library, white space and word rules included. */
#include "text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/unicode.h"

void added_tokens_open(struct added_tokens *a)
{
    *a = (struct added_tokens){0};
    trie_open(&a->raw, 0);
    trie_open(&a->normalized, 0);
}

void added_tokens_close(struct added_tokens *a)
{
    for (size_t i = 0; i < a->n_tokens; i++)
        free(a->tokens[i].content);
    free(a->tokens);
    trie_close(&a->raw);
    trie_close(&a->normalized);
    *a = (struct added_tokens){0};
}

void added_tokens_add(struct added_tokens *a, struct added_token token, const char *pattern,
                      size_t pattern_size)
{
    size_t at = 0;
    while (at < a->n_tokens && strcmp(a->tokens[at].content, token.content) != 0)
        at++;
    if (at == a->n_tokens) {
        a->tokens = xrealloc(a->tokens, (a->n_tokens + 1) * sizeof *a->tokens);
        a->n_tokens++;
    } else {
        free(a->tokens[at].content);
    }
    a->tokens[at] = token;
    trie_add(token.normalized ? &a->normalized : &a->raw, pattern, pattern_size, (int32_t)at);
}

const struct added_token *added_tokens_find(const struct added_tokens *a, const char *content)
{
    for (size_t i = 0; i < a->n_tokens; i++)
        if (strcmp(a->tokens[i].content, content) == 0)
            return &a->tokens[i];
    return NULL;
}

/* ---- looking left and right ---------------------------------------------------------------- */

/* Start of the last character before position at > 0. */
static size_t previous(const char *text, size_t at)
{
    do
        at--;
    while (at > 0 && ((uint8_t)text[at] & 0xc0) == 0x80);
    return at;
}

static bool word_before(const char *text, size_t at)
{
    if (at == 0)
        return false;
    uint32_t code;
    size_t start = previous(text, at);
    utf8_decode(text + start, at - start, &code);
    return unicode_is_word(code);
}

static bool word_after(const char *text, size_t size, size_t at)
{
    if (at == size)
        return false;
    uint32_t code;
    utf8_decode(text + at, size - at, &code);
    return unicode_is_word(code);
}

static size_t skip_space_left(const char *text, size_t at, size_t limit)
{
    while (at > limit) {
        uint32_t code;
        size_t start = previous(text, at);
        utf8_decode(text + start, at - start, &code);
        if (!unicode_is_space(code))
            break;
        at = start;
    }
    return at > limit ? at : limit;
}

static size_t skip_space_right(const char *text, size_t size, size_t at)
{
    while (at < size) {
        uint32_t code;
        size_t n = utf8_decode(text + at, size - at, &code);
        if (!unicode_is_space(code))
            break;
        at += n;
    }
    return at;
}

/* ---- cutting ------------------------------------------------------------------------------- */

static void piece_push(struct added_pieces *out, size_t start, size_t end,
                       const struct added_token *token)
{
    if (out->n_pieces == out->capacity) {
        out->capacity = out->capacity ? 2 * out->capacity : 8;
        out->pieces = xrealloc(out->pieces, out->capacity * sizeof *out->pieces);
    }
    out->pieces[out->n_pieces++] = (struct added_piece){start, end, token};
}

void added_tokens_split(const struct added_tokens *a, bool normalized, const char *text,
                        size_t size, struct added_pieces *out)
{
    const struct trie *trie = normalized ? &a->normalized : &a->raw;
    size_t done = 0; /* text before this is in some piece */
    for (size_t at = 0; at < size && trie->n_nodes > 1;) {
        size_t length = 0;
        int32_t found = trie_longest(trie, text + at, size - at, &length);
        if (found == TRIE_NONE) {
            at++;
            continue;
        }
        const struct added_token *token = &a->tokens[found];
        size_t start = at, end = at + length;
        at = end; /* a refused match is not tried again inside */
        if (token->single_word && (word_before(text, start) || word_after(text, size, end)))
            continue;
        /* White space that the token before has taken is no longer there to take. */
        if (token->lstrip)
            start = skip_space_left(text, start, done < start ? done : start);
        if (token->rstrip)
            end = skip_space_right(text, size, end);
        if (done < start)
            piece_push(out, done, start, NULL);
        piece_push(out, start, end, token);
        done = end;
    }
    if (done < size)
        piece_push(out, done, size, NULL);
}
