/* The body of an image edit: a form (multipart/form-data, RFC 7578) with the parts prompt, model,
 * response_format, n, then the input picture, then the extra fields. Each part but the picture is
 * text. The order and the heads of the parts are AIPerf's. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "client/fields.h"

struct edit_input {
    const char *prompt, *model;
    const char *url;         /* of a picture that the server fetches itself, or NULL: */
    const struct buf *image; /* the picture's file: PNG, JPEG, WebP, GIF or BMP */
};

struct edit_form {
    struct buf body;    /* owned, like the rest: edit_form_free */
    struct buf json;    /* the same as an object, for files: the picture in base64 */
    char *content_type; /* with the boundary, which follows from the content */
};

/* Fail when extra sets a field that belongs to the form. */
bool edit_check_extra(const struct fields *extra, struct error *err);

/* Write the form. extra is that of all requests, row that of this one. Fails with ERR_INVALID when
 * they set a field that belongs to the form, or the picture is none. */
bool edit_form_make(struct edit_form *form, const struct edit_input *in, const struct fields *extra,
                    const struct fields *row, struct error *err);
void edit_form_free(struct edit_form *form);
