/* The two ways a byte-pair vocabulary is stored: vocab.json (token to id) with merges.txt (one
 * rule "left right" a line, best first), or tokenizer.json, whose "model" holds both. */
#include "text/bpe_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

static bool read_vocabulary(struct bpe *b, const struct json *vocabulary, struct error *err)
{
    if (!vocabulary || json_type(vocabulary) != JSON_OBJECT)
        return fail(err, ERR_INVALID, "the vocabulary must be an object of tokens and ids");
    for (const struct json *entry = json_first(vocabulary); entry; entry = json_next(entry)) {
        const char *token = json_key(entry);
        double id = json_type(entry) == JSON_NUMBER ? json_number(entry) : -1;
        if (!(id >= 0 && id <= TOKEN_ID_MAX) || id != floor(id))
            return fail(err, ERR_INVALID, "token \"%.80s\": its id must be an integer from 0 to %d",
                        token, TOKEN_ID_MAX);
        token_table_add(bpe_tokens_mutable(b), token, strlen(token), (int32_t)id);
    }
    return true;
}

/* A rule is only usable when both sides and their concatenation are tokens. */
static bool add_rule(struct bpe *b, const char *left, size_t left_size, const char *right,
                     size_t right_size, struct buf *spare, size_t place, struct error *err)
{
    const struct token_table *tokens = bpe_tokens(b);
    buf_clear(spare);
    buf_append(spare, left, left_size);
    buf_append(spare, right, right_size);
    int32_t a = token_table_find(tokens, left, left_size);
    int32_t c = token_table_find(tokens, right, right_size);
    int32_t merged = token_table_find(tokens, spare->data, spare->size);
    if (a < 0 || c < 0 || merged < 0)
        return fail(err, ERR_INVALID, "merge rule %zu: \"%.*s\" is not in the vocabulary", place,
                    (int)(a < 0   ? left_size
                          : c < 0 ? right_size
                                  : spare->size),
                    a < 0   ? left
                    : c < 0 ? right
                            : spare->data);
    bpe_add_rule(b, a, c, merged);
    return true;
}

/* "left right": exactly one space. */
static bool add_rule_line(struct bpe *b, const char *line, size_t size, struct buf *spare,
                          size_t place, struct error *err)
{
    const char *space = memchr(line, ' ', size);
    size_t left_size = space ? (size_t)(space - line) : size;
    if (!space || memchr(space + 1, ' ', size - left_size - 1))
        return fail(err, ERR_INVALID,
                    "merge rule %zu: \"%.*s\" must be two tokens with one space between", place,
                    (int)(size < 80 ? size : 80), line);
    return add_rule(b, line, left_size, space + 1, size - left_size - 1, spare, place, err);
}

static bool read_merges_text(struct bpe *b, const struct buf *text, struct error *err)
{
    static const char HEADER[] = "#version";
    struct buf spare = {0};
    bool ok = true;
    size_t place = 0;
    for (size_t at = 0; ok && at < text->size;) {
        const char *line = text->data + at;
        const char *newline = memchr(line, '\n', text->size - at);
        size_t size = newline ? (size_t)(newline - line) : text->size - at;
        at += size + 1;
        if (newline && size > 0 && line[size - 1] == '\r')
            size--;
        if (size >= strlen(HEADER) && memcmp(line, HEADER, strlen(HEADER)) == 0)
            continue;
        ok = add_rule_line(b, line, size, &spare, ++place, err);
    }
    buf_free(&spare);
    return ok;
}

static bool read_merges_json(struct bpe *b, const struct json *merges, struct error *err)
{
    if (!merges || json_type(merges) != JSON_ARRAY)
        return fail(err, ERR_INVALID, "model.merges must be an array of rules");
    struct buf spare = {0};
    bool ok = true;
    size_t place = 0;
    for (const struct json *rule = json_first(merges); ok && rule; rule = json_next(rule)) {
        const struct json *left = json_first(rule), *right = left ? json_next(left) : NULL;
        place++;
        if (json_type(rule) == JSON_STRING) {
            ok = add_rule_line(b, json_string(rule), strlen(json_string(rule)), &spare, place, err);
        } else if (json_type(rule) == JSON_ARRAY && json_size(rule) == 2 &&
                   json_type(left) == JSON_STRING && json_type(right) == JSON_STRING) {
            const char *l = json_string(left), *r = json_string(right);
            ok = add_rule(b, l, strlen(l), r, strlen(r), &spare, place, err);
        } else {
            ok = fail(err, ERR_INVALID, "model.merges[%zu] must be \"left right\" or two strings",
                      place - 1);
        }
    }
    buf_free(&spare);
    return ok;
}

static bool read_tokenizer_json(struct bpe *b, const char *path, struct error *err)
{
    struct json *root = json_read_file(path, err);
    if (!root)
        return false;
    const struct json *model = json_get(root, "model");
    const char *type = "BPE";
    bool ok = json_read_string(model, "type", &type, err);
    if (ok && strcmp(type, "BPE") != 0)
        ok = fail(err, ERR_INVALID, "model.type is \"%.40s\", must be \"BPE\"", type);
    ok = ok && read_vocabulary(b, json_get(model, "vocab"), err) &&
         read_merges_json(b, json_get(model, "merges"), err);
    if (!ok)
        error_prefix(err, "%s", path);
    json_free(root);
    return ok;
}

static bool read_vocab_and_merges(struct bpe *b, const char *vocab_path, const char *merges_path,
                                  struct error *err)
{
    struct json *root = json_read_file(vocab_path, err);
    if (!root)
        return false;
    bool ok = read_vocabulary(b, root, err) || error_prefix(err, "%s", vocab_path);
    json_free(root);
    struct buf text = {0};
    ok = ok && file_read(&text, merges_path, err) &&
         (read_merges_text(b, &text, err) || error_prefix(err, "%s", merges_path));
    buf_free(&text);
    return ok;
}

bool bpe_read_folder(struct bpe *b, const char *folder, struct error *err)
{
    char *json = xasprintf("%s/tokenizer.json", folder);
    char *vocab = xasprintf("%s/vocab.json", folder);
    char *merges = xasprintf("%s/merges.txt", folder);
    bool ok = file_exists(json) ? read_tokenizer_json(b, json, err)
                                : read_vocab_and_merges(b, vocab, merges, err);
    free(json);
    free(vocab);
    free(merges);
    return ok;
}
