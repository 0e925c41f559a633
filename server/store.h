/* Finished image files that wait to be fetched by URL (response_format "url").
 *
 * Bounded by count and by bytes: the oldest go first. Names are random, and names of images that
 * were dropped are remembered for a while, so that a late client hears "gone" instead of "never
 * existed". Any thread may call. */
#pragma once

#include "image/image.h"

enum { STORE_ID_SIZE = 40 }; /* with the final NUL */

struct store;

struct store *store_open(size_t max_images, size_t max_bytes);
void store_close(struct store *s); /* NULL is fine */

/* Take over file->data (file is empty afterwards) and write its name to id. ERR_INVALID when the
 * file alone is over the limit. */
bool store_put(struct store *s, struct buf *file, enum image_format format, char id[STORE_ID_SIZE],
               struct error *err);

enum store_answer { STORE_FOUND, STORE_UNKNOWN, STORE_DROPPED };

/* Append a copy of the file to out. */
enum store_answer store_get(struct store *s, const char *id, struct buf *out,
                            enum image_format *format);

struct store_size {
    size_t n_images, n_bytes;
};
struct store_size store_size(struct store *s);
