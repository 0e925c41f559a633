/* Rows of one size in chunks of 1 MiB, each mapped once and never moved. The room of a chunk is
 * reserved before it is mapped: writing to a mapped hole on a full disk would end the process. */
#include "client/kept.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/spill.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define ROW_BYTES ((RECORD_KEPT_BYTES + sizeof(struct stages) + 15) / 16 * 16)
#define CHUNK_ROWS (CHUNK_BYTES / ROW_BYTES)
#define N_BUCKETS 4096

/* A text that many records share: messages of failures repeat. */
struct text {
    struct text *next;
    char text[];
};

struct kept {
    int fd;          /* -1: memory */
    char **chunks;   /* owned; CHUNK_BYTES each */
    bool *is_mapped; /* of each chunk; else from malloc */
    size_t n_chunks, n_rows;
    struct text *texts[N_BUCKETS]; /* owned lists, by hash */
    size_t n_texts;
};

/* ---- texts ---------------------------------------------------------------------------------- */

/* Servers put numbers and whole pages into messages: long ones are cut between characters, and when
 * there are many, further ones are not told apart. */
static const char *share(struct kept *k, const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    size_t n = 0;
    if (!text)
        return NULL;
    for (; text[n] && (n < KEPT_MAX_TEXT || (text[n] & 0xc0) == 0x80); n++)
        hash = (hash ^ (unsigned char)text[n]) * UINT64_C(1099511628211);
    struct text **list = &k->texts[hash % N_BUCKETS];
    for (const struct text *t = *list; t; t = t->next) {
        if (strncmp(t->text, text, n) == 0 && t->text[n] == '\0')
            return t->text;
    }
    if (k->n_texts == KEPT_MAX_TEXTS)
        return KEPT_OTHER_TEXT;
    k->n_texts++;
    struct text *t = xmalloc(sizeof *t + n + 1);
    memcpy(t->text, text, n);
    t->text[n] = '\0';
    t->next = *list;
    *list = t;
    return t->text;
}

/* ---- rows ----------------------------------------------------------------------------------- */

struct kept *kept_open(const char *dir)
{
    struct kept *k = xcalloc(1, sizeof *k);
    k->fd = dir ? spill_nameless(dir) : -1;
    return k;
}

static char *map_chunk(const struct kept *k, size_t index)
{
    off_t at = (off_t)(index * CHUNK_BYTES);
    if (k->fd < 0 || posix_fallocate(k->fd, at, (off_t)CHUNK_BYTES) != 0)
        return NULL;
    void *chunk = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, at);
    return chunk == MAP_FAILED ? NULL : chunk;
}

static void trim_chunk(const struct kept *k, size_t i)
{
    if (k->is_mapped[i])
        madvise(k->chunks[i], CHUNK_BYTES, MADV_DONTNEED); /* a shared mapping keeps its content */
}

static void add_chunk(struct kept *k)
{
    size_t i = k->n_chunks++;
    k->chunks = xrealloc(k->chunks, k->n_chunks * sizeof *k->chunks);
    k->is_mapped = xrealloc(k->is_mapped, k->n_chunks * sizeof *k->is_mapped);
    k->chunks[i] = map_chunk(k, i);
    k->is_mapped[i] = k->chunks[i] != NULL;
    if (!k->is_mapped[i])
        k->chunks[i] = xmalloc(CHUNK_BYTES);
    if (i > 0)
        trim_chunk(k, i - 1);
}

static char *row_at(const struct kept *k, size_t i)
{
    return k->chunks[i / CHUNK_ROWS] + i % CHUNK_ROWS * ROW_BYTES;
}

struct record *kept_add(struct kept *k, const struct record *r)
{
    if (k->n_rows == k->n_chunks * CHUNK_ROWS)
        add_chunk(k);
    char *row = row_at(k, k->n_rows++);
    struct record *copy = (struct record *)(void *)row;
    memcpy(row, r, RECORD_KEPT_BYTES);
    copy->error.type = share(k, r->error.type);
    copy->error.message = (char *)share(k, r->error.message);
    if (r->stages) {
        copy->stages = (struct stages *)(void *)(row + ROW_BYTES - sizeof *r->stages);
        *copy->stages = *r->stages;
        copy->stages->step_ms = NULL; /* their number and sum stay */
    }
    return copy;
}

size_t kept_count(const struct kept *k) { return k->n_rows; }

struct record *kept_at(const struct kept *k, size_t i)
{
    return (struct record *)(void *)row_at(k, i);
}

void kept_trim(const struct kept *k)
{
    for (size_t i = 0; i < k->n_chunks; i++)
        trim_chunk(k, i);
}

void kept_trim_piece(const struct kept *k, size_t i)
{
    size_t first = (i + 1 - KEPT_PASS) / CHUNK_ROWS, last = i / CHUNK_ROWS;
    if (i / KEPT_PASS % 16 == 15) {
        kept_trim(k);
        return;
    }
    for (size_t c = first; c <= last && c < k->n_chunks; c++)
        trim_chunk(k, c);
}

void kept_close(struct kept *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->n_chunks; i++) {
        if (k->is_mapped[i])
            munmap(k->chunks[i], CHUNK_BYTES);
        else
            free(k->chunks[i]);
    }
    for (size_t i = 0; i < N_BUCKETS; i++) {
        while (k->texts[i]) {
            struct text *t = k->texts[i];
            k->texts[i] = t->next;
            free(t);
        }
    }
    if (k->fd >= 0)
        close(k->fd);
    free(k->chunks);
    free(k->is_mapped);
    free(k);
}
