/* Ordered fields of a JSON object as text: what --extra-inputs, a row's "extra" object and the
 * request body are made of. The values stay JSON text, so that 3.0 stays 3.0 and the bytes on the
 * wire are those that AIPerf sends for the same command line.
 *
 * Setting a key that exists replaces the value in its old place. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

struct field {
    char *key;   /* owned */
    char *value; /* owned: compact JSON text */
};

struct fields {
    struct field *items; /* owned: fields_free */
    size_t n_items;
};

void fields_free(struct fields *f);
void fields_set(struct fields *f, const char *key, const char *json);
/* Set a string value, writing it as JSON. */
void fields_set_string(struct fields *f, const char *key, const char *text);
/* Set every field of from, in order. */
void fields_merge(struct fields *f, const struct fields *from);
const char *fields_get(const struct fields *f, const char *key); /* JSON text or NULL */

/* Append the object: indent 0 is compact, 2 is indented; depth is where it stands. */
void fields_print(struct buf *out, const struct fields *f, int indent, int depth);

/* Read one use of --extra-inputs: `key:value`, several of them with commas between, or a JSON
 * object (starts with '{'). A bare value is typed: true/false, none/null, integers without leading
 * zeros, numbers with one '.', else string. Top-level strings of an object are typed likewise,
 * nested values stay as they are. */
bool fields_parse(struct fields *f, const char *text, struct error *err);

/* Set the fields of a JSON object given as text; its strings stay strings. */
bool fields_parse_object(struct fields *f, const char *text, size_t size, struct error *err);

/* Append the JSON form of a bare value by the rule above. */
void fields_type_value(struct buf *out, const char *text, size_t size);

/* Append a JSON text, known to be well-formed, in normal form: no white space but the indent's,
 * integers digit for digit, other numbers in their shortest form, strings as UTF-8. */
void fields_format_json(struct buf *out, const char *json, int indent, int depth);
