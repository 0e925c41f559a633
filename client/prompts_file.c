#include "client/prompts_file.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "client/random.h"

#define MAX_TOKENS 100000 /* of a made-up prompt, as --synthetic-input-tokens-mean */
#define MAX_TIMESTAMP_MS                                                     \
    1e15 /* of either sign: some 30,000 years, and far from what ns can hold \
          */

/* ---- formats -------------------------------------------------------------------------------- */

static const char *const FORMATS[N_PROMPTS_FORMATS] = {
    [PROMPTS_SINGLE_TURN] = "single_turn",
    [PROMPTS_RANDOM_POOL] = "random_pool",
    [PROMPTS_MOONCAKE] = "mooncake_trace",
};

const char *prompts_format_name(enum prompts_format format) { return FORMATS[format]; }

int prompts_format_parse(const char *name)
{
    char *copy = xstrdup(name);
    int format = N_PROMPTS_FORMATS - 1;
    for (char *p = copy; (p = strchr(p, '-'));)
        *p = '_';
    while (format >= 0 && strcasecmp(FORMATS[format], copy) != 0)
        format--;
    free(copy);
    return format;
}

enum { S = 1 << PROMPTS_SINGLE_TURN, P = 1 << PROMPTS_RANDOM_POOL, M = 1 << PROMPTS_MOONCAKE };

/* Fields of a row and what becomes of them. */
static const struct row_field {
    const char *name;
    int formats;         /* those that have it */
    const char *refusal; /* NULL: used, or without meaning for pictures from text */
} ROW_FIELDS[] = {
    {"text", S | P, NULL},
    {"texts", S | P, NULL},
    {"text_input", M, NULL},
    {"input_length", M, NULL},
    {"image", S | P, NULL},
    {"images", S | P, NULL},
    {"timestamp", S | M, NULL},
    {"extra", S | M, NULL},
    {"session_id", S | M, NULL},
    {"role", S, NULL},
    {"output_length", S | M, NULL},
    {"hash_ids", M, NULL},
    {"type", S | P | M, NULL},
    {"delay", S | M, "waiting between turns is not supported"},
    {"turns", S, "only single_turn rows are supported"},
    {"messages", M, "only text_input and input_length are supported"},
    {"payload", M, "only text_input and input_length are supported"},
};

#define N_ROW_FIELDS (sizeof ROW_FIELDS / sizeof ROW_FIELDS[0])

static bool fail_unknown(const char *key, enum prompts_format format, struct error *err)
{
    struct buf known = {0};
    for (size_t i = 0; i < N_ROW_FIELDS; i++) {
        if ((ROW_FIELDS[i].formats & 1 << format) && !ROW_FIELDS[i].refusal)
            buf_printf(&known, "%s%s", known.size ? ", " : "", ROW_FIELDS[i].name);
    }
    fail_field(err, key, "unknown field '%s': a %s row has %s", key, FORMATS[format], known.data);
    buf_free(&known);
    return false;
}

static bool check_keys(const struct json *row, enum prompts_format format, struct error *err)
{
    for (const struct json *child = json_first(row); child; child = json_next(child)) {
        const struct row_field *known = NULL;
        for (size_t i = 0; i < N_ROW_FIELDS; i++) {
            if (strcmp(ROW_FIELDS[i].name, json_key(child)) == 0 &&
                (ROW_FIELDS[i].formats & 1 << format))
                known = &ROW_FIELDS[i];
        }
        if (!known)
            return fail_unknown(json_key(child), format, err);
        if (known->refusal)
            return fail_field(err, json_key(child), "field '%s': %s", json_key(child),
                              known->refusal);
    }
    return true;
}

/* ---- one row -------------------------------------------------------------------------------- */

