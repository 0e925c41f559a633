/* Connections wait in epoll, requests with a delay in one ring: since all delays are equal, due
 * times rise with the order of arrival, also when slots are few (request k starts when it has
 * arrived and request k - n_slots is done).
 *
 * The delay that is told begins when the last bytes of the request reached the system (it stamps
 * them) and ends right before the answer is written. A timer descriptor ends the wait. */
#include "client/loopback_server.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "image/image.h"

#define N_EVENTS 256
#define READ_BYTES 16384
#define MAX_REQUEST ((size_t)64 << 20)
#define BACKLOG 4096
#define HEAD_BYTES 256

struct connection {
    int fd;               /* -1: closed while its request waits; freed when that is due */
    struct buf in;        /* what was read and not answered yet */
    size_t request_bytes; /* of the request at work; 0: none */
    int64_t arrived_ns, due_ns;
    char head[HEAD_BYTES]; /* of the answer being written */
    size_t head_bytes, sent_bytes;
    const struct buf *body;             /* likewise; NULL: none */
    struct connection *next_due;        /* in the list of waiting requests */
    struct connection *previous, *next; /* in the list of all */
};

struct loopback {
    struct loopback_options options;
    int port, listener, epoll, timer, stop;
    pthread_t thread;
    bool is_started;
    struct buf *bodies; /* owned, n_pictures */
    size_t n_answered;
    struct connection *connections;          /* all; owned */
    struct connection *first_due, *last_due; /* by due time */
    int64_t *slots;                          /* owned; when each of n_slots is free again */
    size_t n_begun;
};

/* ---- answers -------------------------------------------------------------------------------- */

/* Noise does not compress, so that the file has about the size of its pixels. */
static bool make_body(struct buf *out, size_t bytes, uint64_t seed, struct error *err)
{
    double file_bytes = (double)bytes * 3 / 4;
    int side = (int)sqrt(file_bytes / 3);
    side = side < 1 ? 1 : side;
    struct image image = {.width_px = side, .height_px = side};
    image.rgb = xmalloc((size_t)side * (size_t)side * 3);
    for (size_t i = 0; i < (size_t)side * (size_t)side * 3; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        image.rgb[i] = (uint8_t)(seed >> 56);
    }
    struct buf file = {0};
    bool ok = image_encode(&file, &image, IMAGE_PNG, 100, err);
    buf_puts(out, "{\"created\":0,\"data\":[{\"b64_json\":\"");
    if (ok)
        base64_encode(out, file.data, file.size);
    buf_puts(out, "\"}]");
    while (out->size + 1 < bytes) /* blanks between tokens mean nothing */
        buf_putc(out, ' ');
    buf_putc(out, '}');
    buf_free(&file);
    image_free(&image);
    return ok;
}

/* ---- connections ---------------------------------------------------------------------------- */

static void set_interest(const struct loopback *s, struct connection *c, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(s->epoll, how, c->fd, &event);
}

static void free_connection(struct loopback *s, struct connection *c)
{
    if (c->next)
        c->next->previous = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else
        s->connections = c->next;
    if (c->fd >= 0)
        close(c->fd);
    buf_free(&c->in);
    free(c);
}

static void accept_all(struct loopback *s)
{
    int fd;
    while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes);
        struct connection *c = xcalloc(1, sizeof *c);
        c->fd = fd;
        c->next = s->connections;
        if (c->next)
            c->next->previous = c;
        s->connections = c;
        set_interest(s, c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

/* ---- answering ------------------------------------------------------------------------------ */

/* Write what the socket takes; false: the connection is broken. */
static bool write_answer(struct loopback *s, struct connection *c)
{
    size_t size = c->head_bytes + c->body->size;
    bool was_full = false;
    while (c->sent_bytes < size) {
        struct iovec parts[2];
        int n = 0;
        if (c->sent_bytes < c->head_bytes)
            parts[n++] = (struct iovec){c->head + c->sent_bytes, c->head_bytes - c->sent_bytes};
        size_t from = c->sent_bytes > c->head_bytes ? c->sent_bytes - c->head_bytes : 0;
        parts[n++] = (struct iovec){c->body->data + from, c->body->size - from};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)n};
        ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            set_interest(s, c, EPOLL_CTL_MOD, EPOLLOUT);
            return true;
        }
        if (sent < 0)
            return false;
        was_full = was_full || (size_t)sent < size - c->sent_bytes;
        c->sent_bytes += (size_t)sent;
    }
    c->body = NULL;
    c->in.size -= c->request_bytes;
    memmove(c->in.data, c->in.data + c->request_bytes, c->in.size);
    c->request_bytes = 0;
    if (was_full)
        set_interest(s, c, EPOLL_CTL_MOD, EPOLLIN);
    return true;
}

