/* The transfers of one event loop. Sockets are watched by epoll and driven one by one, so that the
 * cost of a request does not grow with the number of connections. Due times come from a timer
 * descriptor, which is more precise than the library's milliseconds.
 *
 * A socket stays in epoll while its connection waits for the next request: the library takes it
 * out and puts it back each time, which would be two calls of the system for nothing. */
#include "client/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/answer_memory.h"
#include "client/http_exchange.h"

#define N_EVENTS 256

/* A descriptor that the library has asked to watch. */
struct watched {
    bool is_ours;                /* one of our connections: its end is told by on_close */
    bool is_added;               /* in epoll */
    uint32_t events, has_events; /* wanted; set in epoll */
};

struct http {
    CURLM *multi;
    const struct request_target *target;
    struct http_options options;
    int epoll, timer, wakeup;
    int64_t library_ns;      /* when the library wants to be called; INT64_MAX: not */
    int64_t timer_ns;        /* set in timer; INT64_MAX: off */
    struct watched *watched; /* owned; by descriptor */
    size_t n_watched;
    struct exchange *idle;   /* list, owned: used again */
    struct record *canceled; /* list: given up, to be returned by wait */
    struct exchange_drops drops;
    bool has_shared; /* an HTTP/2 connection without TLS was begun and nothing broke since */
};

bool http_setup(struct error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(err, ERR_INTERNAL, "can't initialise the HTTP library");
    return true;
}

void http_teardown(void) { curl_global_cleanup(); }

/* ---- sockets -------------------------------------------------------------------------------- */

static struct watched *watched_at(struct http *h, int fd)
{
    if ((size_t)fd >= h->n_watched) {
        size_t n = 2 * (size_t)fd + 64;
        h->watched = xrealloc(h->watched, n * sizeof *h->watched);
        for (size_t i = h->n_watched; i < n; i++)
            h->watched[i] = (struct watched){0};
        h->n_watched = n;
    }
    return &h->watched[fd];
}

static void set_epoll(struct http *h, int fd, struct watched *w, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (w->is_added && w->has_events == events)
        return;
    epoll_ctl(h->epoll, w->is_added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    w->is_added = true;
    w->has_events = events;
}

static void drop_epoll(struct http *h, int fd, struct watched *w)
{
    if (w->is_added)
        epoll_ctl(h->epoll, EPOLL_CTL_DEL, fd, NULL);
    w->is_added = false;
}

/* The library wants to know when the socket is ready for what; or no more. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *self, void *unused)
{
    (void)easy, (void)unused;
    struct http *h = self;
    struct watched *w = watched_at(h, fd);
    w->events = (what == CURL_POLL_IN || what == CURL_POLL_INOUT ? EPOLLIN : 0u) |
                (what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? EPOLLOUT : 0u);
    if (what != CURL_POLL_REMOVE)
        set_epoll(h, fd, w, w->events);
    else if (!w->is_ours)
        drop_epoll(h, fd, w);
    return 0;
}

static curl_socket_t on_open(void *self, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd >= 0)
        *watched_at(self, fd) = (struct watched){.is_ours = true};
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_close(void *self, curl_socket_t fd)
{
    *watched_at(self, fd) = (struct watched){0}; /* the system takes it out of epoll */
    return close(fd);
}

static int on_timer(CURLM *multi, long timeout_ms, void *self)
{
    (void)multi;
    struct http *h = self;
    h->library_ns = timeout_ms < 0 ? INT64_MAX : clock_now_ns() + timeout_ms * NS_PER_MS;
    return 0;
}

/* Tell the library that something happened to a socket, or that its time has come. */
static void drive(struct http *h, curl_socket_t fd, int what)
{
    int n_running;
    if (fd == CURL_SOCKET_TIMEOUT)
        h->library_ns = INT64_MAX; /* on_timer sets it anew */
    curl_multi_socket_action(h->multi, fd, what, &n_running);
}