/* The value of `one`, or the first of the list `many`; NULL when neither is there. */
static bool read_first(const struct json *row, const char *one, const char *many,
                       const char **value, struct error *err)
{
    const struct json *list = json_get(row, many);
    *value = NULL;
    if (!json_read_string(row, one, value, err))
        return false;
    if (list && *value)
        return fail_field(err, many, "both %s and %s: one of them is enough", one, many);
    if (list) {
        const struct json *first = json_first(list);
        if (json_type(list) != JSON_ARRAY || !first || json_type(first) != JSON_STRING)
            return fail_field(err, many, "%s must be a list of strings, at least one", many);
        *value = json_string(first);
    }
    return true;
}

static bool read_text(const struct json *row, const char **text, struct error *err)
{
    if (!read_first(row, "text", "texts", text, err))
        return false;
    return *text || fail_field(err, "text", "no text: a row is like {\"text\": \"A red fox\"}");
}

/* text_input, or the length of a prompt to be made up. */
static bool read_trace_text(const struct json *row, const char **text, int64_t *n_tokens,
                            struct error *err)
{
    *n_tokens = 0;
    if (!json_read_string(row, "text_input", text, err) ||
        !json_read_int(row, "input_length", 1, MAX_TOKENS, n_tokens, err))
        return false;
    if (!*text == !*n_tokens)
        return fail_field(err, "text_input", "a row has either text_input or input_length");
    return true;
}

static bool read_timestamp(const struct json *row, struct prompts_entry *e, struct error *err)
{
    const struct json *value = json_get(row, "timestamp");
    if (!value || json_type(value) == JSON_NULL)
        return true;
    e->has_timestamp = true;
    return json_read_double(row, "timestamp", -MAX_TIMESTAMP_MS, MAX_TIMESTAMP_MS, &e->timestamp_ms,
                            err);
}

/* The row's own additions, with their numbers as they are written. */
static bool read_extra(const struct json *row, const char *line, size_t size,
                       struct prompts_entry *e, struct error *err)
{
    const struct json *extra = json_get(row, "extra");
    if (!extra || json_type(extra) == JSON_NULL)
        return true;
    struct fields whole = {0};
    bool ok = fields_parse_object(&whole, line, size, err) &&
              fields_parse_object(&e->extra, fields_get(&whole, "extra"),
                                  strlen(fields_get(&whole, "extra")), err);
    if (!ok)
        error_prefix(err, "extra");
    fields_free(&whole);
    return ok;
}

static bool read_image(const struct json *row, bool takes_images, struct prompts_entry *e,
                       struct error *err)
{
    const char *image = NULL;
    if (!read_first(row, "image", "images", &image, err))
        return false;
    if (!image == !takes_images) {
        e->image = image ? xstrdup(image) : NULL;
        return true;
    }
    return takes_images
               ? fail_field(err, "image",
                            "no image: image_edit needs one, like {\"text\": \"Make "
                            "it red\", \"image\": \"fox.png\"}")
               : fail_field(err, "image", "field 'image': needs --endpoint-type image_edit");
}

/* The name becomes part of a header. An empty one is none. */
static bool read_session(const struct json *row, const char **session, struct error *err)
{
    if (!json_read_string(row, "session_id", session, err))
        return false;
    for (const char *p = *session; p && *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return fail_field(err, "session_id", "session_id has a control character");
    }
    *session = *session && **session ? *session : NULL;
    return true;
}

static bool read_fields(struct prompts *p, const struct json *row, const char *line, size_t size,
                        enum prompts_format format, bool takes_images, struct error *err)
{
    const char *text = NULL, *session = NULL;
    int64_t n_tokens = 0;
    bool ok = format == PROMPTS_MOONCAKE ? read_trace_text(row, &text, &n_tokens, err)
                                         : read_text(row, &text, err);
    if (!ok || !read_session(row, &session, err))
        return false;
    struct prompts_entry *e = prompts_add(p, text ? xstrdup(text) : NULL);
    e->n_tokens = n_tokens;
    e->session_id = session ? xstrdup(session) : NULL;
    return read_timestamp(row, e, err) && read_extra(row, line, size, e, err) &&
           read_image(row, takes_images, e, err);
}