static bool answer(struct loopback *s, struct connection *c)
{
    c->body = &s->bodies[s->n_answered++ % s->options.n_pictures];
    c->sent_bytes = 0;
    double spent_ms = (double)(clock_now_ns() - c->arrived_ns) / (double)NS_PER_MS;
    c->head_bytes = (size_t)snprintf(c->head, sizeof c->head,
                                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                     "Server-Timing: total;dur=%.6f\r\nContent-Length: %zu\r\n\r\n",
                                     spent_ms, c->body->size);
    return write_answer(s, c);
}

/* ---- requests ------------------------------------------------------------------------------- */

/* Size of the whole request in front; 0 while it is not complete. */
static size_t request_size(const struct buf *in)
{
    const char *end = in->size ? memmem(in->data, in->size, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    size_t head = (size_t)(end - in->data) + 4, body = 0;
    for (const char *p = in->data; p && p < end; p = memchr(p, '\n', (size_t)(end - p))) {
        p += *p == '\n';
        if (strncasecmp(p, "content-length:", 15) == 0)
            body = strtoul(p + 15, NULL, 10);
    }
    return body <= in->size && in->size - body >= head ? head + body : 0;
}

static void set_timer(const struct loopback *s)
{
    struct itimerspec at = {0}; /* zero disarms */
    if (s->first_due) {
        at.it_value.tv_sec = (time_t)(s->first_due->due_ns / NS_PER_S);
        at.it_value.tv_nsec = (long)(s->first_due->due_ns % NS_PER_S);
    }
    timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void wait_for_due(struct loopback *s, struct connection *c)
{
    int64_t from_ns = c->arrived_ns;
    if (s->options.n_slots > 0) {
        int64_t *free_ns = &s->slots[s->n_begun++ % (size_t)s->options.n_slots];
        from_ns = *free_ns > from_ns ? *free_ns : from_ns;
        *free_ns = from_ns + s->options.delay_ns;
    }
    c->due_ns = from_ns + s->options.delay_ns;
    c->next_due = NULL;
    if (s->first_due) {
        s->last_due->next_due = c;
    } else {
        s->first_due = c;
        set_timer(s);
    }
    s->last_due = c;
}

/* Begin the requests that are complete; false: the connection is broken. */
static bool begin_requests(struct loopback *s, struct connection *c)
{
    while (c->request_bytes == 0 && (c->request_bytes = request_size(&c->in)) > 0) {
        if (s->options.delay_ns > 0)
            wait_for_due(s, c);
        else if (!answer(s, c))
            return false;
    }
    return true;
}

static void answer_due(struct loopback *s)
{
    int64_t now_ns = clock_now_ns();
    while (s->first_due && s->first_due->due_ns <= now_ns) {
        struct connection *c = s->first_due;
        s->first_due = c->next_due;
        if (c->fd < 0 || !answer(s, c) || !begin_requests(s, c))
            free_connection(s, c);
    }
    set_timer(s);
}

/* When the bytes just read reached the system, on the monotonic clock: this program's own waking up
 * is no part of the way to it. */
static int64_t arrival_ns(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        struct timespec at;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&at, CMSG_DATA(c), sizeof at);
        int64_t ago_ns = clock_unix_ns() - ((int64_t)at.tv_sec * NS_PER_S + at.tv_nsec);
        return clock_now_ns() - (ago_ns > 0 ? ago_ns : 0);
    }
    return clock_now_ns();
}

