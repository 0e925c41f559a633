#include "hub/needed.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "hub/model_id.h"

#define INDEX "model_index.json"

/* The parts that the pipeline knows. weights is the base name of a network's safetensors; one of
 * the alternatives (sets of names, separated by '|', parts of a set by '+') has to be there. */
static const struct part {
    const char *folder, *weights, *alternatives;
} PARTS[] = {
    {"scheduler", NULL, "scheduler_config.json"},
    {"tokenizer", NULL, "tokenizer.json|vocab.json+merges.txt"},
    {"tokenizer_2", NULL, "tokenizer.json|spiece.model"},
    {"text_encoder", "model", "config.json"},
    {"text_encoder_2", "model", "config.json"},
    {"transformer", "diffusion_pytorch_model", "config.json"},
    {"vae", "diffusion_pytorch_model", "config.json"},
};

enum { N_PARTS = sizeof PARTS / sizeof PARTS[0] };

/* ---- names ---------------------------------------------------------------------------------- */

bool names_has(const struct names *n, const char *name)
{
    for (size_t i = 0; i < n->n_items; i++) {
        if (strcmp(n->items[i], name) == 0)
            return true;
    }
    return false;
}

void names_add(struct names *n, const char *name)
{
    if (names_has(n, name))
        return;
    n->items = xrealloc(n->items, (n->n_items + 1) * sizeof *n->items);
    n->items[n->n_items++] = xstrdup(name);
}

void names_free(struct names *n)
{
    for (size_t i = 0; i < n->n_items; i++)
        free(n->items[i]);
    free(n->items);
    *n = (struct names){0};
}

/* ---- parts ---------------------------------------------------------------------------------- */

static struct json *read_in(const char *dir, const char *name, struct error *err)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct json *root = json_read_file(path, err);
    free(path);
    return root;
}

static bool is_there(const char *dir, const char *name)
{
    char *path = xasprintf("%s/%s", dir, name);
    bool found = file_exists(path);
    free(path);
    return found;
}

