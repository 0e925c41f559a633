/* Answers that were judged before. A verdict on a body depends on its bytes alone, so one that is
 * equal to the last, byte for byte, need not be parsed, hashed and decoded again: servers under
 * test give the same picture many times, and a comparison costs a hundredth of that.
 *
 * One thread; an answer with stages of its own or pictures by address is not remembered. */
#pragma once

#include "client/record.h"

#define ANSWER_MEMORY_MAX ((size_t)8 << 20) /* bytes of a body that is kept */

struct answer_memory {
    struct buf body; /* owned; empty: nothing is remembered */
    size_t n_images;
    int64_t usage_prompt_tokens, usage_completion_tokens, image_bytes, image_pixels;
    struct record_image *images; /* owned, n_images, as are the digests */
    uint8_t (*digests)[SHA256_SIZE];
    char *served_model; /* owned, or NULL */
};

/* Give the record the verdict of an equal answer; false: there was none. */
bool answer_memory_recall(const struct answer_memory *m, struct record *r);

/* Remember a judged, successful answer, whose body is taken from the record. */
void answer_memory_keep(struct answer_memory *m, struct record *r);

void answer_memory_free(struct answer_memory *m);
