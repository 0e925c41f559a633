#include "client/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RUN_BYTES SPILL_MEMORY       /* sorted in memory, then merged */
#define MAX_ITEM 64                  /* bytes */
#define TRIM_BYTES ((size_t)4 << 20) /* of an array merged between two trims */

int spill_nameless(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) { /* a file system without nameless files */
        char *path = xasprintf("%s/.kept.XXXXXX", dir);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
        free(path);
    }
    return fd;
}

/* ---- writing -------------------------------------------------------------------------------- */

static bool open_file(struct spill *s, struct error *err)
{
    if (s->has_file)
        return true;
    s->fd = spill_nameless(s->dir);
    s->has_file = s->fd >= 0;
    return s->has_file ||
           fail(err, ERR_IO, "can't create a file in %s: %s", s->dir, strerror(errno));
}

static bool flush(struct spill *s, struct error *err)
{
    size_t done = 0;
    if (!open_file(s, err))
        return false;
    while (done < s->tail.size) {
        ssize_t n = write(s->fd, s->tail.data + done, s->tail.size - done);
        if (n < 0 && errno != EINTR)
            return fail(err, ERR_IO, "can't write a file in %s: %s", s->dir, strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    buf_clear(&s->tail);
    return true;
}

bool spill_append(struct spill *s, const void *bytes, size_t size, struct error *err)
{
    buf_append(&s->tail, bytes, size);
    s->size += size;
    return !s->dir || s->tail.size <= SPILL_MEMORY || flush(s, err);
}

static bool map(struct spill *s, struct error *err)
{
    void *at = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (at == MAP_FAILED)
        return fail(err, ERR_IO, "can't map a file of %zu bytes in %s: %s", s->size, s->dir,
                    strerror(errno));
    s->at = at;
    buf_free(&s->tail);
    return true;
}

bool spill_zero(struct spill *s, size_t size, struct error *err)
{
    s->size = size;
    if (!s->dir || size <= SPILL_MEMORY) {
        memset(buf_reserve(&s->tail, size), 0, size);
        s->at = s->tail.data;
        return true;
    }
    if (!open_file(s, err))
        return false;
    int code = posix_fallocate(s->fd, 0, (off_t)size); /* a hole could not be filled later */
    if (code != 0)
        return fail(err, ERR_IO, "no room for %zu bytes in %s: %s", size, s->dir, strerror(code));
    return map(s, err);
}

bool spill_done(struct spill *s, struct error *err)
{
    if (s->has_file)
        return flush(s, err) && map(s, err);
    buf_putc(&s->tail, '\0'); /* an empty one has an address too */
    s->at = s->tail.data;
    return true;
}

void spill_trim(const struct spill *s)
{
    if (s->has_file && s->at)
        madvise(s->at, s->size, MADV_DONTNEED); /* a shared mapping keeps its content */
}

void spill_close(struct spill *s)
{
    if (s->has_file && s->at)
        munmap(s->at, s->size);
    if (s->has_file)
        close(s->fd);
    buf_free(&s->tail);
    *s = (struct spill){.dir = s->dir};
}

/* ---- sorting -------------------------------------------------------------------------------- */

struct merge {
    struct spill *from, *to;
    size_t item, width; /* of runs, in bytes */
    int (*order)(const void *, const void *);
    size_t untrimmed;
};

static bool put(struct merge *m, const char *item, struct error *err)
{
    m->untrimmed += m->item;
    if (m->untrimmed >= TRIM_BYTES) {
        spill_trim(m->from);
        m->untrimmed = 0;
    }
    return spill_append(m->to, item, m->item, err);
}

/* Two neighbouring runs, the first of which begins at `at`. */
static bool merge_two(struct merge *m, size_t at, struct error *err)
{
    const char *base = m->from->at;
    size_t left = m->from->size - at;
    size_t n_a = left < m->width ? left : m->width;
    size_t n_b = left - n_a < m->width ? left - n_a : m->width;
    const char *a = base + at, *a_end = a + n_a, *b = a_end, *b_end = b + n_b;
    bool ok = true;
    while (ok && (a < a_end || b < b_end)) {
        bool takes_a = b == b_end || (a < a_end && m->order(a, b) <= 0);
        ok = put(m, takes_a ? a : b, err);
        *(takes_a ? &a : &b) += m->item;
    }
    return ok;
}

bool spill_sort(struct spill *s, size_t item_bytes, int (*order)(const void *, const void *),
                struct error *err)
{
    struct merge m = {.from = s, .item = item_bytes, .order = order};
    bool ok = true;
    m.width = RUN_BYTES / MAX_ITEM * item_bytes;
    for (size_t at = 0; at < s->size; at += m.width) {
        size_t n = s->size - at < m.width ? s->size - at : m.width;
        qsort(s->at + at, n / item_bytes, item_bytes, order);
        spill_trim(s);
    }
    for (; ok && m.width < s->size; m.width *= 2) {
        struct spill merged = {.dir = s->dir};
        m.to = &merged;
        for (size_t at = 0; ok && at < s->size; at += 2 * m.width)
            ok = merge_two(&m, at, err);
        ok = ok && spill_done(&merged, err);
        spill_close(ok ? s : &merged);
        if (ok)
            *s = merged;
    }
    return ok;
}