/* A part that the pipeline leaves out is absent, null or [null, null]. */
static bool has_part(const struct json *index, const struct part *part)
{
    const struct json *value = json_get(index, part->folder);
    return value && json_type(value) == JSON_ARRAY && json_size(value) > 0 &&
           json_type(json_first(value)) == JSON_STRING;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_small_of(const char *name, const char *folder)
{
    size_t size = strlen(folder);
    return strncmp(name, folder, size) == 0 && name[size] == '/' && !strchr(name + size + 1, '/') &&
           (ends_with(name, ".json") || ends_with(name, ".txt") || ends_with(name, ".model"));
}

bool needed_small(const char *snapshot_dir, const struct names *listed, struct names *out,
                  struct error *err)
{
    struct json *index = read_in(snapshot_dir, INDEX, err);
    if (!index)
        return false;
    names_add(out, INDEX);
    for (size_t p = 0; p < N_PARTS; p++) {
        for (size_t i = 0; has_part(index, &PARTS[p]) && i < listed->n_items; i++) {
            if (is_small_of(listed->items[i], PARTS[p].folder))
                names_add(out, listed->items[i]);
        }
    }
    json_free(index);
    return true;
}

/* ---- weights -------------------------------------------------------------------------------- */

/* Add the shards that the index of a part lists: {"weight_map": {"tensor": "file", ...}}. */
static bool add_shards(const char *snapshot_dir, const struct part *part, const char *index_name,
                       struct names *out, struct error *err)
{
    struct json *root = read_in(snapshot_dir, index_name, err);
    if (!root)
        return false;
    const struct json *map = json_get(root, "weight_map");
    bool ok = map && json_size(map) > 0
                  ? true
                  : fail(err, ERR_INVALID, "%s: weight_map must name the shards", index_name);
    for (const struct json *e = ok ? json_first(map) : NULL; ok && e; e = json_next(e)) {
        const char *file = json_type(e) == JSON_STRING ? json_string(e) : "";
        if (!model_id_is_safe_path(file) || strchr(file, '/')) {
            ok = fail(err, ERR_INVALID, "%s: weight_map[\"%.60s\"] must be a file name", index_name,
                      json_key(e));
            break;
        }
        char *name = xasprintf("%s/%s", part->folder, file);
        names_add(out, name);
        free(name);
    }
    json_free(root);
    return ok;
}

/* As the pipeline opens them: the single file wins over an index. */
static bool add_weights(const char *snapshot_dir, const struct part *part,
                        const struct names *listed, struct names *out, struct error *err)
{
    char *single = xasprintf("%s/%s.safetensors", part->folder, part->weights);
    char *index = xasprintf("%s.index.json", single);
    bool has_single = listed ? names_has(listed, single) : is_there(snapshot_dir, single);
    bool has_index = listed ? names_has(listed, index) : is_there(snapshot_dir, index);
    bool ok = true;
    if (has_single || (!listed && !has_index))
        names_add(out, single);
    else if (has_index)
        ok = add_shards(snapshot_dir, part, index, out, err);
    else
        ok = fail(err, ERR_NOT_FOUND, "the model has no %s, and no index of shards beside it",
                  single);
    free(index);
    free(single);
    return ok;
}

static bool needs_weights(const struct hub_options *options, const struct part *part)
{
    for (size_t i = 0; i < options->n_without; i++) {
        if (strcmp(options->without[i], part->folder) == 0)
            return false;
    }
    return part->weights != NULL;
}

bool needed_weights(const char *snapshot_dir, const struct names *listed,
                    const struct hub_options *options, struct names *out, struct error *err)
{
    struct json *index = read_in(snapshot_dir, INDEX, err);
    bool ok = index != NULL;
    for (size_t p = 0; ok && p < N_PARTS; p++) {
        if (needs_weights(options, &PARTS[p]) && has_part(index, &PARTS[p]))
            ok = add_weights(snapshot_dir, &PARTS[p], listed, out, err);
    }
    json_free(index);
    return ok;
}

/* ---- without a hub -------------------------------------------------------------------------- */

/* Add the files of one set of names ("vocab.json+merges.txt", size characters). */
static void add_set(struct names *out, const char *folder, const char *set, size_t size)
{
    for (size_t from = 0; from < size;) {
        size_t n = strcspn(set + from, "+|");
        char *name = xasprintf("%s/%.*s", folder, (int)n, set + from);
        names_add(out, name);
        free(name);
        from += n + 1;
    }
}

static bool is_set_there(const char *snapshot_dir, const char *folder, const char *set, size_t size)
{
    struct names files = {0};
    bool is_complete = true;
    add_set(&files, folder, set, size);
    for (size_t i = 0; i < files.n_items; i++)
        is_complete = is_complete && is_there(snapshot_dir, files.items[i]);
    names_free(&files);
    return is_complete;
}

/* Add the first alternative that is there, or the first of all. */
static void add_alternatives(const char *snapshot_dir, const struct part *part, struct names *out)
{
    const char *chosen = part->alternatives;
    for (const char *set = part->alternatives; *set;) {
        size_t size = strcspn(set, "|");
        if (is_set_there(snapshot_dir, part->folder, set, size)) {
            chosen = set;
            break;
        }
        set += size + (set[size] == '|');
    }
    add_set(out, part->folder, chosen, strcspn(chosen, "|"));
}

void needed_locally(const char *snapshot_dir, const struct hub_options *options, struct names *all,
                    struct names *missing)
{
    struct json *index = read_in(snapshot_dir, INDEX, NULL);
    names_add(all, INDEX);
    for (size_t p = 0; index && p < N_PARTS; p++) {
        if (!has_part(index, &PARTS[p]))
            continue;
        add_alternatives(snapshot_dir, &PARTS[p], all);
        if (!needs_weights(options, &PARTS[p]) ||
            add_weights(snapshot_dir, &PARTS[p], NULL, all, NULL))
            continue;
        /* an index that can't be read: to be fetched again */
        char *name = xasprintf("%s/%s.safetensors.index.json", PARTS[p].folder, PARTS[p].weights);
        names_add(missing, name);
        free(name);
    }
    for (size_t i = 0; i < all->n_items; i++) {
        if (!is_there(snapshot_dir, all->items[i]) || (i == 0 && !index))
            names_add(missing, all->items[i]);
    }
    json_free(index);
}
