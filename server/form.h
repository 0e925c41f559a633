/* A form as HTML sends it (multipart/form-data, RFC 7578), gathered part by part. Knows no sockets:
 * http.c takes the body apart and hands over the pieces. */
#pragma once

#include "base/buf.h"

enum { FORM_MAX_PARTS = 64 };

struct form_part {
    char *name;       /* owned, not empty */
    struct buf value; /* owned; of any bytes, data is never NULL */
};

/* Zero-initialise; form_free. */
struct form {
    struct form_part parts[FORM_MAX_PARTS];
    int n_parts;
};

/* What stands above a part's value; strings are borrowed, each may be NULL. */
struct form_head {
    const char *name, *transfer_encoding;
};

/* Append size bytes of a value: offset 0 begins a part, more go on with the last one. An empty
 * piece may come first, so that offset 0 also goes on with an empty part of the same name. Fails
 * for a part that can't be taken: no name, a coded value, one too many. */
bool form_add(struct form *form, const struct form_head *head, size_t offset, const void *bytes,
              size_t size, struct error *err);
void form_free(struct form *form);
