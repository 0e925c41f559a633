#include "client/http_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/http_answer.h"

struct connection *connection_new(int fd, size_t url)
{
    struct connection *c = xcalloc(1, sizeof *c);
    c->fd = fd;
    c->url = url;
    return c;
}

void connection_free(struct connection *c)
{
    if (!c)
        return;
    close(c->fd);
    wire_free(&c->answer);
    free(c);
}

/* ---- sending -------------------------------------------------------------------------------- */

static size_t request_bytes(const struct connection *c)
{
    return c->head->size + c->record->payload_bytes;
}

void connection_begin(struct connection *c, struct record *r, const struct buf *head)
{
    wire_free(&c->answer);
    c->record = r;
    c->head = head;
    c->n_sent = 0;
    c->is_oversized = false;
}

bool connection_send(struct connection *c)
{
    struct record *r = c->record;
    while (c->n_sent < request_bytes(c)) {
        size_t n_head = c->n_sent < c->head->size ? c->head->size - c->n_sent : 0;
        size_t n_before = c->n_sent + n_head - c->head->size; /* of the body */
        struct iovec parts[2] = {
            {.iov_base = c->head->data + c->n_sent, .iov_len = n_head},
            {.iov_base = (char *)r->payload + n_before, .iov_len = r->payload_bytes - n_before},
        };
        struct msghdr message = {.msg_iov = parts + (n_head == 0), .msg_iovlen = 1 + (n_head > 0)};
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno != EAGAIN;
        c->n_sent += (size_t)n;
        if (c->n_sent > c->head->size) {
            r->send_end_ns = clock_now_ns();
            r->n_chunks_sent++;
        }
    }
    return true;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static void on_line(void *self, const char *line, size_t size)
{
    http_answer_line(((struct connection *)self)->record, line, size);
}

static bool on_body(void *self, const char *data, size_t size)
{
    struct connection *c = self;
    c->is_oversized = !http_answer_body(c->record, data, size);
    return !c->is_oversized;
}

enum connection_news connection_receive(struct connection *c, char *buffer, size_t size)
{
    const struct wire_hooks hooks = {.self = c, .line = on_line, .body = on_body};
    ssize_t n = recv(c->fd, buffer, size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return CONNECTION_QUIET;
    if (n <= 0)
        return n == 0 && wire_end(&c->answer) ? CONNECTION_ENDED : CONNECTION_BROKE;
    size_t n_used = wire_read(&c->answer, buffer, (size_t)n, &hooks);
    if (n_used < (size_t)n)
        c->answer.has_closed = true; /* more than was asked for: not to be trusted with another */
    return c->answer.state == WIRE_DONE  ? CONNECTION_ENDED
           : c->answer.state == WIRE_BAD ? CONNECTION_WRONG
                                         : CONNECTION_QUIET;
}

int64_t connection_unsent(const struct connection *c)
{
    size_t n = request_bytes(c) - c->n_sent;
    return (int64_t)(n < c->record->payload_bytes ? n : c->record->payload_bytes);
}

bool connection_is_reusable(const struct connection *c)
{
    return !c->answer.has_closed && c->n_sent == request_bytes(c);
}

bool connection_is_alive(const struct connection *c)
{
    char byte;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* ---- those that wait ------------------------------------------------------------------------ */

void connection_pool_add(struct connection_pool *pool, struct connection *c)
{
    c->next = pool->newest;
    c->previous = NULL;
    *(pool->newest ? &pool->newest->previous : &pool->oldest) = c;
    pool->newest = c;
    pool->n++;
}

void connection_pool_remove(struct connection_pool *pool, struct connection *c)
{
    *(c->previous ? &c->previous->next : &pool->newest) = c->next;
    *(c->next ? &c->next->previous : &pool->oldest) = c->previous;
    pool->n--;
}

struct connection *connection_pool_find(const struct connection_pool *pool, int64_t user)
{
    struct connection *c = pool->newest;
    while (c && c->user != user)
        c = c->next;
    return c;
}