static bool read_row(struct prompts *p, const char *line, size_t size, enum prompts_format format,
                     bool takes_images, struct error *err)
{
    struct json *row = json_parse(line, size, err);
    if (!row)
        return false;
    bool ok = json_type(row) == JSON_OBJECT
                  ? check_keys(row, format, err) &&
                        read_fields(p, row, line, size, format, takes_images, err)
                  : fail(err, ERR_INVALID,
                         "a row must be a JSON object like {\"text\": \"A red fox\"}, not a %s",
                         json_type_name(json_type(row)));
    json_free(row);
    return ok;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* The next line that is not blank; false at the end. */
static bool next_line(const struct buf *file, size_t *at, size_t *number, const char **line,
                      size_t *size)
{
    while (*at < file->size) {
        *line = file->data + *at;
        const char *end = memchr(*line, '\n', file->size - *at);
        *size = end ? (size_t)(end - *line) : file->size - *at;
        *at += *size + 1;
        (*number)++;
        if (strspn(*line, " \t\r") < *size)
            return true;
    }
    return false;
}

static int by_session(const void *a, const void *b)
{
    const struct prompts_entry *const *x = a, *const *y = b;
    int order = strcmp((*x)->session_id, (*y)->session_id);
    return order ? order : (*x)->line < (*y)->line ? -1 : 1;
}

/* Rows of one session would be turns, each sent after the answer to the one before. */
static bool check_sessions(const struct prompts *p, const char *path, struct error *err)
{
    const struct prompts_entry **named = xcalloc(p->n_entries + 1, sizeof *named);
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < p->n_entries; i++) {
        if (p->entries[i].session_id)
            named[n++] = &p->entries[i];
    }
    qsort(named, n, sizeof *named, by_session);
    for (size_t i = 1; ok && i < n; i++) {
        if (strcmp(named[i - 1]->session_id, named[i]->session_id) == 0)
            ok = fail_field(err, "session_id",
                            "%s:%zu: session_id '%s' as in line %zu: a session of several rows is "
                            "not supported",
                            path, named[i]->line, named[i]->session_id, named[i - 1]->line);
    }
    free(named);
    return ok;
}

bool prompts_read(struct prompts *p, const char *path, enum prompts_format format,
                  bool takes_images, struct error *err)
{
    struct buf file = {0};
    if (!file_read(&file, path, err)) {
        buf_free(&file);
        return error_prefix(err, "--input-file");
    }
    bool ok = true;
    const char *line;
    size_t at = 0, number = 0, size;
    while (ok && next_line(&file, &at, &number, &line, &size)) {
        ok = read_row(p, line, size, format, takes_images, err);
        if (ok)
            p->entries[p->n_entries - 1].line = number;
        else
            error_prefix(err, "%s:%zu", path, number);
    }
    if (ok && p->n_entries == 0)
        ok = fail_field(err, "--input-file", "%s has no rows", path);
    buf_free(&file);
    return ok && check_sessions(p, path, err);
}

bool prompts_first_has_timestamp(const char *path)
{
    struct buf file = {0};
    const char *line;
    size_t at = 0, number = 0, size;
    bool has = false;
    if (file_read(&file, path, NULL) && next_line(&file, &at, &number, &line, &size)) {
        struct json *row = json_parse(line, size, NULL);
        const struct json *value =
            row && json_type(row) == JSON_OBJECT ? json_get(row, "timestamp") : NULL;
        has = value && json_type(value) != JSON_NULL;
        json_free(row);
    }
    buf_free(&file);
    return has;
}

void prompts_draw(struct prompts *p, size_t n, int64_t seed)
{
    struct random random;
    struct prompts pool = *p;
    random_init(&random, seed, "dataset.loader.random_pool");
    *p = (struct prompts){0};
    for (size_t i = 0; i < n; i++) { /* as Python's random.choices */
        const struct prompts_entry *from =
            &pool.entries[(size_t)(random_unit(&random) * (double)pool.n_entries)];
        struct prompts_entry *e = prompts_add(p, xstrdup(from->text));
        e->line = from->line;
        e->image = from->image ? xstrdup(from->image) : NULL;
    }
    prompts_free(&pool);
}
