/* The tree is cJSON's; a struct json is a cJSON node under another name. Three things are ours:
 *
 *   - json_check.c looks at the text first. cJSON is lenient (01, raw control characters, broken
 *     UTF-8) and reports no useful position; what passes the check, cJSON can parse.
 *   - Printing. cJSON prints numbers with %g and has its own idea of indentation.
 *   - Numbers we make are raw nodes that hold their text, so that 3.0 stays 3.0 and all 64 bits of
 *     an integer survive. Parsed numbers are doubles: integers are exact up to 2^53. */
#include "base/json.h"

#include <assert.h>
#include <cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_check.h"

#define MAX_EXACT 9007199254740992.0 /* 2^53 */

static const cJSON *in(const struct json *node) { return (const cJSON *)node; }
static cJSON *in_mutable(struct json *node) { return (cJSON *)node; }

/* The library returns NULL only when memory is out. */
static struct json *made(cJSON *node)
{
    if (!node) {
        fputs("out of memory for JSON\n", stderr);
        abort();
    }
    return (struct json *)node;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Bytes of a byte order mark. */
static size_t mark_size(const char *text, size_t size)
{
    return size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

struct json *json_parse(const char *text, size_t size, struct error *err)
{
    size_t n_mark = mark_size(text, size);
    text += n_mark;
    size -= n_mark;
    if (!json_check(text, size, err))
        return NULL;
    cJSON *root = cJSON_ParseWithLength(text, size);
    if (!root)
        fail(err, ERR_MEMORY, "can't hold a JSON text of %zu bytes", size);
    return (struct json *)root;
}

/* ---- strings that stay ---------------------------------------------------------------------- */

#define LONG_BYTES 1024
#define STAYED                                                                        \
    '\xff' /* in no UTF-8: marks a string that stands for address and size of another \
            */

/* Where the value of a member begins whose key, with its quotes, is at `at`; NULL if it is none. */
static const char *value_after(const char *at, size_t n_key, const char *end)
{
    bool is_colon_seen = false;
    for (at += n_key; at < end; at++) {
        if (*at == ':' && !is_colon_seen)
            is_colon_seen = true;
        else if (*at != ' ' && *at != '\t' && *at != '\n' && *at != '\r')
            return is_colon_seen ? at : NULL;
    }
    return NULL;
}

/* Copy a valid text but for the strings that stay. */
static void copy_around(struct buf *out, const char *text, size_t size, const char *key)
{
    const char *end = text + size, *from = text, *at = text;
    char *quoted = xasprintf("\"%s\"", key);
    size_t n_key = strlen(quoted);
    while ((at = memmem(at, (size_t)(end - at), quoted, n_key))) {
        const char *value = value_after(at, n_key, end);
        at += n_key;
        if (!value || *value != '"')
            continue;
        value++;
        size_t n = json_plain_size(value, (size_t)(end - value));
        if (n < LONG_BYTES || value[n] != '"') /* short, or with escapes */
            continue;
        buf_append(out, from, (size_t)(value - from));
        buf_printf(out, "%c%" PRIxPTR ":%zx", STAYED, (uintptr_t)value, n);
        from = at = value + n;
    }
    buf_append(out, from, (size_t)(end - from));
    free(quoted);
}

struct json *json_parse_around(const char *text, size_t size, const char *key, struct error *err)
{
    size_t n_mark = mark_size(text, size);
    text += n_mark;
    size -= n_mark;
    if (!json_check(text, size, err))
        return NULL;
    struct buf less = {0};
    copy_around(&less, text, size, key);
    cJSON *root = cJSON_ParseWithLength(less.data, less.size);
    if (!root)
        fail(err, ERR_MEMORY, "can't hold a JSON text of %zu bytes", size);
    buf_free(&less);
    return (struct json *)root;
}

const char *json_text(const struct json *node, size_t *size)
{
    const char *text = json_string(node);
    char *rest;
    if (text[0] != STAYED) {
        *size = strlen(text);
        return text;
    }
    uintptr_t address = strtoull(text + 1, &rest, 16);
    *size = strtoull(rest + 1, NULL, 16);
    return (const char *)address; /* NOLINT(performance-no-int-to-ptr): written above */
}

/* ---- files and nodes ------------------------------------------------------------------------ */

struct json *json_read_file(const char *path, struct error *err)
{
    struct buf text = {0};
    if (!file_read(&text, path, err))
        return NULL;
    struct json *root = json_parse(text.data, text.size, err);
    if (!root)
        error_prefix(err, "%s", path);
    buf_free(&text);
    return root;
}

void json_free(struct json *root) { cJSON_Delete(in_mutable(root)); }

enum json_type json_type(const struct json *node)
{
    switch (in(node)->type & 0xff) {
    case cJSON_False:
    case cJSON_True:
        return JSON_BOOL;
    case cJSON_Number:
    case cJSON_Raw:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_ARRAY;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const char *json_type_name(enum json_type type)
{
    static const char *const NAMES[] = {"null", "boolean", "number", "string", "array", "object"};
    return NAMES[type];
}

size_t json_size(const struct json *node)
{
    size_t n = 0;
    for (const struct json *child = json_first(node); child; child = json_next(child))
        n++;
    return n;
}

struct json *json_get(const struct json *object, const char *key)
{
    if (!object || !cJSON_IsObject(in(object)))
        return NULL;
    return (struct json *)cJSON_GetObjectItemCaseSensitive(in(object), key);
}

struct json *json_first(const struct json *node)
{
    return node ? (struct json *)in(node)->child : NULL;
}

struct json *json_next(const struct json *node) { return (struct json *)in(node)->next; }

const char *json_key(const struct json *child) { return in(child)->string; }

const char *json_string(const struct json *node)
{
    assert(json_type(node) == JSON_STRING);
    return in(node)->valuestring;
}

double json_number(const struct json *node)
{
    assert(json_type(node) == JSON_NUMBER);
    return cJSON_IsRaw(in(node)) ? strtod(in(node)->valuestring, NULL) : in(node)->valuedouble;
}

bool json_bool(const struct json *node)
{
    assert(json_type(node) == JSON_BOOL);
    return cJSON_IsTrue(in(node));
}

/* ---- typed reads --------------------------------------------------------------------------- */

#define SHOWN_BYTES 40 /* of a wrong value in a message */

/* "n is "two": must be <right>" with the value found, cut to a length fit for one line. */
static bool fail_value(struct error *err, const char *key, const struct json *found,
                       const char *right)
{
    enum json_type type = json_type(found);
    if (type == JSON_ARRAY || type == JSON_OBJECT)
        return fail_field(err, key, "%s is an %s: must be %s", key, json_type_name(type), right);
    struct buf text = {0};
    json_print(&text, found, 0);
    size_t shown = text.size;
    if (shown > SHOWN_BYTES) {
        shown = SHOWN_BYTES;
        while (shown > 0 && ((unsigned char)text.data[shown] & 0xc0) == 0x80)
            shown--; /* never cut a character in two */
    }
    fail_field(err, key, "%s is %.*s%s: must be %s", key, (int)shown, text.data,
               shown < text.size ? "..." : "", right);
    buf_free(&text);
    return false;
}

/* The child at key, or NULL when it is absent or null. */
static const struct json *get_set(const struct json *object, const char *key)
{
    const struct json *node = json_get(object, key);
    return node && json_type(node) != JSON_NULL ? node : NULL;
}

bool json_read_int(const struct json *object, const char *key, int64_t min, int64_t max,
                   int64_t *value, struct error *err)
{
    const struct json *node = get_set(object, key);
    if (!node)
        return true;
    double number = json_type(node) == JSON_NUMBER ? json_number(node) : NAN;
    bool is_exact = number == floor(number) && fabs(number) <= MAX_EXACT;
    if (is_exact && (int64_t)number >= min && (int64_t)number <= max) {
        *value = (int64_t)number;
        return true;
    }
    int64_t low = min < -(int64_t)MAX_EXACT ? -(int64_t)MAX_EXACT : min;
    int64_t high = max > (int64_t)MAX_EXACT ? (int64_t)MAX_EXACT : max;
    char right[96];
    snprintf(right, sizeof right, "an integer from %" PRId64 " to %" PRId64, low, high);
    return fail_value(err, key, node, right);
}

bool json_read_double(const struct json *object, const char *key, double min, double max,
                      double *value, struct error *err)
{
    const struct json *node = get_set(object, key);
    if (!node)
        return true;
    double number = json_type(node) == JSON_NUMBER ? json_number(node) : NAN;
    if (number >= min && number <= max) {
        *value = number;
        return true;
    }
    char right[96];
    snprintf(right, sizeof right, "a number from %g to %g", min, max);
    return fail_value(err, key, node, right);
}

bool json_read_bool(const struct json *object, const char *key, bool *value, struct error *err)
{
    const struct json *node = get_set(object, key);
    if (!node)
        return true;
    if (json_type(node) != JSON_BOOL)
        return fail_value(err, key, node, "true or false");
    *value = json_bool(node);
    return true;
}

bool json_read_string(const struct json *object, const char *key, const char **value,
                      struct error *err)
{
    const struct json *node = get_set(object, key);
    if (!node)
        return true;
    if (json_type(node) != JSON_STRING)
        return fail_value(err, key, node, "a string");
    *value = json_string(node);
    return true;
}

/* ---- building ------------------------------------------------------------------------------ */

struct json *json_new_object(void) { return made(cJSON_CreateObject()); }

struct json *json_new_array(void) { return made(cJSON_CreateArray()); }

struct json *json_new_string(const char *text) { return made(cJSON_CreateString(text)); }

struct json *json_new_int(int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    return made(cJSON_CreateRaw(text));
}

struct json *json_new_double(double value)
{
    if (!isfinite(value))
        return json_new_null();
    struct buf text = {0};
    json_print_double(&text, value);
    struct json *node = made(cJSON_CreateRaw(text.data));
    buf_free(&text);
    return node;
}

struct json *json_new_bool(bool value) { return made(cJSON_CreateBool(value)); }

struct json *json_new_null(void) { return made(cJSON_CreateNull()); }

struct json *json_copy(const struct json *node) { return made(cJSON_Duplicate(in(node), 1)); }

void json_set(struct json *object, const char *key, struct json *value)
{
    assert(cJSON_IsObject(in(object)));
    cJSON *into = in_mutable(object);
    bool ok = cJSON_GetObjectItemCaseSensitive(into, key)
                  ? cJSON_ReplaceItemInObjectCaseSensitive(into, key, in_mutable(value))
                  : cJSON_AddItemToObject(into, key, in_mutable(value));
    if (!ok)
        made(NULL);
}

void json_set_known(struct json *object, const char *key, double value)
{
    if (isfinite(value))
        json_set(object, key, json_new_double(value));
}

void json_push(struct json *array, struct json *value)
{
    assert(cJSON_IsArray(in(array)));
    if (!cJSON_AddItemToArray(in_mutable(array), in_mutable(value)))
        made(NULL);
}

/* ---- printing ------------------------------------------------------------------------------ */

static void print_break(struct buf *out, int indent, int depth)
{
    if (indent == 0)
        return;
    size_t width = (size_t)indent * (size_t)depth;
    char *to = buf_reserve(out, width + 1);
    to[0] = '\n';
    memset(to + 1, ' ', width);
    to[width + 1] = '\0';
    out->size += width + 1;
}

static void print_node(struct buf *out, const struct json *node, int indent, int depth);

static void print_children(struct buf *out, const struct json *node, int indent, int depth)
{
    bool is_object = json_type(node) == JSON_OBJECT;
    buf_putc(out, is_object ? '{' : '[');
    for (const struct json *child = json_first(node); child; child = json_next(child)) {
        if (child != json_first(node))
            buf_putc(out, ',');
        print_break(out, indent, depth + 1);
        if (is_object) {
            json_print_string(out, json_key(child), strlen(json_key(child)));
            buf_puts(out, indent ? ": " : ":");
        }
        print_node(out, child, indent, depth + 1);
    }
    if (json_first(node))
        print_break(out, indent, depth);
    buf_putc(out, is_object ? '}' : ']');
}

static void print_number(struct buf *out, const cJSON *node)
{
    double value = node->valuedouble;
    if (cJSON_IsRaw(node))
        buf_puts(out, node->valuestring);
    else if (value == floor(value) && fabs(value) <= MAX_EXACT)
        buf_printf(out, "%" PRId64, (int64_t)value);
    else
        json_print_double(out, value);
}

static void print_node(struct buf *out, const struct json *node, int indent, int depth)
{
    switch (json_type(node)) {
    case JSON_NULL:
        buf_puts(out, "null");
        break;
    case JSON_BOOL:
        buf_puts(out, json_bool(node) ? "true" : "false");
        break;
    case JSON_NUMBER:
        print_number(out, in(node));
        break;
    case JSON_STRING:
        json_print_string(out, json_string(node), strlen(json_string(node)));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        print_children(out, node, indent, depth);
        break;
    }
}

void json_print(struct buf *out, const struct json *node, int indent)
{
    print_node(out, node, indent, 0);
}
