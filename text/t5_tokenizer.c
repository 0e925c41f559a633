/* T5's tokenizer: the character map, cut at white space, "▁" in front of every word, unigram
 * model, end token. The vocabulary comes from tokenizer.json or, where there is none, from
 * spiece.model followed by the sentinels <extra_id_99> ... <extra_id_0>.
 *
 * Source: T5Tokenizer of transformers 5, which takes only the vocabulary and the character map
 * from the files and fixes everything else, the unknown id 2 included. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "text/charsmap.h"
#include "text/sentencepiece.h"
#include "text/tokenizer_kind.h"
#include "text/unicode.h"
#include "text/unigram.h"

#define WORD_MARK "\xe2\x96\x81" /* U+2581 */
#define WORD_MARK_SIZE 3
#define UNKNOWN_ID 2
#define DEFAULT_EXTRA_IDS 100
#define MAX_EXTRA_IDS 10000

struct t5_model {
    struct unigram unigram;
    struct charsmap charsmap;
    bool has_charsmap;
};

/* ---- encoding ------------------------------------------------------------------------------ */

static void t5_normalize(const struct tokenizer *t, const char *text, size_t size, struct buf *out)
{
    const struct t5_model *m = t->model;
    if (m->has_charsmap)
        charsmap_apply(&m->charsmap, text, size, out);
    else
        buf_append(out, text, size);
}

/* One word without white space. Marks inside begin a stretch of their own. */
static void encode_word(const struct unigram *u, const char *word, size_t size, struct buf *marked,
                        struct unigram_scratch *scratch, struct token_ids *out)
{
    buf_clear(marked);
    if (size < WORD_MARK_SIZE || memcmp(word, WORD_MARK, WORD_MARK_SIZE) != 0)
        buf_puts(marked, WORD_MARK);
    buf_append(marked, word, size);
    for (size_t at = 0; at < marked->size;) {
        size_t rest = marked->size - at;
        const char *start = marked->data + at;
        const char *next =
            memmem(start + WORD_MARK_SIZE, rest - WORD_MARK_SIZE, WORD_MARK, WORD_MARK_SIZE);
        size_t length = next ? (size_t)(next - start) : rest;
        unigram_encode(u, start, length, scratch, out);
        at += length;
    }
}

static void t5_encode(const struct tokenizer *t, const char *text, size_t size,
                      struct token_ids *out)
{
    const struct t5_model *m = t->model;
    struct unigram_scratch scratch = {0};
    struct buf marked = {0};
    size_t word = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code;
        size_t n = utf8_decode(text + at, size - at, &code);
        if (unicode_is_space(code)) {
            if (word < at)
                encode_word(&m->unigram, text + word, at - word, &marked, &scratch, out);
            word = at + n;
        }
        at += n;
    }
    if (word < size)
        encode_word(&m->unigram, text + word, size - word, &marked, &scratch, out);
    buf_free(&marked);
    unigram_scratch_free(&scratch);
}

static int32_t t5_find(const struct tokenizer *t, const char *token)
{
    const struct t5_model *m = t->model;
    int32_t id = trie_get(&m->unigram.trie, token, strlen(token));
    return id == TRIE_NONE ? -1 : id;
}

static size_t t5_size(const struct tokenizer *t)
{
    return ((const struct t5_model *)t->model)->unigram.n_tokens;
}

static void t5_close(void *model)
{
    struct t5_model *m = model;
    unigram_close(&m->unigram);
    charsmap_close(&m->charsmap);
    free(m);
}

static const struct tokenizer_kind T5 = {
    .normalize = t5_normalize,
    .encode = t5_encode,
    .find = t5_find,
    .size = t5_size,
    .close = t5_close,
};

/* ---- tokenizer.json ------------------------------------------------------------------------ */

/* [["<pad>", 0.0], ["▁the", -3.2], ...] */
static bool vocabulary_read(struct t5_model *m, const struct json *list, struct error *err)
{
    if (!list || json_type(list) != JSON_ARRAY)
        return fail(err, ERR_INVALID, "model.vocab must be an array of tokens and scores");
    size_t i = 0;
    unigram_open(&m->unigram, json_size(list));
    for (const struct json *entry = json_first(list); entry; entry = json_next(entry), i++) {
        const struct json *token = json_first(entry), *score = token ? json_next(token) : NULL;
        if (!score || json_type(token) != JSON_STRING || json_type(score) != JSON_NUMBER)
            return fail(err, ERR_INVALID, "model.vocab[%zu] must be a token and its score", i);
        const char *text = json_string(token);
        unigram_add(&m->unigram, text, strlen(text), json_number(score));
    }
    return true;
}

/* The first precompiled character map of the normalizer, which may be one of a sequence. */
static bool charsmap_read(struct t5_model *m, const struct json *normalizer, struct error *err)
{
    const struct json *sequence = json_get(normalizer, "normalizers");
    for (const struct json *node = sequence ? json_first(sequence) : normalizer; node;
         node = sequence ? json_next(node) : NULL) {
        const char *type = "", *code = NULL;
        if (json_type(node) != JSON_OBJECT)
            continue;
        if (!json_read_string(node, "type", &type, err) ||
            !json_read_string(node, "precompiled_charsmap", &code, err))
            return false;
        if (strcmp(type, "Precompiled") != 0 || !code)
            continue;
        struct buf bytes = {0};
        m->has_charsmap = base64_decode(&bytes, code, strlen(code), err) &&
                          charsmap_open(&m->charsmap, bytes.data, bytes.size, err);
        buf_free(&bytes);
        return m->has_charsmap || error_prefix(err, "normalizer");
    }
    return true;
}

