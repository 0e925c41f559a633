#include "client/prompts_file.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "client/lines.h"
#include "client/random.h"
#include "client/shelf.h"

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

static bool read_timestamp(const struct json *row, struct draft *d, struct error *err)
{
    const struct json *value = json_get(row, "timestamp");
    if (!value || json_type(value) == JSON_NULL)
        return true;
    d->has_timestamp = true;
    return json_read_double(row, "timestamp", -MAX_TIMESTAMP_MS, MAX_TIMESTAMP_MS, &d->timestamp_ms,
                            err);
}

/* The row's own additions, with their numbers as they are written. */
static bool read_extra(const struct json *row, const char *line, size_t size, struct draft *d,
                       struct error *err)
{
    const struct json *extra = json_get(row, "extra");
    if (!extra || json_type(extra) == JSON_NULL)
        return true;
    struct fields whole = {0};
    bool ok = fields_parse_object(&whole, line, size, err) &&
              fields_parse_object(&d->extra, fields_get(&whole, "extra"),
                                  strlen(fields_get(&whole, "extra")), err);
    if (!ok)
        error_prefix(err, "extra");
    fields_free(&whole);
    return ok;
}

static bool read_image(const struct json *row, bool takes_images, struct draft *d,
                       struct error *err)
{
    const char *image = NULL;
    if (!read_first(row, "image", "images", &image, err))
        return false;
    if (!image == !takes_images) {
        d->image = image ? xstrdup(image) : NULL;
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

static bool read_fields(struct draft *d, const struct json *row, const char *line, size_t size,
                        const struct prompts_source *source, struct error *err)
{
    const char *text = NULL, *session = NULL;
    bool ok = source->format == PROMPTS_MOONCAKE ? read_trace_text(row, &text, &d->n_tokens, err)
                                                 : read_text(row, &text, err);
    if (!ok || !read_session(row, &session, err))
        return false;
    d->text = text ? xstrdup(text) : NULL;
    d->session_id = session ? xstrdup(session) : NULL;
    return read_timestamp(row, d, err) && read_extra(row, line, size, d, err) &&
           read_image(row, source->takes_images, d, err);
}

static bool read_row(struct draft *d, const char *line, size_t size,
                     const struct prompts_source *source, struct error *err)
{
    struct json *row = json_parse(line, size, err);
    if (!row)
        return false;
    bool ok =
        json_type(row) == JSON_OBJECT
            ? check_keys(row, source->format, err) && read_fields(d, row, line, size, source, err)
            : fail(err, ERR_INVALID,
                   "a row must be a JSON object like {\"text\": \"A red fox\"}, not a %s",
                   json_type_name(json_type(row)));
    json_free(row);
    return ok;
}

/* ---- pools ---------------------------------------------------------------------------------- */

static bool draw_row(struct shelf_reader *pool, size_t i, const struct prompts_source *source,
                     prompts_row_fn handle, void *self, struct error *err)
{
    size_t size;
    const char *at = shelf_at(pool, i, &size);
    struct draft row = {0};
    memcpy(&row.line, at, sizeof row.line);
    bool ok = (read_row(&row, at + sizeof row.line, size - sizeof row.line, source, err) &&
               handle(self, &row, err)) ||
              error_prefix(err, "%s:%zu", source->path, row.line);
    draft_free(&row);
    return ok;
}

static bool draw_rows(const struct shelf *pool, const struct prompts_source *source,
                      prompts_row_fn handle, void *self, struct error *err)
{
    struct random random;
    struct shelf_reader reader = {.shelf = pool};
    bool ok = true;
    random_init(&random, source->seed, "dataset.loader.random_pool");
    for (size_t i = 0; ok && i < source->n_drawn; i++) { /* as Python's random.choices */
        size_t which = (size_t)(random_unit(&random) * (double)pool->n);
        ok = draw_row(&reader, which, source, handle, self, err);
    }
    shelf_reader_free(&reader);
    return ok;
}

/* ---- files ---------------------------------------------------------------------------------- */

struct reader {
    const struct prompts_source *source;
    prompts_row_fn handle; /* of rows; NULL: they go into the pool */
    void *self;
    struct shelf pool; /* lines: their number, then their text */
    size_t n_lines, n_rows;
};

static bool is_blank(const char *line, size_t size)
{
    size_t n = strspn(line, " \t\r\n");
    return n >= size;
}

static bool keep_line(struct reader *r, const char *line, size_t size, struct error *err)
{
    return shelf_append(&r->pool, &r->n_lines, sizeof r->n_lines, err) &&
           shelf_append(&r->pool, line, size, err) && shelf_end(&r->pool, err);
}

static bool read_line(void *self, const char *line, size_t size, struct error *err)
{
    struct reader *r = self;
    r->n_lines++;
    if (is_blank(line, size))
        return true;
    r->n_rows++;
    struct draft row = {.line = r->n_lines};
    bool ok = read_row(&row, line, size, r->source, err) &&
              (r->handle ? r->handle(r->self, &row, err) : keep_line(r, line, size, err));
    draft_free(&row);
    return ok;
}

bool prompts_read(const struct prompts_source *source, prompts_row_fn handle, void *self,
                  struct error *err)
{
    bool is_pool = source->format == PROMPTS_RANDOM_POOL;
    struct reader r = {.source = source, .handle = is_pool ? NULL : handle, .self = self};
    shelf_init(&r.pool, source->spill_dir);
    bool ok = lines_read(source->path, read_line, &r, err);
    if (!ok && r.n_lines == 0)
        error_prefix(err, "--input-file");
    if (ok && r.n_rows == 0)
        ok = fail_field(err, "--input-file", "%s has no rows", source->path);
    if (ok && is_pool)
        ok = shelf_done(&r.pool, err) && draw_rows(&r.pool, source, handle, self, err);
    shelf_close(&r.pool);
    return ok;
}

static bool peek_line(void *self, const char *line, size_t size, struct error *err)
{
    bool *has_timestamp = self;
    if (is_blank(line, size))
        return true;
    struct json *row = json_parse(line, size, NULL);
    const struct json *value =
        row && json_type(row) == JSON_OBJECT ? json_get(row, "timestamp") : NULL;
    *has_timestamp = value && json_type(value) != JSON_NULL;
    json_free(row);
    return fail(err, ERR_CANCELED, "one row is enough");
}

bool prompts_first_has_timestamp(const char *path)
{
    bool has_timestamp = false;
    lines_read(path, peek_line, &has_timestamp, NULL);
    return has_timestamp;
}
