/* Private to image/: stb_image and stb_image_write behind functions without global state.
 *
 * The libraries are compiled into stb_read.c and stb_write.c and used nowhere else. Of their
 * globals the writer's settings keep their initial values for ever, and the reader's failure reason
 * is thread-local: any number of threads may call these at a time. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "image/image.h"

/* Longest side stb may decode whatever the caller allows. */
#define STB_MAX_SIDE_PX 32768

/* Decode a file whose structure was checked and whose sides are those of out; format names it in
 * errors. Fails when stb finds other sides or can't read it. out owns the pixels on success. */
bool stb_decode(struct image *out, const char *format, const void *bytes, size_t size,
                struct error *err);

/* Append the file. The image's bytes, filter bytes included, are fewer than 2^31. */
bool stb_encode_png(struct buf *out, const struct image *image, struct error *err);
bool stb_encode_jpeg(struct buf *out, const struct image *image, int quality, struct error *err);
