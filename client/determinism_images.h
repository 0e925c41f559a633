/* The pictures that a run left behind, and how far two of them are from each other. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "client/record.h"
#include "image/image.h"

struct determinism_picture {
    char *prompt; /* owned: the conversation_id of its request, the same for the same prompt */
    char request_id[UUID_SIZE];
    size_t index;                     /* within the answer */
    char sha256[2 * SHA256_SIZE + 1]; /* of the file, hexadecimal */
};

/* Zero-initialise; determinism_run_free. */
struct determinism_run {
    char *dir;                            /* owned */
    struct determinism_picture *pictures; /* owned */
    size_t n_pictures;
};

/* Read the pictures of successful requests of the measurement from the record lines in dir. */
bool determinism_run_read(struct determinism_run *r, const char *dir, struct error *err);
void determinism_run_free(struct determinism_run *r);

/* The picture of that prompt at that place; NULL: there is none. */
const struct determinism_picture *determinism_run_find(const struct determinism_run *r,
                                                       const char *prompt, size_t index);

/* Decode a picture out of the run's raw export. Fails when it is not in there (an answer with a
 * url has none). */
bool determinism_run_decode(const struct determinism_run *r, const struct determinism_picture *p,
                            struct image *out, struct error *err);

struct determinism_distance {
    bool is_known;      /* else the pictures could not be read, or have different sides */
    double psnr_db;     /* over all channels, peak 255; infinite for equal pixels */
    int max_difference; /* of a channel, 0..255 */
    double share;       /* of the pixels that differ */
};

struct determinism_distance determinism_measure(const struct image *a, const struct image *b);
