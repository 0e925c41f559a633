/* CLIP's tokenizer: compose (NFC), every run of white space to one space, lower case; words by
 * CLIP's pattern, then by GPT-2's (which only cuts written-out special tokens apart again); bytes
 * merged with "</w>" on the last one; start and end token around it all.
 *
 * Source: CLIPTokenizer of transformers 5. */
#include <string.h>

#include "text/bpe.h"
#include "text/tokenizer_kind.h"
#include "text/unicode.h"
#include "text/word_split.h"

static void clip_normalize(const struct tokenizer *t, const char *text, size_t size,
                           struct buf *out)
{
    (void)t;
    struct buf composed = {0};
    unicode_append_nfc(&composed, text, size);
    bool in_space = false;
    for (size_t i = 0; i < composed.size;) {
        uint32_t code;
        i += utf8_decode(composed.data + i, composed.size - i, &code);
        bool is_space = unicode_is_space(code);
        if (!is_space)
            unicode_append_lower(out, code);
        else if (!in_space)
            buf_putc(out, ' ');
        in_space = is_space;
    }
    buf_free(&composed);
}

static void clip_encode(const struct tokenizer *t, const char *text, size_t size,
                        struct token_ids *out)
{
    struct bpe_scratch scratch = {0};
    for (size_t at = 0; at < size;) {
        size_t space = 0, length = word_split_clip(text + at, size - at, &space);
        for (size_t end = at + length; at < end;) {
            size_t n = word_split_gpt2(text + at, end - at);
            bpe_encode(t->model, text + at, n, t->unknown_id, &scratch, out);
            at += n;
        }
        at += space;
    }
    bpe_scratch_free(&scratch);
}

static int32_t clip_find(const struct tokenizer *t, const char *token)
{
    return token_table_find(bpe_tokens(t->model), token, strlen(token));
}

static size_t clip_size(const struct tokenizer *t) { return bpe_tokens(t->model)->n_entries; }
static void clip_close(void *model) { bpe_close(model); }

static const struct tokenizer_kind CLIP = {
    .normalize = clip_normalize,
    .encode = clip_encode,
    .find = clip_find,
    .size = clip_size,
    .close = clip_close,
};

bool tokenizer_open_clip(struct tokenizer **out, const char *folder, struct error *err)
{
    static const struct token_defaults DEFAULTS = {
        .special = {[SPECIAL_BOS] = "<|startoftext|>",
                    [SPECIAL_EOS] = "<|endoftext|>",
                    [SPECIAL_UNK] = "<|endoftext|>",
                    [SPECIAL_PAD] = "<|endoftext|>"},
    };
    struct token_config config;
    struct bpe *bpe = NULL;
    if (!token_config_read(&config, folder, &DEFAULTS, err))
        return false;
    if (bpe_open_folder(&bpe, folder, "</w>", err)) {
        struct tokenizer *t = tokenizer_new(&CLIP, bpe);
        tokenizer_configure(t, &config);
        t->first_id = tokenizer_find(t, config.special[SPECIAL_BOS]);
        t->last_id = t->end_id;
        *out = t;
    }
    token_config_free(&config);
    return bpe != NULL;
}