static bool json_model_read(struct t5_model *m, const char *path, struct error *err)
{
    struct json *root = json_read_file(path, err);
    if (!root)
        return false;
    const struct json *model = json_get(root, "model");
    const char *type = "Unigram";
    bool ok = json_read_string(model, "type", &type, err);
    if (ok && strcmp(type, "Unigram") != 0)
        ok = fail(err, ERR_INVALID, "model.type is \"%.40s\", must be \"Unigram\"", type);
    ok = ok && vocabulary_read(m, json_get(model, "vocab"), err) &&
         charsmap_read(m, json_get(root, "normalizer"), err);
    json_free(root);
    return ok || error_prefix(err, "%s", path);
}

/* ---- spiece.model -------------------------------------------------------------------------- */

/* Tokens that the model or the kind adds whatever the configuration says. */
struct names {
    char **names; /* owned */
    size_t n_names;
};

static void names_push(struct names *list, char *name)
{
    list->names = xrealloc(list->names, (list->n_names + 1) * sizeof *list->names);
    list->names[list->n_names++] = name;
}

static bool spiece_model_read(struct t5_model *m, const char *path, int64_t n_extra_ids,
                              struct names *added, struct error *err)
{
    struct buf bytes = {0};
    struct sentencepiece s = {0};
    if (!file_read(&bytes, path, err))
        return false;
    bool ok = sentencepiece_parse(&s, bytes.data, bytes.size, err);
    if (ok && s.algorithm != ALGORITHM_UNIGRAM)
        ok = fail(err, ERR_INVALID, "model_type is %d, must be 1 (unigram)", (int)s.algorithm);
    if (ok && s.charsmap)
        ok = m->has_charsmap = charsmap_open(&m->charsmap, s.charsmap, s.charsmap_size, err);
    if (ok) {
        unigram_open(&m->unigram, s.n_pieces);
        for (size_t i = 0; i < s.n_pieces; i++) {
            const struct sentencepiece_piece *p = &s.pieces[i];
            unigram_add(&m->unigram, p->text, p->size, (double)p->score);
            if (p->type == PIECE_CONTROL || p->type == PIECE_USER_DEFINED)
                names_push(added, xstrndup(p->text, p->size));
        }
        for (int64_t i = n_extra_ids; i-- > 0;) {
            char *name = xasprintf("<extra_id_%lld>", (long long)i);
            unigram_add(&m->unigram, name, strlen(name), 0.0);
            free(name);
        }
    }
    sentencepiece_free(&s);
    buf_free(&bytes);
    return ok || error_prefix(err, "%s", path);
}

/* ---- opening ------------------------------------------------------------------------------- */

static bool extra_ids_read(const char *folder, int64_t *n_extra_ids, struct error *err)
{
    *n_extra_ids = DEFAULT_EXTRA_IDS;
    char *path = xasprintf("%s/tokenizer_config.json", folder);
    bool ok = true;
    if (file_exists(path)) {
        struct json *root = json_read_file(path, err);
        ok = root && (json_read_int(root, "extra_ids", 0, MAX_EXTRA_IDS, n_extra_ids, err) ||
                      error_prefix(err, "%s", path));
        json_free(root);
    }
    free(path);
    return ok;
}

static bool model_read(struct t5_model *m, const char *folder, int64_t n_extra_ids,
                       struct names *added, struct error *err)
{
    char *json = xasprintf("%s/tokenizer.json", folder);
    char *spiece = xasprintf("%s/spiece.model", folder);
    bool has_json = file_exists(json);
    bool ok = has_json ? json_model_read(m, json, err)
                       : spiece_model_read(m, spiece, n_extra_ids, added, err);
    if (ok && m->unigram.n_tokens <= UNKNOWN_ID)
        ok = fail(err, ERR_INVALID, "%s: %zu tokens, must be at least %d (the unknown token is %d)",
                  has_json ? json : spiece, m->unigram.n_tokens, UNKNOWN_ID + 1, UNKNOWN_ID);
    m->unigram.unknown_id = UNKNOWN_ID;
    free(json);
    free(spiece);
    return ok;
}

static bool configure(struct tokenizer *t, const char *folder, const struct names *added,
                      struct error *err)
{
    const struct token_defaults defaults = {
        .special = {[SPECIAL_EOS] = "</s>", [SPECIAL_UNK] = "<unk>", [SPECIAL_PAD] = "<pad>"},
        .extra = (const char *const *)added->names,
        .n_extra = added->n_names,
    };
    struct token_config config;
    if (!token_config_read(&config, folder, &defaults, err))
        return false;
    tokenizer_configure(t, &config);
    t->last_id = t->end_id;
    token_config_free(&config);
    return true;
}

bool tokenizer_open_t5(struct tokenizer **out, const char *folder, struct error *err)
{
    struct t5_model *m = xcalloc(1, sizeof *m);
    struct names added = {0};
    int64_t n_extra_ids;
    bool ok = extra_ids_read(folder, &n_extra_ids, err) &&
              model_read(m, folder, n_extra_ids, &added, err);
    for (int64_t i = 0; ok && i < n_extra_ids; i++)
        names_push(&added, xasprintf("<extra_id_%lld>", (long long)i));
    if (ok) {
        struct tokenizer *t = tokenizer_new(&T5, m);
        ok = configure(t, folder, &added, err);
        if (ok)
            *out = t;
        else
            tokenizer_close(t);
    } else {
        t5_close(m);
    }
    for (size_t i = 0; i < added.n_names; i++)
        free(added.names[i]);
    free(added.names);
    return ok;
}
