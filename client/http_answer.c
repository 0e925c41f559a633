#include "client/http_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "client/answer_memory.h"

/* A new answer begins (after a redirect or "100 Continue" there may be several). */
static void read_status_line(struct record *r, const char *line, size_t size)
{
    const char *space = memchr(line, ' ', size);
    const char *end = line + size;
    r->status = 0;
    for (const char *p = space ? space + 1 : end; p < end && *p >= '0' && *p <= '9'; p++)
        r->status = r->status < 1000 ? r->status * 10 + (*p - '0') : r->status;
    const char *reason = space && end - space > 5 ? space + 5 : end;
    while (end > reason && (end[-1] == '\r' || end[-1] == '\n'))
        end--;
    free(r->reason);
    free(r->content_type);
    free(r->server_timing);
    r->server_timing = NULL;
    r->reason = xstrndup(reason, (size_t)(end - reason));
    r->content_type = NULL;
    r->expected_bytes = 0;
    answer_forget(r);
    buf_clear(&r->body);
}

static char *copy_value(const char *from, const char *end)
{
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    return xstrndup(from, (size_t)(end - from));
}

static void keep_value(char **field, const char *from, const char *end)
{
    free(*field);
    *field = copy_value(from, end);
}

static size_t read_length(const char *from, const char *end)
{
    size_t length = 0;
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    for (; from < end && *from >= '0' && *from <= '9' && length <= HTTP_MAX_BODY; from++)
        length = length * 10 + (size_t)(*from - '0');
    return length <= HTTP_MAX_BODY ? length : 0;
}

/* Lengths first: most header lines are none of ours. */
static bool is_named(const char *line, size_t n_name, const char *name, size_t n)
{
    return n_name == n && strncasecmp(line, name, n) == 0;
}
#define IS_NAMED(name) is_named(line, n_name, name, sizeof(name) - 1)

void http_answer_line(struct record *r, const char *line, size_t size)
{
    const char *end = line + size, *colon = memchr(line, ':', size);
    size_t n_name = colon ? (size_t)(colon - line) : 0;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0)
        read_status_line(r, line, size);
    else if (line[0] == '\r' || line[0] == '\n')
        r->ack_ns = clock_now_ns();
    else if (IS_NAMED("content-type"))
        keep_value(&r->content_type, colon + 1, end);
    else if (IS_NAMED("server"))
        keep_value(&r->server_build, colon + 1, end);
    else if (IS_NAMED("server-timing"))
        keep_value(&r->server_timing, colon + 1, end);
    else if (IS_NAMED("content-length"))
        r->expected_bytes = read_length(colon + 1, end);
}

bool http_answer_body(struct record *r, const char *data, size_t size)
{
    r->end_ns = clock_now_ns();
    bool is_first = r->body.size == 0 && r->n_same == 0;
    if (is_first)
        r->first_ns = r->end_ns;
    if (r->body.size + size > HTTP_MAX_BODY)
        return false;
    r->n_chunks_received++;
    r->bytes_received += (int64_t)size;
    bool is_good = r->memory && r->status >= 200 && r->status <= 299;
    if (is_good && answer_same_bytes(r, data, size))
        return true;
    if (is_first) /* room at once: no growing while it arrives */
        buf_reserve(&r->body, r->expected_bytes);
    buf_append(&r->body, data, size);
    return true;
}
