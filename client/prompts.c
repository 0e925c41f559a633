#include "client/prompts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client/random.h"
#include "client/request.h"
#include "client/words.h"

void prompts_free(struct prompts *p)
{
    for (size_t i = 0; i < p->n_entries; i++) {
        struct prompts_entry *e = &p->entries[i];
        free(e->text);
        free(e->session_id);
        fields_free(&e->extra);
        buf_free(&e->body);
    }
    free(p->entries);
    *p = (struct prompts){0};
}

static struct prompts_entry *add_entry(struct prompts *p, char *text)
{
    p->entries = xrealloc(p->entries, (p->n_entries + 1) * sizeof *p->entries);
    struct prompts_entry *e = &p->entries[p->n_entries++];
    *e = (struct prompts_entry){.text = text, .isl = -1};
    return e;
}

/* ---- single_turn files ---------------------------------------------------------------------- */

/* Fields of a row and what becomes of them. Anything else is refused: a misspelt key must not
 * silently change what is measured. */
static const struct row_field {
    const char *name;
    const char *refusal; /* NULL: used, or without meaning for pictures from text */
} ROW_FIELDS[] = {
    {"text", NULL},
    {"texts", NULL},
    {"extra", NULL},
    {"session_id", NULL},
    {"role", NULL},
    {"output_length", NULL},
    {"type", NULL},
    {"image", "input images are not supported"},
    {"images", "input images are not supported"},
    {"timestamp", "timing from the file is not supported"},
    {"delay", "timing from the file is not supported"},
    {"turns", "only single_turn rows are supported"},
};

static bool check_keys(const struct json *row, struct error *err)
{
    for (const struct json *child = json_first(row); child; child = json_next(child)) {
        const struct row_field *known = NULL;
        for (size_t i = 0; i < sizeof ROW_FIELDS / sizeof ROW_FIELDS[0]; i++) {
            if (strcmp(ROW_FIELDS[i].name, json_key(child)) == 0)
                known = &ROW_FIELDS[i];
        }
        if (!known)
            return fail_field(err, json_key(child),
                              "unknown field '%s': a row has text (or texts), extra, session_id",
                              json_key(child));
        if (known->refusal)
            return fail_field(err, json_key(child), "field '%s': %s", json_key(child),
                              known->refusal);
    }
    return true;
}

static bool read_text(const struct json *row, const char **text, struct error *err)
{
    const struct json *texts = json_get(row, "texts");
    *text = NULL;
    if (!json_read_string(row, "text", text, err))
        return false;
    if (texts && *text)
        return fail_field(err, "texts", "both text and texts: one of them is enough");
    if (texts) {
        const struct json *first = json_first(texts);
        if (json_type(texts) != JSON_ARRAY || !first || json_type(first) != JSON_STRING)
            return fail_field(err, "texts", "texts must be a list of strings, at least one");
        *text = json_string(first);
    }
    if (!*text)
        return fail_field(err, "text", "no text: a row is like {\"text\": \"A red fox\"}");
    return true;
}

static bool read_row(struct prompts *p, const char *line, size_t size, struct error *err)
{
    struct json *row = json_parse(line, size, err);
    if (!row)
        return false;
    const char *text = NULL, *session = NULL;
    const struct json *extra = json_get(row, "extra");
    bool ok = false;
    if (json_type(row) != JSON_OBJECT) {
        fail(err, ERR_INVALID,
             "a row must be a JSON object like {\"text\": \"A red fox\"}, not a %s",
             json_type_name(json_type(row)));
    } else if (check_keys(row, err) && read_text(row, &text, err) &&
               json_read_string(row, "session_id", &session, err)) {
        struct prompts_entry *e = add_entry(p, xstrdup(text));
        e->session_id = session ? xstrdup(session) : NULL;
        ok = true;
        if (extra && json_type(extra) != JSON_NULL) {
            struct fields whole = {0};
            ok = fields_parse_object(&whole, line, size, err) &&
                 fields_parse_object(&e->extra, fields_get(&whole, "extra"),
                                     strlen(fields_get(&whole, "extra")), err);
            if (!ok)
                error_prefix(err, "extra");
            fields_free(&whole);
        }
    }
    json_free(row);
    return ok;
}

