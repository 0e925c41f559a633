/* The pictures that report.html shows: those of the first answers, small ones as they came, large
 * ones shrunk. What is kept is bounded in number and bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "image/image.h"

#define REPORT_HTML_MAX_IMAGES 64
#define REPORT_HTML_MAX_IMAGE_TEXT ((size_t)8 << 20) /* base64 of all of them, in bytes */
#define REPORT_HTML_SMALL_FILE ((size_t)128 << 10)   /* larger files are shown shrunk ... */
#define REPORT_HTML_THUMBNAIL_PX 256                 /* ... to sides of at most that */

struct report_html_image {
    char *prompt;            /* owned, cut when it is long; NULL: not known */
    const char *mime;        /* static */
    struct buf text;         /* base64 */
    int width_px, height_px; /* of the picture that came */
    double latency_ms;
};

/* Zero-initialise; report_html_images_free. One thread at a time. */
struct report_html_images {
    struct report_html_image *items; /* owned */
    size_t n_items, text_bytes;
    bool is_full; /* the next one did not fit: nothing more is taken */
};

/* Offer a picture file and its pixels; it is copied while there is room. prompt may be NULL. */
void report_html_images_add(struct report_html_images *images, const void *file, size_t size,
                            const struct image *pixels, const char *prompt, double latency_ms);
/* Offer picture i of items once more, which has come again. */
void report_html_images_repeat(struct report_html_images *images, size_t i, const char *prompt,
                               double latency_ms);
void report_html_images_free(struct report_html_images *images);

/* Append the gallery; n_all is the number of pictures of the run. Nothing when there is none. */
void report_html_images_print(struct buf *out, const struct report_html_images *images,
                              size_t n_all);
