/* A ring of files in order of arrival, searched from the newest backwards: with at most some
 * hundred entries that is cheaper than anything clever. */
#include "server/store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { REMEMBERED_IDS = 1024 };

struct entry {
    char id[STORE_ID_SIZE];
    enum image_format format;
    struct buf file;
};

struct store {
    pthread_mutex_t mutex;
    /* guarded by mutex, the limits apart */
    struct entry *entries; /* ring of max_images, the oldest at first */
    size_t first, n_images, n_bytes;
    size_t max_images, max_bytes;
    char (*dropped)[STORE_ID_SIZE]; /* ring of REMEMBERED_IDS; "" is a free place */
    size_t next_dropped;
};

struct store *store_open(size_t max_images, size_t max_bytes)
{
    struct store *s = xcalloc(1, sizeof *s);
    pthread_mutex_init(&s->mutex, NULL);
    s->entries = xcalloc(max_images, sizeof *s->entries);
    s->dropped = xcalloc(REMEMBERED_IDS, sizeof *s->dropped);
    s->max_images = max_images;
    s->max_bytes = max_bytes;
    return s;
}

static struct entry *entry_at(struct store *s, size_t age_order)
{
    return &s->entries[(s->first + age_order) % s->max_images];
}

static void drop_oldest(struct store *s)
{
    struct entry *oldest = entry_at(s, 0);
    memcpy(s->dropped[s->next_dropped], oldest->id, STORE_ID_SIZE);
    s->next_dropped = (s->next_dropped + 1) % REMEMBERED_IDS;
    s->n_bytes -= oldest->file.size;
    buf_free(&oldest->file);
    *oldest = (struct entry){0};
    s->first = (s->first + 1) % s->max_images;
    s->n_images--;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    while (s->n_images)
        drop_oldest(s);
    pthread_mutex_destroy(&s->mutex);
    free(s->entries);
    free(s->dropped);
    free(s);
}

/* 128 random bits: a name can't be guessed by those who did not get it. */
static void make_id(char id[STORE_ID_SIZE])
{
    unsigned char random[16];
    while (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {}
    memcpy(id, "img-", 4);
    for (size_t i = 0; i < sizeof random; i++) {
        id[4 + 2 * i] = "0123456789abcdef"[random[i] >> 4];
        id[5 + 2 * i] = "0123456789abcdef"[random[i] & 15];
    }
    id[4 + 2 * sizeof random] = '\0';
}

bool store_put(struct store *s, struct buf *file, enum image_format format, char id[STORE_ID_SIZE],
               struct error *err)
{
    if (file->size > s->max_bytes) {
        return fail_field(err, "response_format",
                          "response_format 'url': the image file of %zu bytes is larger than the "
                          "server's store of %zu bytes: ask for 'b64_json'",
                          file->size, s->max_bytes);
    }
    make_id(id);
    pthread_mutex_lock(&s->mutex);
    while (s->n_images == s->max_images || s->n_bytes + file->size > s->max_bytes)
        drop_oldest(s);
    struct entry *entry = entry_at(s, s->n_images);
    memcpy(entry->id, id, STORE_ID_SIZE);
    entry->format = format;
    entry->file = *file;
    s->n_images++;
    s->n_bytes += file->size;
    pthread_mutex_unlock(&s->mutex);
    *file = (struct buf){0};
    return true;
}

static enum store_answer find(struct store *s, const char *id, struct entry **found)
{
    for (size_t i = s->n_images; i-- > 0;) {
        *found = entry_at(s, i);
        if (strcmp((*found)->id, id) == 0)
            return STORE_FOUND;
    }
    for (size_t i = 0; i < REMEMBERED_IDS; i++) {
        if (*id && strcmp(s->dropped[i], id) == 0)
            return STORE_DROPPED;
    }
    return STORE_UNKNOWN;
}

enum store_answer store_get(struct store *s, const char *id, struct buf *out,
                            enum image_format *format)
{
    struct entry *entry = NULL;
    pthread_mutex_lock(&s->mutex);
    enum store_answer answer = find(s, id, &entry);
    if (answer == STORE_FOUND) {
        *format = entry->format;
        buf_append(out, entry->file.data, entry->file.size);
    }
    pthread_mutex_unlock(&s->mutex);
    return answer;
}

struct store_size store_size(struct store *s)
{
    pthread_mutex_lock(&s->mutex);
    struct store_size size = {.n_images = s->n_images, .n_bytes = s->n_bytes};
    pthread_mutex_unlock(&s->mutex);
    return size;
}