static void handle_event(struct http *h, const struct epoll_event *event)
{
    int fd = event->data.fd;
    uint64_t count;
    if (fd == h->timer || fd == h->wakeup) {
        if (read(fd, &count, sizeof count) > 0 && fd == h->timer)
            h->timer_ns = INT64_MAX;
        return;
    }
    struct watched *w = watched_at(h, fd);
    if (w->events == 0) /* a connection that waits was closed, or says something unasked */
        drop_epoll(h, fd, w);
    else
        drive(h, fd,
              (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                  (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                  (event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
}

/* ---- the transport -------------------------------------------------------------------------- */

static int64_t now_ns(void *self)
{
    (void)self;
    return clock_now_ns();
}

static struct exchange *take_idle(struct http *h)
{
    struct exchange *x = h->idle;
    if (x) {
        h->idle = x->next;
        return x;
    }
    x = exchange_new(h->target, &h->options, &h->drops);
    curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETDATA, h);
    curl_easy_setopt(x->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(x->easy, CURLOPT_CLOSESOCKETDATA, h);
    return x;
}

/* libcurl 7.88 breaks a shared connection on which it relies on prior knowledge again; what is
 * asked for as plain HTTP/2 it sends there unharmed. */
static void set_version(struct http *h, struct exchange *x)
{
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num >> 8;
    if (version != 0x0758 || !h->options.is_pooled || strncasecmp(x->url, "http://", 7) != 0)
        return;
    curl_easy_setopt(
        x->easy, CURLOPT_HTTP_VERSION,
        (long)(h->has_shared ? CURL_HTTP_VERSION_2_0 : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
    h->has_shared = true;
}

static void start(void *self, struct record *r)
{
    struct http *h = self;
    struct exchange *x = take_idle(h);
    exchange_prepare(x, r);
    if (h->target->connect.is_http2)
        set_version(h, x);
    r->transport = x;
    r->start_ns = clock_now_ns();
    curl_multi_add_handle(h->multi, x->easy);
    drive(h, CURL_SOCKET_TIMEOUT, 0);
}

static void detach(struct http *h, struct exchange *x)
{
    exchange_forget_drop(x);
    answer_same_end(x->record);
    curl_multi_remove_handle(h->multi, x->easy);
    x->record->transport = NULL;
    x->record = NULL;
    x->next = h->idle;
    h->idle = x;
}

/* When the next exchange is to be hung up; INT64_MAX: none. */
static int64_t next_drop_ns(const struct http *h)
{
    const struct exchange *x = h->drops.first;
    return x ? x->record->send_end_ns + x->record->drop_after_ns : INT64_MAX;
}

/* Hang up one whose time has come, or NULL. Its connection is closed, as the server would see a
 * user leave. */
static struct record *drop_due(struct http *h)
{
    if (!h->drops.first || next_drop_ns(h) > clock_now_ns())
        return NULL;
    struct exchange *x = h->drops.first;
    struct record *r = x->record;
    r->transfer = TRANSFER_DROPPED;
    r->end_ns = clock_now_ns();
    exchange_read_setup(x);
    detach(h, x);
    return r;
}

/* The next record that has ended already, or NULL. */
static struct record *take_ended(struct http *h)
{
    if (h->canceled) {
        struct record *r = h->canceled;
        h->canceled = r->next;
        r->next = NULL;
        return r;
    }
    CURLMsg *message;
    int n_left;
    while ((message = curl_multi_info_read(h->multi, &n_left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct exchange *x = (struct exchange *)(void *)private;
        struct record *r = x->record;
        exchange_finish(x, code);
        h->has_shared = h->has_shared && code == CURLE_OK;
        detach(h, x);
        return r;
    }
    return drop_due(h);
}

static void set_timer(struct http *h, int64_t until_ns)
{
    struct itimerspec at = {0}; /* zero disarms */
    if (h->timer_ns == until_ns)
        return;
    h->timer_ns = until_ns;
    if (until_ns != INT64_MAX) {
        at.it_value.tv_sec = (time_t)(until_ns / NS_PER_S);
        at.it_value.tv_nsec = (long)(until_ns % NS_PER_S);
    }
    timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

static struct record *wait(void *self, int64_t until_ns)
{
    struct http *h = self;
    struct epoll_event events[N_EVENTS];
    struct record *r = take_ended(h);
    if (r || clock_now_ns() >= until_ns)
        return r;
    until_ns = earlier(until_ns, earlier(h->library_ns, next_drop_ns(h)));
    set_timer(h, until_ns);
    int n = epoll_wait(h->epoll, events, N_EVENTS, -1);
    for (int i = 0; i < n; i++)
        handle_event(h, &events[i]);
    if (h->library_ns <= clock_now_ns())
        drive(h, CURL_SOCKET_TIMEOUT, 0);
    return take_ended(h);
}

static void cancel(void *self, struct record *r)
{
    struct http *h = self;
    if (!r->transport)
        return; /* has ended on its own and waits to be taken */
    r->transfer = TRANSFER_CANCELED;
    r->end_ns = clock_now_ns();
    detach(h, r->transport);
    r->next = h->canceled;
    h->canceled = r;
}

static void wake(void *self)
{
    uint64_t one = 1;
    while (write(((struct http *)self)->wakeup, &one, sizeof one) < 0 && errno == EINTR) {}
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool watch(const struct http *h, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return fd >= 0 && epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool http_open(struct http **out, const struct request_target *target,
               const struct http_options *options, struct error *err)
{
    if (target->connect.is_http2 &&
        !(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_HTTP2))
        return fail_field(err, "--http-version",
                          "--http-version 2: the HTTP library %s has no HTTP/2", curl_version());
    struct http *h = xcalloc(1, sizeof *h);
    h->target = target;
    h->options = *options;
    h->library_ns = h->timer_ns = INT64_MAX;
    h->multi = curl_multi_init();
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    h->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!h->multi || !watch(h, h->timer) || !watch(h, h->wakeup)) {
        http_close(h);
        return fail(err, ERR_MEMORY, "can't set up the HTTP library");
    }
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, options->max_connections);
    curl_multi_setopt(h->multi, CURLMOPT_PIPELINING,
                      (long)(target->connect.is_http2 ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING));
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    *out = h;
    return true;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    while (h->idle) {
        struct exchange *x = h->idle;
        h->idle = x->next;
        exchange_free(x);
    }
    if (h->multi)
        curl_multi_cleanup(h->multi); /* closes connections by on_close */
    const int descriptors[] = {h->epoll, h->timer, h->wakeup};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    }
    free(h->watched);
    free(h);
}

struct transport http_transport(struct http *h)
{
    return (struct transport){
        .self = h, .now_ns = now_ns, .start = start, .wait = wait, .cancel = cancel, .wake = wake};
}
