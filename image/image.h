/* Pictures as 8-bit RGB in memory, and as PNG, JPEG and WebP files. The only place that knows
 * image libraries: stb_image(_write) with libdeflate for PNG's compression, and libwebp. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum image_format { IMAGE_UNKNOWN, IMAGE_PNG, IMAGE_JPEG, IMAGE_WEBP, IMAGE_GIF, IMAGE_BMP };

/* Interleaved rows, top to bottom, 3 bytes a pixel. Zero-initialise; image_free. */
struct image {
    int width_px, height_px;
    uint8_t *rgb; /* owned, width * height * 3 bytes */
};

void image_free(struct image *image);

/* What the bytes are, by their signature alone. */
enum image_format image_sniff(const void *bytes, size_t size);
const char *image_format_name(enum image_format format);      /* "png", "jpeg", "webp", ... */
const char *image_format_extension(enum image_format format); /* "png", "jpg", "webp", ... */
const char *image_format_mime(enum image_format format);      /* "image/png", ... */
/* IMAGE_UNKNOWN when the name is none of png, jpeg, jpg, webp. */
enum image_format image_format_parse(const char *name);

/* Append the file. quality 1..100: JPEG and WebP quality (WebP at 100 is lossless); for PNG it is
 * ignored and compression is fixed at a fast level. Same input, same bytes. */
bool image_encode(struct buf *out, const struct image *image, enum image_format format, int quality,
                  struct error *err);

/* Decode PNG, JPEG, WebP, GIF (first frame) or BMP; alpha is dropped over white. Fails on anything
 * malformed or truncated, and when a side is longer than max_side_px, before allocating. */
bool image_decode(struct image *out, const void *bytes, size_t size, int max_side_px,
                  struct error *err);

/* Read only the dimensions; cheap. */
bool image_probe(const void *bytes, size_t size, int *width_px, int *height_px, struct error *err);