static bool read_all(struct connection *c)
{
    for (;;) {
        char control[CMSG_SPACE(sizeof(struct timespec))];
        struct iovec part = {buf_reserve(&c->in, READ_BYTES), READ_BYTES};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t n = recvmsg(c->fd, &message, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        c->arrived_ns = arrival_ns(&message);
        c->in.size += (size_t)n;
        if (n < READ_BYTES)
            return true;
    }
}

static void handle(struct loopback *s, struct connection *c, uint32_t events)
{
    bool ok = c->in.size <= MAX_REQUEST;
    if (ok && events & EPOLLOUT)
        ok = write_answer(s, c) && begin_requests(s, c);
    else if (ok)
        ok = read_all(c) && begin_requests(s, c);
    if (ok)
        return;
    bool is_waiting = c->request_bytes > 0 && !c->body;
    if (is_waiting) { /* answer_due frees it */
        close(c->fd);
        c->fd = -1;
    } else {
        free_connection(s, c);
    }
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void *loopback_main(void *self)
{
    struct loopback *s = self;
    struct epoll_event events[N_EVENTS];
    bool is_stopped = false;
    pthread_setname_np(pthread_self(), "loopback");
    while (!is_stopped) {
        int n = epoll_wait(s->epoll, events, N_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &s->stop)
                is_stopped = true;
            else if (what == &s->listener)
                accept_all(s);
            else if (what == &s->timer)
                answer_due(s);
            else
                handle(s, what, events[i].events);
        }
    }
    return NULL;
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool listen_on(struct loopback *s, struct error *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)s->options.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int yes = 1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener < 0 ||
        setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(s->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(s->listener, BACKLOG) != 0 ||
        getsockname(s->listener, (struct sockaddr *)&address, &size) != 0)
        return fail(err, ERR_IO, "can't listen on 127.0.0.1:%d: %s", s->options.port,
                    strerror(errno));
    s->port = ntohs(address.sin_port);
    return true;
}

static bool watch(struct loopback *s, int *fd, struct error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};
    if (*fd < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, *fd, &event) != 0)
        return fail(err, ERR_IO, "can't set up the loopback server: %s", strerror(errno));
    return true;
}

bool loopback_open(struct loopback **out, const struct loopback_options *options, struct error *err)
{
    struct loopback *s = xcalloc(1, sizeof *s);
    s->options = *options;
    s->options.n_pictures = options->n_pictures ? options->n_pictures : 1;
    s->bodies = xcalloc(s->options.n_pictures, sizeof *s->bodies);
    s->slots = xcalloc((size_t)options->n_slots + 1, sizeof *s->slots);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->listener = -1;
    bool ok = options->answer_bytes <= LOOPBACK_MAX_ANSWER ||
              fail(err, ERR_INVALID, "an answer of %zu bytes: the most are %zu",
                   options->answer_bytes, LOOPBACK_MAX_ANSWER);
    for (size_t i = 0; ok && i < s->options.n_pictures; i++)
        ok = make_body(&s->bodies[i], options->answer_bytes, i + 1, err);
    ok = ok && listen_on(s, err) && watch(s, &s->listener, err) && watch(s, &s->timer, err) &&
         watch(s, &s->stop, err);
    if (ok && pthread_create(&s->thread, NULL, loopback_main, s) != 0)
        ok = fail(err, ERR_INTERNAL, "can't start a thread: %s", strerror(errno));
    s->is_started = ok;
    if (!ok) {
        loopback_close(s);
        return false;
    }
    *out = s;
    return true;
}

int loopback_port(const struct loopback *s) { return s->port; }

void loopback_close(struct loopback *s)
{
    if (!s)
        return;
    if (s->is_started) {
        uint64_t one = 1;
        while (write(s->stop, &one, sizeof one) < 0 && errno == EINTR) {}
        pthread_join(s->thread, NULL);
    }
    for (struct connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        c->previous = NULL;
        free_connection(s, c);
    }
    const int descriptors[] = {s->listener, s->epoll, s->timer, s->stop};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    }
    for (size_t i = 0; i < s->options.n_pictures; i++)
        buf_free(&s->bodies[i]);
    free(s->bodies);
    free(s->slots);
    free(s);
}
