#include "client/http_sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

#define N_EVENTS 256

/* ---- descriptors ---------------------------------------------------------------------------- */

static struct watched *watched_at(struct sockets *s, int fd)
{
    if ((size_t)fd >= s->n_items) {
        size_t n = 2 * (size_t)fd + 64;
        s->items = xrealloc(s->items, n * sizeof *s->items);
        for (size_t i = s->n_items; i < n; i++)
            s->items[i] = (struct watched){0};
        s->n_items = n;
    }
    return &s->items[fd];
}

static void set_epoll(struct sockets *s, int fd, struct watched *w, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (w->is_added && w->has_events == events)
        return;
    epoll_ctl(s->epoll, w->is_added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    w->is_added = true;
    w->has_events = events;
}

static void drop_epoll(struct sockets *s, int fd, struct watched *w)
{
    if (w->is_added)
        epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL);
    w->is_added = false;
}

/* ---- the library's -------------------------------------------------------------------------- */

/* It wants to know when the socket is ready for what; or no more. A socket that we opened stays in
 * epoll while its connection waits for the next request: the library takes it out and puts it back
 * each time, which would be two calls of the system for nothing. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *self, void *unused)
{
    (void)easy, (void)unused;
    struct sockets *s = self;
    struct watched *w = watched_at(s, fd);
    w->events = (what == CURL_POLL_IN || what == CURL_POLL_INOUT ? EPOLLIN : 0u) |
                (what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? EPOLLOUT : 0u);
    if (what != CURL_POLL_REMOVE)
        set_epoll(s, fd, w, w->events);
    else if (!w->is_ours)
        drop_epoll(s, fd, w);
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
    if (watched_at(self, fd)->connection)
        return 0;                                /* it was given away */
    *watched_at(self, fd) = (struct watched){0}; /* the system takes it out of epoll */
    return close(fd);
}

static int on_timer(CURLM *multi, long timeout_ms, void *self)
{
    (void)multi;
    struct sockets *s = self;
    s->library_ns = timeout_ms < 0 ? INT64_MAX : clock_now_ns() + timeout_ms * NS_PER_MS;
    return 0;
}

void sockets_set_easy(struct sockets *s, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, s);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, s);
}

void sockets_drive(struct sockets *s, curl_socket_t fd, int what)
{
    int n_running;
    if (fd == CURL_SOCKET_TIMEOUT)
        s->library_ns = INT64_MAX; /* on_timer sets it anew */
    curl_multi_socket_action(s->multi, fd, what, &n_running);
}

/* ---- ours ----------------------------------------------------------------------------------- */

/* The library closes a connection that it can't use again when its transfer is taken away. */
struct connection *sockets_take(struct sockets *s, CURL *easy, size_t url)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd);
    struct connection *c = fd == CURL_SOCKET_BAD ? NULL : connection_new(fd, url);
    if (c)
        watched_at(s, fd)->connection = c;
    curl_multi_remove_handle(s->multi, easy);
    return c;
}

void sockets_watch(struct sockets *s, const struct connection *c, bool is_full)
{
    set_epoll(s, c->fd, watched_at(s, c->fd), is_full ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void sockets_drop(struct sockets *s, struct connection *c)
{
    *watched_at(s, c->fd) = (struct watched){0};
    connection_free(c);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static void handle_event(struct sockets *s, const struct epoll_event *event, sockets_fn handle,
                         void *self)
{
    int fd = event->data.fd;
    uint64_t count;
    if (fd == s->timer || fd == s->wakeup) {
        if (read(fd, &count, sizeof count) > 0 && fd == s->timer)
            s->timer_ns = INT64_MAX;
        return;
    }
    struct watched *w = watched_at(s, fd);
    if (w->connection)
        handle(self, w->connection, event->events);
    else if (w->events == 0) /* a connection that waits was closed, or says something unasked */
        drop_epoll(s, fd, w);
    else
        sockets_drive(s, fd,
                      (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                          (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                          (event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
}

static void set_timer(struct sockets *s, int64_t until_ns)
{
    struct itimerspec at = {0}; /* zero disarms */
    if (s->timer_ns == until_ns)
        return;
    s->timer_ns = until_ns;
    if (until_ns != INT64_MAX) {
        at.it_value.tv_sec = (time_t)(until_ns / NS_PER_S);
        at.it_value.tv_nsec = (long)(until_ns % NS_PER_S);
    }
    timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

void sockets_wait(struct sockets *s, int64_t until_ns, sockets_fn handle, void *self)
{
    struct epoll_event events[N_EVENTS];
    set_timer(s, until_ns < s->library_ns ? until_ns : s->library_ns);
    int n = epoll_wait(s->epoll, events, N_EVENTS, -1);
    for (int i = 0; i < n; i++)
        handle_event(s, &events[i], handle, self);
    if (s->library_ns <= clock_now_ns())
        sockets_drive(s, CURL_SOCKET_TIMEOUT, 0);
}

void sockets_wake(struct sockets *s)
{
    uint64_t one = 1;
    while (write(s->wakeup, &one, sizeof one) < 0 && errno == EINTR) {}
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool watch(const struct sockets *s, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return fd >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool sockets_open(struct sockets *s, long max_connections)
{
    *s = (struct sockets){.library_ns = INT64_MAX, .timer_ns = INT64_MAX};
    s->multi = curl_multi_init();
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    s->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* those opened in one turn must be there to be taken */
    curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, max_connections + N_EVENTS);
    curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s);
    curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s);
    return s->multi && watch(s, s->timer) && watch(s, s->wakeup);
}

void sockets_close(struct sockets *s)
{
    if (s->multi)
        curl_multi_cleanup(s->multi); /* closes connections by on_close */
    const int descriptors[] = {s->epoll, s->timer, s->wakeup};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    }
    free(s->items);
}
