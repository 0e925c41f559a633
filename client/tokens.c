#include "client/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "text/tokenizer.h"

struct tokens {
    struct tokenizer *tokenizer;
    size_t n_special; /* added around every text */
};

/* True when the folder has the file. */
static bool has_file(const char *folder, const char *name)
{
    char *path = xasprintf("%s/%s", folder, name);
    bool exists = file_exists(path);
    free(path);
    return exists;
}

/* CLIP and gpt2 have the same two files; only the configuration beside them tells. */
static bool is_clip(const char *folder)
{
    char *path = xasprintf("%s/tokenizer_config.json", folder);
    struct json *config = file_exists(path) ? json_read_file(path, NULL) : NULL;
    const char *class = NULL;
    bool found = config && json_read_string(config, "tokenizer_class", &class, NULL) && class &&
                 strncmp(class, "CLIP", 4) == 0;
    json_free(config);
    free(path);
    return found;
}

static bool open_folder(struct tokens *t, const char *folder, struct error *err)
{
    if (!file_exists(folder))
        return fail_field(err, "--tokenizer",
                          "--tokenizer is '%s': no such folder; must be gpt2, none or a folder",
                          folder);
    if (has_file(folder, "vocab.json") && has_file(folder, "merges.txt"))
        return is_clip(folder) ? tokenizer_open_clip(&t->tokenizer, folder, err)
                               : tokenizer_open_gpt2(&t->tokenizer, folder, err);
    if (has_file(folder, "tokenizer.json") || has_file(folder, "spiece.model"))
        return tokenizer_open_t5(&t->tokenizer, folder, err);
    return fail_field(err, "--tokenizer",
                      "--tokenizer is '%s': the folder has neither vocab.json with merges.txt nor "
                      "tokenizer.json nor spiece.model",
                      folder);
}

static size_t count_ids(const struct tokens *t, const char *text, size_t size)
{
    struct token_ids ids = {0};
    tokenizer_encode(t->tokenizer, text, size, &ids);
    size_t n = ids.n_ids;
    token_ids_free(&ids);
    return n;
}

bool tokens_open(struct tokens **out, const char *name, struct error *err)
{
    *out = NULL;
    if (strcmp(name, "none") == 0)
        return true;
    bool is_builtin = strcmp(name, "gpt2") == 0 || strcmp(name, "builtin") == 0;
    struct tokens *t = xcalloc(1, sizeof *t);
    bool ok =
        is_builtin ? tokenizer_open_gpt2_builtin(&t->tokenizer, err) : open_folder(t, name, err);
    if (!ok) {
        tokens_close(t);
        return false;
    }
    t->n_special = count_ids(t, "", 0);
    *out = t;
    return true;
}

void tokens_close(struct tokens *t)
{
    if (!t)
        return;
    tokenizer_close(t->tokenizer);
    free(t);
}

int64_t tokens_count(const struct tokens *t, const char *text, size_t size)
{
    return (int64_t)(count_ids(t, text, size) - t->n_special);
}
