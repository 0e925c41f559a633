/* The order of sources follows transformers 5: a tokenizer_config.json with added_tokens_decoder
 * is complete; otherwise special_tokens_map.json overrides its roles, and added tokens come from
 * added_tokens.json and tokenizer.json. Special tokens are not normalised unless a file says so. */
#include "text/token_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

static const char *const ROLE_KEYS[N_SPECIAL_ROLES] = {
    [SPECIAL_BOS] = "bos_token",   [SPECIAL_EOS] = "eos_token", [SPECIAL_UNK] = "unk_token",
    [SPECIAL_SEP] = "sep_token",   [SPECIAL_PAD] = "pad_token", [SPECIAL_CLS] = "cls_token",
    [SPECIAL_MASK] = "mask_token",
};

/* Above this a length means "none"; transformers writes 1e30. */
#define MAX_LENGTH_LIMIT 1e9

/* Tokens while they are collected: by content, with the id under which a file lists them. */
struct listed_token {
    struct added_token token;
    double listed_id; /* sort key; INFINITY: a role or an extra token, after the listed ones */
    bool is_listed;
};

struct reader {
    struct token_config *config;
    struct listed_token *listed;
    size_t n_listed;
    struct added_token roles[N_SPECIAL_ROLES]; /* content owned by config->special */
    bool has_extra;                            /* the files name additional special tokens */
};

/* ---- collecting ---------------------------------------------------------------------------- */

static struct listed_token *listed_find(struct reader *r, const char *content)
{
    for (size_t i = 0; i < r->n_listed; i++)
        if (strcmp(r->listed[i].token.content, content) == 0)
            return &r->listed[i];
    return NULL;
}

static void listed_add(struct reader *r, struct added_token token, double id)
{
    if (token.content[0] == '\0')
        return;
    struct listed_token *known = listed_find(r, token.content);
    if (known) {
        char *content = known->token.content;
        known->token = token;
        known->token.content = content;
        known->listed_id = id;
        return;
    }
    r->listed = xrealloc(r->listed, (r->n_listed + 1) * sizeof *r->listed);
    token.content = xstrdup(token.content);
    r->listed[r->n_listed++] = (struct listed_token){.token = token, .listed_id = id};
}

/* A token as files write it: a string, or an object with its content and how it matches. What is
 * returned borrows its content from the tree. */
static bool token_parse(const struct json *node, struct added_token *token, struct error *err)
{
    *token = (struct added_token){0};
    if (json_type(node) == JSON_STRING) {
        token->content = (char *)(uintptr_t)json_string(node);
        return true;
    }
    if (json_type(node) != JSON_OBJECT) {
        fail(err, ERR_INVALID, "a token must be a string or an object, not %s",
             json_type_name(json_type(node)));
        return false; /* as a constant, for the analyser */
    }
    const char *content = NULL;
    bool special = true;
    if (!json_read_string(node, "content", &content, err) ||
        !json_read_bool(node, "special", &special, err))
        return false;
    token->normalized = !special;
    if (!json_read_bool(node, "single_word", &token->single_word, err) ||
        !json_read_bool(node, "lstrip", &token->lstrip, err) ||
        !json_read_bool(node, "rstrip", &token->rstrip, err) ||
        !json_read_bool(node, "normalized", &token->normalized, err))
        return false;
    if (!content) {
        fail(err, ERR_INVALID, "a token object must have \"content\"");
        return false;
    }
    token->content = (char *)(uintptr_t)content;
    return true;
}

static void role_set(struct reader *r, enum special_role role, struct added_token token)
{
    free(r->config->special[role]);
    r->config->special[role] = xstrdup(token.content);
    token.content = r->config->special[role];
    r->roles[role] = token;
}

/* The roles that an object of a file fills. */
static bool roles_read(struct reader *r, const struct json *object, struct error *err)
{
    for (enum special_role role = 0; role < N_SPECIAL_ROLES; role++) {
        const struct json *node = json_get(object, ROLE_KEYS[role]);
        struct added_token token;
        if (!node || json_type(node) == JSON_NULL)
            continue;
        if (!token_parse(node, &token, err))
            return error_prefix(err, "%s", ROLE_KEYS[role]);
        role_set(r, role, token);
    }
    return true;
}

