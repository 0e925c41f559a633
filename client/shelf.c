#include "client/shelf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AHEAD ((size_t)64 << 10) /* read at once when pieces are wanted in order */

/* ---- writing -------------------------------------------------------------------------------- */

bool shelf_append(struct shelf *s, const void *bytes, size_t size, struct error *err)
{
    return spill_append(&s->bytes, bytes, size, err);
}

static bool put_end(struct shelf *s, uint64_t end, struct error *err)
{
    return spill_append(&s->ends, &end, sizeof end, err);
}

bool shelf_end(struct shelf *s, struct error *err)
{
    bool ok = s->n > 0 || put_end(s, 0, err);
    s->n++;
    return ok && put_end(s, s->bytes.size, err);
}

bool shelf_done(struct shelf *s, struct error *err)
{
    return spill_done(&s->bytes, err) && spill_done(&s->ends, err);
}

void shelf_close(struct shelf *s)
{
    spill_close(&s->bytes);
    spill_close(&s->ends);
    s->n = 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

static _Noreturn void die(const struct spill *s, size_t got, const char *why)
{
    fprintf(stderr, "can't read the data set's file in %s: %s after %zu bytes\n", s->dir, why, got);
    abort();
}

static void load(struct shelf_window *w, const struct spill *s, size_t from, size_t size)
{
    buf_clear(&w->bytes);
    char *to = buf_reserve(&w->bytes, size);
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(s->fd, to + got, size - got, (off_t)(from + got));
        if (n == 0 || (n < 0 && errno != EINTR))
            die(s, got, n < 0 ? strerror(errno) : "it ends");
        got += n > 0 ? (size_t)n : 0;
    }
    w->bytes.size = size;
    w->from = from;
}

static const char *look(struct shelf_window *w, const struct spill *s, size_t from, size_t size,
                        size_t ahead)
{
    if (!s->has_file)
        return s->at + from;
    if (from < w->from || from + size > w->from + w->bytes.size) {
        size_t left = s->size - from, wanted = size > ahead ? size : ahead;
        load(w, s, from, wanted < left ? wanted : left);
    }
    return w->bytes.data + (from - w->from);
}

const char *shelf_at(struct shelf_reader *r, size_t i, size_t *size)
{
    const struct shelf *s = r->shelf;
    size_t ahead = i == r->next ? AHEAD : 0;
    uint64_t ends[2];
    memcpy(ends, look(&r->ends, &s->ends, i * sizeof ends[0], sizeof ends, ahead), sizeof ends);
    r->next = i + 1;
    *size = (size_t)(ends[1] - ends[0]);
    return look(&r->bytes, &s->bytes, (size_t)ends[0], *size, ahead);
}

void shelf_reader_free(struct shelf_reader *r)
{
    buf_free(&r->bytes.bytes);
    buf_free(&r->ends.bytes);
}
