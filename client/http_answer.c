#include "client/http_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

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
    buf_clear(&r->body);
}

static char *header_value(const char *line, size_t size, const char *name)
{
    size_t n = strlen(name);
    if (size <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return NULL;
    const char *from = line + n + 1, *end = line + size;
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    return xstrndup(from, (size_t)(end - from));
}

void http_answer_line(struct record *r, const char *line, size_t size)
{
    char *value;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        read_status_line(r, line, size);
    } else if (line[0] == '\r' || line[0] == '\n') {
        r->ack_ns = clock_now_ns();
    } else if ((value = header_value(line, size, "content-type"))) {
        free(r->content_type);
        r->content_type = value;
    } else if ((value = header_value(line, size, "server"))) {
        free(r->server_build);
        r->server_build = value;
    } else if ((value = header_value(line, size, "server-timing"))) {
        free(r->server_timing);
        r->server_timing = value;
    } else if ((value = header_value(line, size, "content-length"))) {
        /* room at once: no growing while the body arrives */
        unsigned long long length = strtoull(value, NULL, 10);
        free(value);
        if (length > 0 && length <= HTTP_MAX_BODY)
            buf_reserve(&r->body, (size_t)length + 1);
    }
}