static bool extra_read(struct reader *r, const struct json *object, struct error *err)
{
    static const char *const KEYS[] = {"additional_special_tokens", "extra_special_tokens"};
    for (size_t k = 0; k < 2; k++) {
        const struct json *list = json_get(object, KEYS[k]);
        if (!list || (json_type(list) != JSON_ARRAY && json_type(list) != JSON_OBJECT))
            continue;
        for (const struct json *node = json_first(list); node; node = json_next(node)) {
            struct added_token token;
            if (!token_parse(node, &token, err))
                return error_prefix(err, "%s", KEYS[k]);
            r->has_extra = true;
            if (!listed_find(r, token.content))
                listed_add(r, token, INFINITY);
        }
    }
    return true;
}

/* ---- the files ----------------------------------------------------------------------------- */

/* {"49406": {"content": ...}, ...} */
static bool decoder_read(struct reader *r, const struct json *decoder, struct error *err)
{
    if (json_type(decoder) != JSON_OBJECT)
        return fail(err, ERR_INVALID, "added_tokens_decoder must be an object, not %s",
                    json_type_name(json_type(decoder)));
    for (const struct json *node = json_first(decoder); node; node = json_next(node)) {
        struct added_token token;
        char *end;
        double id = strtod(json_key(node), &end);
        if (*end != '\0' || !(id >= 0))
            return fail(err, ERR_INVALID, "added_tokens_decoder: \"%.40s\" must be an id",
                        json_key(node));
        if (!token_parse(node, &token, err))
            return error_prefix(err, "added_tokens_decoder[%s]", json_key(node));
        listed_add(r, token, id);
    }
    return true;
}

/* added_tokens.json: {"<token>": id, ...}, special when some role has it */
static bool added_file_read(struct reader *r, const struct json *root, struct error *err)
{
    for (const struct json *node = json_first(root); node; node = json_next(node)) {
        if (json_type(node) != JSON_NUMBER || json_type(root) != JSON_OBJECT)
            return fail(err, ERR_INVALID, "must be an object of tokens and ids");
        struct added_token token = {.content = (char *)(uintptr_t)json_key(node),
                                    .normalized = true};
        for (enum special_role role = 0; role < N_SPECIAL_ROLES; role++)
            if (r->config->special[role] && strcmp(r->config->special[role], token.content) == 0)
                token.normalized = false;
        if (listed_find(r, token.content))
            token.normalized = false;
        listed_add(r, token, json_number(node));
    }
    return true;
}

/* tokenizer.json: {"added_tokens": [{"id": 0, "content": ...}, ...]} */
static bool tokenizer_file_read(struct reader *r, const struct json *root, struct error *err)
{
    const struct json *list = json_get(root, "added_tokens");
    for (const struct json *node = json_first(list); node; node = json_next(node)) {
        struct added_token token;
        double id = 0;
        if (!json_read_double(node, "id", 0, MAX_LENGTH_LIMIT, &id, err) ||
            !token_parse(node, &token, err))
            return error_prefix(err, "added_tokens");
        listed_add(r, token, id);
    }
    return true;
}

static bool config_file_read(struct reader *r, const struct json *root, struct error *err)
{
    double max_length = 0;
    if (!json_read_double(root, "model_max_length", 0, HUGE_VAL, &max_length, err) ||
        !json_read_bool(root, "add_prefix_space", &r->config->add_prefix_space, err))
        return false;
    r->config->max_length = max_length < MAX_LENGTH_LIMIT ? (int64_t)max_length : 0;
    const struct json *decoder = json_get(root, "added_tokens_decoder");
    return roles_read(r, root, err) && (!decoder || decoder_read(r, decoder, err)) &&
           extra_read(r, root, err);
}

static bool map_file_read(struct reader *r, const struct json *root, struct error *err)
{
    return roles_read(r, root, err) && extra_read(r, root, err);
}

