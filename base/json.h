/* JSON, on top of cJSON: the one place that knows the library.
 *
 * Reading: parse into a tree, then ask for typed values. Every failure names the path, the value
 * found and what would be right. Writing: build a tree or, for output with a fixed layout, print
 * literals one by one. Strings are UTF-8. Parsing is strict (RFC 8259): trailing bytes, nesting
 * deeper than 100, numbers beyond a double, broken UTF-8 and \u0000 are refused. Parsed numbers are
 * doubles, so integers are exact up to 2^53. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct json; /* a node; a child belongs to its parent, a root to whoever made it */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Parse size bytes; NULL on failure (ERR_INVALID with line and column). json_free the root. */
struct json *json_parse(const char *text, size_t size, struct error *err);
/* The same, but strings of members with this key may stay where they are when they are long, so
 * that pictures need not be copied: text must outlive the tree, and json_text reads them. */
struct json *json_parse_around(const char *text, size_t size, const char *key, struct error *err);
/* Parse a file; failures are prefixed with its path. */
struct json *json_read_file(const char *path, struct error *err);
void json_free(struct json *root); /* NULL is fine */

enum json_type json_type(const struct json *node);
const char *json_type_name(enum json_type type); /* "string", "object", ... */
size_t json_size(const struct json *node);       /* children of an array or object, else 0 */
/* Exact, case-sensitive lookup; NULL when absent or when object is no object (or NULL). */
struct json *json_get(const struct json *object, const char *key);
/* First and following children, for loops over arrays and objects; NULL at the end. */
struct json *json_first(const struct json *node);
struct json *json_next(const struct json *node);
const char *json_key(const struct json *child); /* its name inside an object */

/* The value of a node of that type; the caller has checked json_type. A string lives as long as
 * its tree. */
const char *json_string(const struct json *node);
double json_number(const struct json *node);
/* The bytes of a string wherever they are; not terminated when they stayed in the text. */
const char *json_text(const struct json *node, size_t *size);
bool json_bool(const struct json *node);

/* Typed, ranged reads of object[key]. When the key is absent (or null) *value keeps its default
 * and the call succeeds. A wrong type or a value out of range fails with fail_field(key, ...).
 * Integers may be written 3 or 3.0; beyond 2^53 they are refused, since they might not be exact. */
bool json_read_int(const struct json *object, const char *key, int64_t min, int64_t max,
                   int64_t *value, struct error *err);
bool json_read_double(const struct json *object, const char *key, double min, double max,
                      double *value, struct error *err);
bool json_read_bool(const struct json *object, const char *key, bool *value, struct error *err);
bool json_read_string(const struct json *object, const char *key, const char **value,
                      struct error *err);

/* Building. Each returns a new root; adding it to a parent moves ownership there. */
struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_string(const char *text);
struct json *json_new_int(int64_t value);
struct json *json_new_double(double value); /* printed so that it reads back exactly: 3.0, 0.1 */
struct json *json_new_bool(bool value);
struct json *json_new_null(void);
struct json *json_copy(const struct json *node);
/* Put value at key: replaces an earlier value in its place, else appends. */
void json_set(struct json *object, const char *key, struct json *value);
/* Put a number, and nothing when it isn't finite: what is not known is left out. */
void json_set_known(struct json *object, const char *key, double value);
void json_push(struct json *array, struct json *value);
/* Append the text of node: indent 0 is compact ({"a":1,"b":[1,2]}, no spaces, UTF-8 unescaped),
 * 2 is indented like json.dumps(indent=2, ensure_ascii=False), without a final newline. */
void json_print(struct buf *out, const struct json *node, int indent);

/* Append a string literal with quotes and escapes (bytes that are no UTF-8 become U+FFFD), or a
 * number as Python's repr() shows it: 3.0, 1e-05, 1e+16. NaN and infinities, which JSON lacks,
 * become null, here and in json_new_double. */
void json_print_string(struct buf *out, const char *text, size_t size);
void json_print_double(struct buf *out, double value);
