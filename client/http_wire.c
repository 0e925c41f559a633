#include "client/http_wire.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_LENGTH ((int64_t)1 << 53) /* any larger one is a mistake of the server */
#define NOT_HTTP "the answer does not begin like one of HTTP/1.1"

static void fail_wire(struct wire *w, const char *why)
{
    w->state = WIRE_BAD;
    w->why = why;
}

void wire_free(struct wire *w)
{
    buf_free(&w->line);
    free(w->location);
    *w = (struct wire){0};
}

/* ---- the head ------------------------------------------------------------------------------- */

static void read_status(struct wire *w, const char *line, size_t size)
{
    bool is_http = size >= 13 && memcmp(line, "HTTP/1.", 7) == 0 && line[8] == ' ';
    w->status = 0;
    for (size_t i = 9; is_http && i < 12; i++) {
        is_http = line[i] >= '0' && line[i] <= '9';
        w->status = w->status * 10 + (line[i] - '0');
    }
    if (!is_http || w->status < 100) {
        fail_wire(w, NOT_HTTP);
        return;
    }
    w->has_closed = line[7] == '0';
    w->is_chunked = w->has_length = false;
    w->n_left = -1;
    free(w->location);
    w->location = NULL;
    w->state = WIRE_FIELD;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* The value of a field line without blanks around it. */
static const char *trim(const char *from, size_t *size)
{
    const char *end = from + *size;
    while (from < end && is_space(*from))
        from++;
    while (end > from && is_space(end[-1]))
        end--;
    *size = (size_t)(end - from);
    return from;
}

static void read_length(struct wire *w, const char *value, size_t size)
{
    int64_t length = 0;
    bool is_good = size > 0;
    for (size_t i = 0; is_good && i < size; i++) {
        is_good = value[i] >= '0' && value[i] <= '9' && length < MAX_LENGTH;
        length = length * 10 + (value[i] - '0');
    }
    if (!is_good || (w->has_length && length != w->n_left)) {
        fail_wire(w, "the answer's Content-Length is not one number");
        return;
    }
    w->has_length = true;
    w->n_left = length;
}

/* A list with commas has the word. */
static bool has_word(const char *value, size_t size, const char *word)
{
    size_t n_word = strlen(word);
    for (size_t at = 0; at < size; at++) {
        const char *comma = memchr(value + at, ',', size - at);
        size_t n = comma ? (size_t)(comma - value) - at : size - at, n_trimmed = n;
        const char *item = trim(value + at, &n_trimmed);
        if (n_trimmed == n_word && strncasecmp(item, word, n_word) == 0)
            return true;
        at += n;
    }
    return false;
}

static bool is_named(const char *line, size_t n, const char *name)
{
    return strlen(name) == n && strncasecmp(line, name, n) == 0;
}

static void read_field(struct wire *w, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    if (!colon)
        return; /* as browsers do, and libcurl */
    size_t n_name = (size_t)(colon - line), n = size - n_name - 1;
    const char *value = trim(colon + 1, &n);
    while (n_name > 0 && is_space(line[n_name - 1]))
        n_name--; /* not allowed, and not to be misread */
    if (is_named(line, n_name, "content-length"))
        read_length(w, value, n);
    else if (is_named(line, n_name, "transfer-encoding"))
        w->is_chunked = has_word(value, n, "chunked");
    else if (is_named(line, n_name, "connection") && has_word(value, n, "close"))
        w->has_closed = true;
    else if (is_named(line, n_name, "connection") && has_word(value, n, "keep-alive"))
        w->has_closed = false;
    else if (is_named(line, n_name, "location") && !w->location)
        w->location = xstrndup(value, n);
}

static void end_head(struct wire *w)
{
    bool is_interim = w->status < 200 && w->status != 101;
    bool is_empty = w->status == 204 || w->status == 304;
    if (w->status == 101)
        fail_wire(w, "the answer switches to another protocol unasked");
    else if (is_interim)
        w->state = WIRE_STATUS;
    else if (is_empty || (!w->is_chunked && w->has_length && w->n_left == 0))
        w->state = WIRE_DONE;
    else
        w->state = w->is_chunked ? WIRE_CHUNK : WIRE_BODY;
    w->has_closed |= !is_interim && !is_empty && !w->is_chunked && !w->has_length;
}

/* ---- chunks --------------------------------------------------------------------------------- */

static void read_chunk_size(struct wire *w, const char *line, size_t size)
{
    int64_t n = 0;
    size_t i = 0;
    for (; i < size && n < MAX_LENGTH; i++) {
        static const char DIGITS[] = "0123456789abcdefABCDEF";
        const char *digit = line[i] ? strchr(DIGITS, line[i]) : NULL;
        if (!digit)
            break;
        int at = (int)(digit - DIGITS);
        n = n * 16 + (at < 16 ? at : at - 6);
    }
    if (i == 0 || n >= MAX_LENGTH || !(is_space(line[i]) || line[i] == ';'))
        fail_wire(w, "the answer has a chunk without a size");
    else
        w->state = n == 0 ? WIRE_TRAILER : WIRE_DATA;
    w->n_left = n;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static void take_line(struct wire *w, const char *line, size_t size, const struct wire_hooks *hooks)
{
    bool is_blank = line[0] == '\n' || (size == 2 && line[0] == '\r');
    switch (w->state) {
    case WIRE_STATUS:
        if (is_blank)
            return; /* an empty line in front is allowed (RFC 9112, 2.2) */
        read_status(w, line, size);
        break;
    case WIRE_FIELD:
        if (is_blank)
            end_head(w);
        else
            read_field(w, line, size);
        break;
    case WIRE_CHUNK:
        read_chunk_size(w, line, size);
        return;
    case WIRE_GAP:
        w->state = WIRE_CHUNK;
        if (!is_blank)
            fail_wire(w, "the answer has a chunk longer than its size");
        return;
    default: /* the trailer */
        if (is_blank)
            w->state = WIRE_DONE;
        return;
    }
    if (w->state != WIRE_BAD)
        hooks->line(hooks->self, line, size);
}

/* One line, or the part of it that is there. */
static size_t read_line(struct wire *w, const char *data, size_t size,
                        const struct wire_hooks *hooks)
{
    const char *end = memchr(data, '\n', size);
    size_t n = end ? (size_t)(end - data) + 1 : size;
    bool is_framing = w->state == WIRE_CHUNK || w->state == WIRE_GAP; /* of long bodies */
    w->head_bytes += is_framing ? 0 : n;
    if (w->head_bytes > WIRE_MAX_HEAD || w->line.size + n > WIRE_MAX_HEAD) {
        fail_wire(w, "the answer's head is too long");
        return n;
    }
    if (!end) {
        buf_append(&w->line, data, n);
    } else if (w->line.size == 0) {
        take_line(w, data, n, hooks);
    } else {
        buf_append(&w->line, data, n);
        take_line(w, w->line.data, w->line.size, hooks);
        buf_clear(&w->line);
    }
    return n;
}

static size_t read_data(struct wire *w, const char *data, size_t size,
                        const struct wire_hooks *hooks)
{
    size_t n = w->n_left >= 0 && (size_t)w->n_left < size ? (size_t)w->n_left : size;
    if (!hooks->body(hooks->self, data, n)) {
        fail_wire(w, "the answer is not wanted");
        return n;
    }
    if (w->n_left < 0)
        return n;
    w->n_left -= (int64_t)n;
    if (w->n_left == 0)
        w->state = w->state == WIRE_DATA ? WIRE_GAP : WIRE_DONE;
    return n;
}

/* The first byte tells what is no answer at once: a line end may never come. */
static bool may_begin(const struct wire *w, char c)
{
    return w->state != WIRE_STATUS || w->line.size > 0 || c == 'H' || is_space(c);
}

size_t wire_read(struct wire *w, const char *data, size_t size, const struct wire_hooks *hooks)
{
    size_t at = 0;
    while (at < size && w->state != WIRE_DONE && w->state != WIRE_BAD) {
        bool is_data = w->state == WIRE_BODY || w->state == WIRE_DATA;
        if (may_begin(w, data[at]))
            at += (is_data ? read_data : read_line)(w, data + at, size - at, hooks);
        else
            fail_wire(w, NOT_HTTP);
    }
    return at;
}

bool wire_end(struct wire *w)
{
    if (w->state == WIRE_BODY && w->n_left < 0)
        w->state = WIRE_DONE;
    return w->state == WIRE_DONE;
}
