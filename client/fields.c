#include "client/fields.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

void fields_free(struct fields *f)
{
    for (size_t i = 0; i < f->n_items; i++) {
        free(f->items[i].key);
        free(f->items[i].value);
    }
    free(f->items);
    *f = (struct fields){0};
}

void fields_set(struct fields *f, const char *key, const char *json)
{
    for (size_t i = 0; i < f->n_items; i++) {
        if (strcmp(f->items[i].key, key) == 0) {
            char *value = xstrdup(json);
            free(f->items[i].value);
            f->items[i].value = value;
            return;
        }
    }
    f->items = xrealloc(f->items, (f->n_items + 1) * sizeof *f->items);
    f->items[f->n_items++] = (struct field){xstrdup(key), xstrdup(json)};
}

void fields_set_string(struct fields *f, const char *key, const char *text)
{
    struct buf json = {0};
    json_print_string(&json, text, strlen(text));
    fields_set(f, key, json.data);
    buf_free(&json);
}

void fields_merge(struct fields *f, const struct fields *from)
{
    for (size_t i = 0; i < from->n_items; i++)
        fields_set(f, from->items[i].key, from->items[i].value);
}

const char *fields_get(const struct fields *f, const char *key)
{
    for (size_t i = 0; i < f->n_items; i++) {
        if (strcmp(f->items[i].key, key) == 0)
            return f->items[i].value;
    }
    return NULL;
}

/* ---- formatting ----------------------------------------------------------------------------- */

static void line_break(struct buf *out, int indent, int depth)
{
    if (indent)
        buf_printf(out, "\n%*s", indent * depth, "");
}

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
        p++;
    return p;
}

/* The end of the string literal that starts at p. */
static const char *string_end(const char *p)
{
    for (p++; *p != '"'; p++) {
        if (*p == '\\')
            p++;
    }
    return p + 1;
}

static const char *format_string(struct buf *out, const char *p)
{
    const char *end = string_end(p);
    struct json *node = json_parse(p, (size_t)(end - p), NULL);
    if (node) /* decodes the escapes */
        json_print_string(out, json_string(node), strlen(json_string(node)));
    else
        buf_append(out, p, (size_t)(end - p));
    json_free(node);
    return end;
}

static const char *format_scalar(struct buf *out, const char *p)
{
    size_t n = strcspn(p, ",]} \t\r\n");
    bool is_number = *p == '-' || isdigit((unsigned char)*p);
    if (is_number && strcspn(p, ".eE") < n)
        json_print_double(out, strtod(p, NULL));
    else
        buf_append(out, p, n);
    return p + n;
}

/* Format the value at p, return what follows it. */
static const char *format_value(struct buf *out, const char *p, int indent, int depth)
{
    p = skip_space(p);
    if (*p == '"')
        return format_string(out, p);
    if (*p != '{' && *p != '[')
        return format_scalar(out, p);
    char open = *p, close = *p == '{' ? '}' : ']';
    buf_putc(out, open);
    p = skip_space(p + 1);
    if (*p == close) {
        buf_putc(out, close);
        return p + 1;
    }
    for (;;) {
        line_break(out, indent, depth + 1);
        if (open == '{') {
            p = format_string(out, skip_space(p));
            p = skip_space(p) + 1; /* the colon */
            buf_puts(out, indent ? ": " : ":");
        }
        p = skip_space(format_value(out, p, indent, depth + 1));
        if (*p == close)
            break;
        buf_putc(out, ',');
        p = skip_space(p + 1);
    }
    line_break(out, indent, depth);
    buf_putc(out, close);
    return p + 1;
}

void fields_format_json(struct buf *out, const char *json, int indent, int depth)
{
    format_value(out, json, indent, depth);
}

void fields_print(struct buf *out, const struct fields *f, int indent, int depth)
{
    buf_putc(out, '{');
    for (size_t i = 0; i < f->n_items; i++) {
        if (i > 0)
            buf_putc(out, ',');
        line_break(out, indent, depth + 1);
        json_print_string(out, f->items[i].key, strlen(f->items[i].key));
        buf_puts(out, indent ? ": " : ":");
        fields_format_json(out, f->items[i].value, indent, depth + 1);
    }
    if (f->n_items > 0)
        line_break(out, indent, depth);
    buf_putc(out, '}');
}

/* ---- typing --------------------------------------------------------------------------------- */