typedef bool (*read_fn)(struct reader *r, const struct json *root, struct error *err);

/* Read one file of the folder if it is there. */
static bool file_use(struct reader *r, const char *folder, const char *name, read_fn read,
                     bool *has_decoder, struct error *err)
{
    char *path = xasprintf("%s/%s", folder, name);
    bool ok = true;
    if (file_exists(path)) {
        struct json *root = json_read_file(path, err);
        ok = root && (read(r, root, err) || error_prefix(err, "%s", path));
        if (has_decoder)
            *has_decoder = json_get(root, "added_tokens_decoder") != NULL;
        json_free(root);
    }
    free(path);
    return ok;
}

static bool files_use(struct reader *r, const char *folder, struct error *err)
{
    bool has_decoder = false;
    if (!file_use(r, folder, "tokenizer_config.json", config_file_read, &has_decoder, err))
        return false;
    return has_decoder ||
           (file_use(r, folder, "special_tokens_map.json", map_file_read, NULL, err) &&
            file_use(r, folder, "added_tokens.json", added_file_read, NULL, err) &&
            file_use(r, folder, "tokenizer.json", tokenizer_file_read, NULL, err));
}

/* ---- putting in order ---------------------------------------------------------------------- */

static void config_append(struct token_config *c, struct added_token token)
{
    for (size_t i = 0; i < c->n_added; i++)
        if (strcmp(c->added[i].content, token.content) == 0)
            return;
    c->added = xrealloc(c->added, (c->n_added + 1) * sizeof *c->added);
    token.content = xstrdup(token.content);
    c->added[c->n_added++] = token;
}

static int by_listed_id(const void *a, const void *b)
{
    double x = ((const struct listed_token *)a)->listed_id;
    double y = ((const struct listed_token *)b)->listed_id;
    return (x > y) - (x < y);
}

/* Listed tokens by id, then the roles, then the extra ones. */
static void config_fill(struct reader *r, const struct token_defaults *defaults)
{
    struct token_config *c = r->config;
    size_t n_with_id = 0;
    for (size_t i = 0; i < r->n_listed; i++) /* stable: extra tokens keep their order */
        if (isfinite(r->listed[i].listed_id)) {
            struct listed_token found = r->listed[i];
            memmove(&r->listed[n_with_id + 1], &r->listed[n_with_id],
                    (i - n_with_id) * sizeof found);
            r->listed[n_with_id++] = found;
        }
    if (n_with_id > 0)
        qsort(r->listed, n_with_id, sizeof *r->listed, by_listed_id);
    for (size_t i = 0; i < n_with_id; i++)
        config_append(c, r->listed[i].token);
    for (enum special_role role = 0; role < N_SPECIAL_ROLES; role++)
        if (c->special[role] && c->special[role][0])
            config_append(c, r->roles[role]);
    for (size_t i = n_with_id; i < r->n_listed; i++)
        config_append(c, r->listed[i].token);
    for (size_t i = 0; !r->has_extra && i < defaults->n_extra; i++)
        config_append(c, (struct added_token){.content = (char *)(uintptr_t)defaults->extra[i]});
}

bool token_config_read(struct token_config *c, const char *folder,
                       const struct token_defaults *defaults, struct error *err)
{
    *c = (struct token_config){0};
    struct reader r = {.config = c};
    for (enum special_role role = 0; role < N_SPECIAL_ROLES; role++)
        if (defaults->special[role])
            role_set(&r, role,
                     (struct added_token){.content = (char *)(uintptr_t)defaults->special[role]});
    bool ok = files_use(&r, folder, err);
    if (ok)
        config_fill(&r, defaults);
    for (size_t i = 0; i < r.n_listed; i++)
        free(r.listed[i].token.content);
    free(r.listed);
    if (!ok)
        token_config_free(c);
    return ok;
}

void token_config_free(struct token_config *c)
{
    for (enum special_role role = 0; role < N_SPECIAL_ROLES; role++)
        free(c->special[role]);
    for (size_t i = 0; i < c->n_added; i++)
        free(c->added[i].content);
    free(c->added);
    *c = (struct token_config){0};
}
