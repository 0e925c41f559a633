/* GPT-2's tokenizer: words by its pattern, bytes merged, nothing around them. The built-in
 * vocabulary is the published one; see text/data/README.md.
 *
 * Source: GPT2Tokenizer of transformers 5, encoder.py of the GPT-2 release. */
#include <string.h>

#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/gpt2_merges.h"
#include "text/tokenizer_kind.h"
#include "text/unicode.h"
#include "text/word_split.h"

#define END_OF_TEXT "<|endoftext|>"

static void gpt2_encode(const struct tokenizer *t, const char *text, size_t size,
                        struct token_ids *out)
{
    struct bpe_scratch scratch = {0};
    struct buf spaced = {0};
    if (t->add_prefix_space && size > 0 && text[0] != ' ') {
        buf_putc(&spaced, ' ');
        buf_append(&spaced, text, size);
        text = spaced.data;
        size = spaced.size;
    }
    for (size_t at = 0; at < size;) {
        size_t n = word_split_gpt2(text + at, size - at);
        bpe_encode(t->model, text + at, n, -1, &scratch, out);
        at += n;
    }
    buf_free(&spaced);
    bpe_scratch_free(&scratch);
}

static const char *token_text(const struct tokenizer *t, int32_t id, size_t *size)
{
    for (size_t i = 0; i < t->added.n_tokens; i++)
        if (t->added.tokens[i].id == id) {
            *size = strlen(t->added.tokens[i].content);
            return t->added.tokens[i].content;
        }
    return token_table_text(bpe_tokens(t->model), id, size);
}

static void gpt2_decode(const struct tokenizer *t, const int32_t *ids, size_t n_ids,
                        struct buf *out)
{
    struct buf bytes = {0};
    for (size_t i = 0; i < n_ids; i++) {
        size_t size = 0;
        const char *token = token_text(t, ids[i], &size);
        if (token && !byte_alphabet_decode(&bytes, token, size))
            buf_append(&bytes, token, size);
    }
    utf8_append_valid(out, bytes.data, bytes.size);
    buf_free(&bytes);
}

static int32_t gpt2_find(const struct tokenizer *t, const char *token)
{
    return token_table_find(bpe_tokens(t->model), token, strlen(token));
}

static size_t gpt2_size(const struct tokenizer *t) { return bpe_tokens(t->model)->n_entries; }
static void gpt2_close(void *model) { bpe_close(model); }

static const struct tokenizer_kind GPT2 = {
    .encode = gpt2_encode,
    .decode = gpt2_decode,
    .find = gpt2_find,
    .size = gpt2_size,
    .close = gpt2_close,
};

bool tokenizer_open_gpt2(struct tokenizer **out, const char *folder, struct error *err)
{
    static const struct token_defaults DEFAULTS = {
        .special =
            {[SPECIAL_BOS] = END_OF_TEXT, [SPECIAL_EOS] = END_OF_TEXT, [SPECIAL_UNK] = END_OF_TEXT},
    };
    struct token_config config;
    struct bpe *bpe = NULL;
    if (!token_config_read(&config, folder, &DEFAULTS, err))
        return false;
    if (bpe_open_folder(&bpe, folder, "", err)) {
        *out = tokenizer_new(&GPT2, bpe);
        tokenizer_configure(*out, &config);
    }
    token_config_free(&config);
    return bpe != NULL;
}

bool tokenizer_open_gpt2_builtin(struct tokenizer **out, struct error *err)
{
    (void)err; /* nothing can be wrong with what is linked in */
    struct added_token end = {.content = (char[]){END_OF_TEXT}};
    struct token_config config = {.added = &end, .n_added = 1};
    config.special[SPECIAL_EOS] = end.content;
    *out = tokenizer_new(&GPT2, bpe_open_pairs(GPT2_MERGES, GPT2_N_MERGES));
    tokenizer_configure(*out, &config);
    return true;
}