static bool is_word(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

static size_t count_digits(const char *text, size_t size)
{
    size_t n = 0;
    while (n < size && isdigit((unsigned char)text[n]))
        n++;
    return n;
}

void fields_type_value(struct buf *out, const char *text, size_t size)
{
    if (is_word(text, size, "true") || is_word(text, size, "false")) {
        buf_puts(out, is_word(text, size, "true") ? "true" : "false");
        return;
    }
    if (is_word(text, size, "none") || is_word(text, size, "null")) {
        buf_puts(out, "null");
        return;
    }
    size_t sign = size > 0 && text[0] == '-';
    size_t whole = count_digits(text + sign, size - sign);
    bool all_digits = whole > 0 && sign + whole == size;
    if (all_digits && (text[sign] != '0' || whole == 1)) {
        bool is_minus_zero = sign && text[sign] == '0';
        buf_append(out, text + is_minus_zero, size - is_minus_zero);
        return;
    }
    if (sign + whole < size && text[sign + whole] == '.') {
        size_t after = sign + whole + 1;
        size_t fraction = count_digits(text + after, size - after);
        if (after + fraction == size && whole + fraction > 0) {
            char *number = xstrndup(text, size);
            json_print_double(out, strtod(number, NULL));
            free(number);
            return;
        }
    }
    json_print_string(out, text, size);
}

/* ---- parsing -------------------------------------------------------------------------------- */

static void trim(const char **text, size_t *size)
{
    while (*size > 0 && isspace((unsigned char)**text)) {
        (*text)++;
        (*size)--;
    }
    while (*size > 0 && isspace((unsigned char)(*text)[*size - 1]))
        (*size)--;
}

static bool parse_pair(struct fields *f, const char *text, size_t size, struct error *err)
{
    const char *colon = memchr(text, ':', size);
    if (!colon)
        return fail(err, ERR_INVALID, "'%.*s' has no colon: must be key:value or a JSON object",
                    (int)(size < 100 ? size : 100), text);
    const char *key = text, *value = colon + 1;
    size_t n_key = (size_t)(colon - text), n_value = size - n_key - 1;
    trim(&key, &n_key);
    trim(&value, &n_value);
    if (n_key == 0)
        return fail(err, ERR_INVALID, "'%.*s' has no key before the colon",
                    (int)(size < 100 ? size : 100), text);
    struct buf json = {0};
    fields_type_value(&json, value, n_value);
    char *name = xstrndup(key, n_key);
    fields_set(f, name, json.data);
    free(name);
    buf_free(&json);
    return true;
}

static bool parse_object(struct fields *f, const char *text, size_t size, bool types_strings,
                         struct error *err)
{
    struct json *tree = json_parse(text, size, err);
    if (!tree)
        return false;
    if (json_type(tree) != JSON_OBJECT) {
        enum json_type type = json_type(tree);
        json_free(tree);
        return fail(err, ERR_INVALID, "a JSON object is needed, not a %s", json_type_name(type));
    }
    /* The tree knows keys and types; the text has the numbers as they were written. */
    char *copy = xstrndup(text, size);
    const char *p = skip_space(strchr(copy, '{') + 1);
    for (const struct json *child = json_first(tree); child; child = json_next(child)) {
        struct buf json = {0};
        p = skip_space(string_end(skip_space(p))) + 1;
        p = skip_space(format_value(&json, p, 0, 0)) + 1; /* past the comma */
        if (types_strings && json_type(child) == JSON_STRING) {
            buf_clear(&json);
            fields_type_value(&json, json_string(child), strlen(json_string(child)));
        }
        fields_set(f, json_key(child), json.data);
        buf_free(&json);
    }
    free(copy);
    json_free(tree);
    return true;
}

bool fields_parse_object(struct fields *f, const char *text, size_t size, struct error *err)
{
    return parse_object(f, text, size, false, err);
}

bool fields_parse(struct fields *f, const char *text, struct error *err)
{
    const char *start = skip_space(text);
    if (*start == '{')
        return parse_object(f, start, strlen(start), true, err);
    while (*start) {
        size_t n = strcspn(start, ",");
        if (!parse_pair(f, start, n, err))
            return false;
        start += n + (start[n] == ',');
    }
    return *text ? true : fail(err, ERR_INVALID, "an empty value: must be key:value");
}