bool prompts_read(struct prompts *p, const char *path, struct error *err)
{
    struct buf file = {0};
    if (!file_read(&file, path, err))
        return error_prefix(err, "--input-file");
    bool ok = true;
    size_t line_number = 0;
    for (size_t at = 0; ok && at < file.size;) {
        const char *line = file.data + at;
        const char *end = memchr(line, '\n', file.size - at);
        size_t size = end ? (size_t)(end - line) : file.size - at;
        at += size + 1;
        line_number++;
        if (strspn(line, " \t\r") >= size)
            continue;
        ok = read_row(p, line, size, err);
        if (!ok)
            error_prefix(err, "%s:%zu", path, line_number);
    }
    if (ok && p->n_entries == 0)
        ok = fail_field(err, "--input-file", "%s has no rows", path);
    buf_free(&file);
    return ok;
}

/* ---- synthetic ------------------------------------------------------------------------------ */

static int64_t draw_length(struct random *r, double mean, double std)
{
    if (std <= 0)
        return mean < 1 ? 1 : (int64_t)nearbyint(mean);
    double x;
    do {
        x = random_gauss(r, mean, std);
    } while (x < 0);
    return x < 1 ? 1 : (int64_t)ceil(x);
}

void prompts_make(struct prompts *p, size_t n, double mean, double std, int64_t seed,
                  const struct tokens *tokens)
{
    struct random lengths, text;
    random_init(&lengths, seed, "dataset.prompt.length");
    random_init(&text, seed, "dataset.prompt.corpus");
    for (size_t i = 0; i < n; i++) {
        struct buf prompt = {0};
        words_prompt(&prompt, &text, tokens, draw_length(&lengths, mean, std));
        add_entry(p, xstrdup(prompt.data));
        buf_free(&prompt);
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

/* Tokens of the prompt that is sent: --extra-inputs may have replaced the entry's text. */
static int64_t count_sent_tokens(const struct tokens *tokens, const struct buf *body)
{
    int64_t n = -1;
    const char *prompt = NULL;
    struct json *tree = json_parse(body->data, body->size, NULL);
    if (tree && json_read_string(tree, "prompt", &prompt, NULL) && prompt)
        n = tokens_count(tokens, prompt, strlen(prompt));
    json_free(tree);
    return n;
}

void prompts_finish(struct prompts *p, const struct tokens *tokens, bool is_seeded,
                    const char *model, const struct fields *extra)
{
    for (size_t i = 0; i < p->n_entries; i++) {
        struct prompts_entry *e = &p->entries[i];
        if (!e->session_id && is_seeded)
            e->session_id = xasprintf("session_%06zu", i);
        if (!e->session_id) {
            e->session_id = xmalloc(UUID_SIZE);
            random_uuid(e->session_id);
        }
        request_body(&e->body, e->text, model, extra, &e->extra);
        if (tokens)
            e->isl = count_sent_tokens(tokens, &e->body);
    }
}

void prompts_print_inputs(const struct prompts *p, struct buf *out)
{
    buf_puts(out, "{\n  \"data\": [");
    for (size_t i = 0; i < p->n_entries; i++) {
        const struct prompts_entry *e = &p->entries[i];
        buf_puts(out, i ? ",\n    {\n      \"session_id\": " : "\n    {\n      \"session_id\": ");
        json_print_string(out, e->session_id, strlen(e->session_id));
        buf_puts(out, ",\n      \"payloads\": [\n        ");
        fields_format_json(out, e->body.data, 2, 4);
        buf_puts(out, "\n      ]\n    }");
    }
    buf_puts(out, "\n  ]\n}");
}
