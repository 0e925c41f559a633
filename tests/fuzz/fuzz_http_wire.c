/* Any bytes as an answer of HTTP/1.1: whether they come at once or one by one, the same is found.
 */
#include <string.h>

#include "client/http_wire.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BODY 100000

struct found {
    struct buf lines, body;
};

static void on_line(void *self, const char *line, size_t size)
{
    CLAIM(size > 0 && line[size - 1] == '\n');
    buf_append(&((struct found *)self)->lines, line, size);
}

static bool on_body(void *self, const char *data, size_t size)
{
    struct found *f = self;
    CLAIM(size > 0);
    buf_append(&f->body, data, size);
    return f->body.size <= MAX_BODY;
}

static size_t read_in_pieces(struct wire *w, struct found *f, const char *data, size_t size,
                             size_t piece)
{
    const struct wire_hooks hooks = {.self = f, .line = on_line, .body = on_body};
    size_t at = 0;
    while (at < size) {
        size_t n = size - at < piece ? size - at : piece;
        size_t n_used = wire_read(w, data + at, n, &hooks);
        CLAIM(n_used <= n);
        at += n_used;
        if (n_used < n)
            break;
    }
    CLAIM(at == size || w->state == WIRE_DONE || w->state == WIRE_BAD);
    CLAIM((w->state == WIRE_BAD) == (w->why != NULL));
    return at;
}

static bool is_equal(const struct buf *a, const struct buf *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire whole = {0}, split = {0};
    struct found of_whole = {0}, of_split = {0};
    size_t n = read_in_pieces(&whole, &of_whole, (const char *)data, size, size);
    size_t n_split = read_in_pieces(&split, &of_split, (const char *)data, size, 1);
    CLAIM(whole.state == split.state && whole.status == split.status);
    CLAIM(is_equal(&of_whole.lines, &of_split.lines));
    CLAIM(whole.state == WIRE_BAD || (n == n_split && is_equal(&of_whole.body, &of_split.body)));
    CLAIM(whole.state == WIRE_BAD || wire_end(&whole) == wire_end(&split));
    wire_free(&whole);
    wire_free(&split);
    buf_free(&of_whole.lines);
    buf_free(&of_whole.body);
    buf_free(&of_split.lines);
    buf_free(&of_split.body);
    return 0;
}
