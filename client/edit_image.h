/* Input pictures of image edits: from files, or made up. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "client/random.h"

/* Append the file that a row's `image` names: a path, or a data URL in base64. */
bool edit_image_read(struct buf *out, const char *source, struct error *err);

/* True when the server is to fetch the picture itself: an http or https address. */
bool edit_image_is_url(const char *source);

enum edit_image_format { EDIT_PNG, EDIT_JPEG, EDIT_RANDOM };

struct edit_image_shape {
    double width_mean, width_std, height_mean, height_std; /* pixels */
    int format;                                            /* enum edit_image_format */
};

/* Seeded streams: sizes and formats are those that AIPerf draws, the pixels are our own noise. */
struct edit_image_maker {
    struct edit_image_shape shape;
    struct random sizes, formats, noise;
};

void edit_image_maker_init(struct edit_image_maker *m, const struct edit_image_shape *shape,
                           int64_t seed);

/* Append the file of the next picture. Fails when it is larger than the longest side allowed. */
bool edit_image_make(struct edit_image_maker *m, struct buf *out, struct error *err);
