/* Golden ids: every line of a *_cases.jsonl file must give the reference's ids.
 *
 *     tokenizer_cases                        all kinds: the part of the cases that is in the tree,
 *                                            and the whole files where the shared data is
 *     tokenizer_cases KIND FOLDER CASES...   clip, t5 or gpt2 (FOLDER may be "builtin")
 *
 * The shared data is looked for in $FLUXBENCH_SHARED, else beside the checkout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/json_string_line.h"
#include "text/tokenizer.h"

static bool tokenizer_open(struct tokenizer **t, const char *kind, const char *folder,
                           struct error *err)
{
    if (strcmp(kind, "clip") == 0)
        return tokenizer_open_clip(t, folder, err);
    if (strcmp(kind, "t5") == 0)
        return tokenizer_open_t5(t, folder, err);
    if (strcmp(kind, "gpt2") == 0)
        return strcmp(folder, "builtin") == 0 ? tokenizer_open_gpt2_builtin(t, err)
                                              : tokenizer_open_gpt2(t, folder, err);
    return fail(err, ERR_INVALID, "kind \"%s\": must be clip, t5 or gpt2", kind);
}

/* Take a line apart: the literal of its first member "text" is decoded here, since base/json.h
 * refuses the NUL that some of them hold, and the other members are parsed. */
static struct json *line_parse(const char *line, struct buf *text)
{
    static const char KEY[] = "{\"text\": \"";
    if (strncmp(line, KEY, strlen(KEY)) != 0)
        return NULL;
    const char *start = line + strlen(KEY) - 1, *end = start + 1;
    while (*end && *end != '"')
        end += end[0] == '\\' && end[1] ? 2 : 1;
    if (strncmp(end, "\", ", 3) != 0)
        return NULL;
    struct buf rest = {0};
    buf_printf(&rest, "{%s", end + 3);
    struct json *object = json_parse(rest.data, rest.size, NULL);
    buf_free(&rest);
    if (object && !json_string_line_decode(text, start, (size_t)(end + 1 - start), NULL)) {
        json_free(object);
        object = NULL;
    }
    return object;
}

/* True when ids equal object[key], or there is no such member. */
static bool ids_match(const struct token_ids *ids, const struct json *object, const char *key)
{
    const struct json *expected = json_get(object, key);
    size_t i = 0;
    if (!expected)
        return true;
    if (json_size(expected) != ids->n_ids)
        return false;
    for (const struct json *id = json_first(expected); id; id = json_next(id), i++)
        if ((double)ids->ids[i] != json_number(id))
            return false;
    return true;
}

static bool truncation_matches(const struct tokenizer *t, const struct token_ids *ids,
                               const struct json *object, size_t length)
{
    char key[32];
    snprintf(key, sizeof key, "ids_truncated_%zu", length);
    if (!json_get(object, key))
        return true;
    struct token_ids cut = {0};
    for (size_t i = 0; i < ids->n_ids; i++)
        token_ids_push(&cut, ids->ids[i]);
    size_t lost = token_ids_fit(&cut, t, length);
    bool ok = lost == ids->n_ids - length && ids_match(&cut, object, key);
    token_ids_free(&cut);
    return ok;
}

static bool line_check(const struct tokenizer *t, const char *kind, const char *line)
{
    struct buf text = {0}, back = {0};
    struct token_ids ids = {0};
    struct json *object = line_parse(line, &text);
    bool ok = object != NULL;
    if (ok) {
        tokenizer_encode(t, text.data ? text.data : "", text.size, &ids);
        ok = json_get(object, "ids") && ids_match(&ids, object, "ids") &&
             truncation_matches(t, &ids, object, 77) && truncation_matches(t, &ids, object, 512);
    }
    if (ok && strcmp(kind, "gpt2") == 0) {
        tokenizer_decode(t, ids.ids, ids.n_ids, &back);
        ok = back.size == text.size &&
             (!text.data || !back.data || memcmp(back.data, text.data, text.size) == 0);
    }
    json_free(object);
    token_ids_free(&ids);
    buf_free(&text);
    buf_free(&back);
    return ok;
}

static size_t lines_check(const struct tokenizer *t, const char *kind, const char *path, char *text)
{
    size_t n_bad = 0, n_lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        n_lines++;
        if (line_check(t, kind, line))
            continue;
        n_bad++;
        fprintf(stderr, "%s: case %zu differs: %.200s\n", path, n_lines, line);
    }
    printf("%s: %zu cases, %zu differ\n", path, n_lines, n_bad);
    return n_bad + (n_lines == 0);
}

static size_t file_check(const char *kind, const char *folder, const char *path)
{
    struct error err = {0};
    struct tokenizer *t = NULL;
    struct buf text = {0};
    size_t n_bad = 1;
    if (tokenizer_open(&t, kind, folder, &err) && file_read(&text, path, &err))
        n_bad = lines_check(t, kind, path, text.data);
    else
        fprintf(stderr, "%s\n", err.text);
    tokenizer_close(t);
    buf_free(&text);
    return n_bad;
}

static size_t kind_check(const char *shared, const char *kind, const char *folder)
{
    char *own = xasprintf("%s/tests/data/tokenizer/%s_cases.jsonl", FLUXBENCH_SOURCE_DIR, kind);
    char *whole = xasprintf("%s/tokenizer/%s_cases.jsonl", shared, kind);
    char *path = strcmp(folder, "builtin") == 0
                     ? xstrdup(folder)
                     : xasprintf("%s/models/tiny-flux-dev/%s", FLUXBENCH_SOURCE_DIR, folder);
    size_t n_bad = file_check(kind, path, own);
    if (file_exists(whole))
        n_bad += file_check(kind, path, whole);
    free(own);
    free(whole);
    free(path);
    return n_bad;
}

int main(int argc, char **argv)
{
    size_t n_bad = 0;
    const char *shared = getenv("FLUXBENCH_SHARED");
    if (argc > 3) {
        for (int i = 3; i < argc; i++)
            n_bad += file_check(argv[1], argv[2], argv[i]);
    } else if (argc == 1) {
        shared = shared ? shared : FLUXBENCH_SOURCE_DIR "/../shared";
        n_bad = kind_check(shared, "clip", "tokenizer") + kind_check(shared, "t5", "tokenizer_2") +
                kind_check(shared, "gpt2", "builtin");
    } else {
        fprintf(stderr, "usage: tokenizer_cases [clip|t5|gpt2 FOLDER CASES...]\n");
        return 2;
    }
    return n_bad ? 1 : 0;
}
