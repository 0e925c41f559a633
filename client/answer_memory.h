/* Answers that were judged before. A verdict on a body depends on its bytes alone, so one that is
 * equal to a known one, byte for byte, need not be parsed, hashed and decoded again, nor even be
 * kept: servers under test give the same pictures many times. The transport compares bytes as they
 * arrive (answer_same_*); what arrived otherwise is compared when it is judged.
 *
 * An answer with stages of its own or pictures by address is not remembered. Any thread. */
#pragma once

#include <stdatomic.h>

#include "client/record.h"

#define ANSWER_MEMORY_BYTES ((size_t)8 << 20) /* bodies that are kept, together */
#define ANSWER_MEMORY_ITEMS 16

/* A judged, successful answer. Its bytes and verdict never change; lives while anybody holds it. */
struct answer_known {
    struct buf body; /* owned */
    size_t n_images;
    int64_t usage_prompt_tokens, usage_completion_tokens, image_bytes, image_pixels;
    struct record_image *images; /* owned, n_images, as are the digests */
    uint8_t (*digests)[SHA256_SIZE];
    size_t first_shown, n_shown; /* its pictures in the report's gallery; the records thread's */
    atomic_int n_holders;
};

struct answer_memory;

struct answer_memory *answer_memory_open(void);
void answer_memory_close(struct answer_memory *m); /* NULL is fine */

/* Remember a judged, successful answer, whose body and verdict are taken over from the record: it
 * holds the known answer from then on. The oldest ones are forgotten when there are too many. */
void answer_memory_keep(struct answer_memory *m, struct record *r, size_t first_shown,
                        size_t n_shown);

/* Give the record an equal answer (known) in place of its body; false: there is none. */
bool answer_memory_recognise(struct answer_memory *m, struct record *r);
/* Give the record the verdict on its known answer. */
void answer_memory_recall(struct record *r);

/* ---- while it arrives ----------------------------------------------------------------------- */

/* The next bytes of a body. True: they go on like a known answer and are not to be kept. False:
 * they are, behind what is in r->body now. Needs r->memory, r->expected_bytes and, for the first
 * bytes, an empty body. */
bool answer_same_bytes(struct record *r, const char *data, size_t size);
/* The body ends here, complete or not: what is less than a known answer is put into r->body. */
void answer_same_end(struct record *r);

/* Let go of the known answer, with the verdict that came from it; nothing happens without one. */
void answer_forget(struct record *r);
