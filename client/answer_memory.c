#include "client/answer_memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct answer_memory {
    pthread_mutex_t lock;                            /* guards the rest */
    struct answer_known *items[ANSWER_MEMORY_ITEMS]; /* held; the oldest first */
    size_t n_items, bytes;
};

/* ---- holders -------------------------------------------------------------------------------- */

static void release(struct answer_known *k)
{
    if (!k || atomic_fetch_sub(&k->n_holders, 1) > 1)
        return;
    buf_free(&k->body);
    free(k->images);
    free(k->digests);
    free(k);
}

static struct answer_known *hold(struct answer_known *k)
{
    if (k)
        atomic_fetch_add(&k->n_holders, 1);
    return k;
}

void answer_forget(struct record *r)
{
    if (r->is_recalled) { /* they are the known answer's */
        r->images = NULL;
        r->digests = NULL;
    }
    r->is_recalled = false;
    release(r->known);
    r->known = NULL;
    r->n_same = 0;
}

/* ---- life ----------------------------------------------------------------------------------- */

struct answer_memory *answer_memory_open(void)
{
    struct answer_memory *m = xcalloc(1, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

static void drop_oldest(struct answer_memory *m)
{
    m->bytes -= m->items[0]->body.capacity;
    release(m->items[0]);
    memmove(&m->items[0], &m->items[1], --m->n_items * sizeof m->items[0]);
}

void answer_memory_close(struct answer_memory *m)
{
    if (!m)
        return;
    while (m->n_items > 0)
        drop_oldest(m);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* ---- finding -------------------------------------------------------------------------------- */

/* A known answer of `size` bytes that begins with n of data, held; or NULL. */
static struct answer_known *find(struct answer_memory *m, size_t size, const char *data, size_t n)
{
    struct answer_known *found = NULL;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->n_items && !found; i++) {
        const struct buf *body = &m->items[i]->body;
        if (body->size == size && n <= size && memcmp(body->data, data, n) == 0)
            found = hold(m->items[i]);
    }
    pthread_mutex_unlock(&m->lock);
    return found;
}

void answer_memory_recall(struct record *r)
{
    const struct answer_known *k = r->known;
    r->is_recalled = true;
    r->n_returned = r->n_decoded = k->n_images;
    r->usage_prompt_tokens = k->usage_prompt_tokens;
    r->usage_completion_tokens = k->usage_completion_tokens;
    r->image_bytes = k->image_bytes;
    r->image_pixels = k->image_pixels;
    r->images = k->images;
    r->digests = k->digests;
}

bool answer_memory_recognise(struct answer_memory *m, struct record *r)
{
    if (!r->known && r->body.size > 0)
        r->known = find(m, r->body.size, r->body.data, r->body.size);
    if (!r->known)
        return false;
    buf_free(&r->body);
    return true;
}

void answer_memory_keep(struct answer_memory *m, struct record *r, size_t first_shown,
                        size_t n_shown)
{
    if (r->known) { /* it was judged anew, to be shown */
        r->known->first_shown = first_shown;
        r->known->n_shown = n_shown;
    }
    if (r->known || r->body.capacity > ANSWER_MEMORY_BYTES)
        return;
    struct answer_known *k = xcalloc(1, sizeof *k);
    k->body = r->body;
    r->body = (struct buf){0};
    k->n_images = r->n_returned;
    k->usage_prompt_tokens = r->usage_prompt_tokens;
    k->usage_completion_tokens = r->usage_completion_tokens;
    k->image_bytes = r->image_bytes;
    k->image_pixels = r->image_pixels;
    k->images = r->images;
    k->digests = r->digests;
    k->first_shown = first_shown;
    k->n_shown = n_shown;
    atomic_init(&k->n_holders, 2); /* the memory and the record */
    r->known = k;
    answer_memory_recall(r);
    pthread_mutex_lock(&m->lock);
    while (m->n_items > 0 &&
           (m->n_items == ANSWER_MEMORY_ITEMS || m->bytes + k->body.capacity > ANSWER_MEMORY_BYTES))
        drop_oldest(m);
    m->items[m->n_items++] = k;
    m->bytes += k->body.capacity;
    pthread_mutex_unlock(&m->lock);
}

/* ---- while it arrives ----------------------------------------------------------------------- */

static void stop_comparing(struct record *r)
{
    struct answer_known *k = r->known;
    size_t n = r->n_same;
    r->known = NULL;
    r->n_same = 0;
    buf_reserve(&r->body, r->expected_bytes > n ? r->expected_bytes : n);
    buf_append(&r->body, k->body.data, n);
    release(k);
}

bool answer_same_bytes(struct record *r, const char *data, size_t size)
{
    bool is_first = r->body.size == 0 && r->n_same == 0;
    if (is_first && !r->known && r->expected_bytes > 0)
        r->known = find(r->memory, r->expected_bytes, data, size);
    if (!r->known)
        return false;
    bool is_same = size <= r->known->body.size - r->n_same &&
                   (is_first || memcmp(r->known->body.data + r->n_same, data, size) == 0);
    if (is_same)
        r->n_same += size;
    else
        stop_comparing(r);
    return is_same;
}

void answer_same_end(struct record *r)
{
    if (r->known && r->n_same < r->known->body.size)
        stop_comparing(r);
}
