/* The transfers of one event loop. Sockets are watched by epoll and driven one by one, so that the
 * cost of a request does not grow with the number of connections.
 *
 * HTTP/1.1 without TLS is spoken here, over connections that the library has opened and given away;
 * the library does the rest: TLS, HTTP/2, and what a redirect names. */
#include "client/http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "client/answer_memory.h"
#include "client/http_connection.h"
#include "client/http_exchange.h"
#include "client/http_head.h"
#include "client/http_sockets.h"

#define READ_BYTES ((size_t)128 << 10)
/* A connection that has waited longer is looked at before it is used. */
#define FRESH_NS NS_PER_MS

struct http {
    struct sockets sockets;
    const struct request_target *target;
    struct http_options options;
    struct buf *heads;                 /* owned; by url: http_head_begin's, or empty */
    struct connection_pool *pools;     /* owned; by url */
    char *buffer;                      /* owned: READ_BYTES */
    struct exchange *idle;             /* list, owned: used again */
    struct record *ended, *last_ended; /* list: to be returned by wait */
    struct exchange_queue queues[N_EXCHANGE_QUEUES];
    bool has_shared; /* an HTTP/2 connection without TLS was begun and nothing broke since */
};

bool http_setup(struct error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(err, ERR_INTERNAL, "can't initialise the HTTP library");
    return true;
}

void http_teardown(void) { curl_global_cleanup(); }

/* ---- exchanges ------------------------------------------------------------------------------ */

static struct exchange *take_idle(struct http *h)
{
    struct exchange *x = h->idle;
    if (x) {
        h->idle = x->next;
        return x;
    }
    x = exchange_new(h->target, &h->options, h->queues);
    sockets_set_easy(&h->sockets, x->easy);
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

/* ---- ends ----------------------------------------------------------------------------------- */

/* The record has what it gets; wait returns it. */
static void hand_out(struct http *h, struct exchange *x)
{
    struct record *r = x->record;
    exchange_leave(x);
    answer_same_end(r);
    if (x->is_in_library)
        curl_multi_remove_handle(h->sockets.multi, x->easy);
    if (x->connection)
        sockets_drop(&h->sockets, x->connection);
    x->is_in_library = false;
    x->connection = NULL;
    x->record = NULL;
    x->next = h->idle;
    h->idle = x;
    r->transport = NULL;
    r->next = NULL;
    *(h->ended ? &h->last_ended->next : &h->ended) = r;
    h->last_ended = r;
}

static void end(struct http *h, struct exchange *x, enum transfer how, const char *why)
{
    exchange_end(x, how, why);
    hand_out(h, x);
}

/* ---- requests that the library sends -------------------------------------------------------- */

static void give_to_library(struct http *h, struct exchange *x)
{
    x->is_in_library = true;
    curl_multi_add_handle(h->sockets.multi, x->easy);
    sockets_drive(&h->sockets, CURL_SOCKET_TIMEOUT, 0);
}

/* Go on where the answer sends us, if it does. False: it is the last one. */
static bool follow(struct http *h, struct exchange *x, const char *location)
{
    if (!location || !exchange_is_redirect(x->record->status))
        return false;
    const char *why = exchange_set_redirect(x, location);
    if (why)
        end(h, x, TRANSFER_FAILED, why);
    else
        give_to_library(h, x);
    return true;
}

/* ---- requests that are sent here ------------------------------------------------------------ */

/* Keep it for the next request, if there may be one. */
static void release_connection(struct http *h, struct exchange *x)
{
    struct connection *c = x->connection;
    struct connection_pool *pool = &h->pools[c->url];
    bool is_sticky = h->options.is_sticky && !c->record->is_last_turn;
    bool is_kept = (h->options.is_pooled || is_sticky) && connection_is_reusable(c);
    c->user = h->options.is_sticky ? c->record->user : 0;
    x->connection = NULL;
    c->record = NULL;
    if (!is_kept) {
        sockets_drop(&h->sockets, c);
        return;
    }
    c->idle_since_ns = clock_now_ns();
    connection_pool_add(pool, c);
    if (pool->n > (size_t)h->options.max_connections) {
        struct connection *oldest = pool->oldest;
        connection_pool_remove(pool, oldest);
        sockets_drop(&h->sockets, oldest);
    }
}

static struct connection *find_connection(struct http *h, const struct record *r)
{
    struct connection_pool *pool = &h->pools[r->url];
    int64_t user = h->options.is_sticky ? r->user : 0;
    struct connection *c;
    while ((c = connection_pool_find(pool, user))) {
        connection_pool_remove(pool, c);
        if (clock_now_ns() - c->idle_since_ns < FRESH_NS || connection_is_alive(c))
            return c;
        sockets_drop(&h->sockets, c);
    }
    return NULL;
}

static void send_on(struct http *h, struct exchange *x)
{
    struct record *r = x->record;
    bool is_sent = connection_send(x->connection);
    sockets_watch(&h->sockets, x->connection, !is_sent);
    if (is_sent && r->drop_after_ns > 0 && r->send_end_ns > 0)
        exchange_enter(x, EXCHANGE_IS_DROPPED, r->send_end_ns + r->drop_after_ns);
}

static void begin_request(struct http *h, struct exchange *x, struct connection *c)
{
    x->connection = c;
    x->record->send_start_ns = clock_now_ns();
    connection_begin(c, x->record, &x->head);
    send_on(h, x);
}

/* The library has opened the connection of x: it becomes ours, and the library forgets it. */
static void take_connection(struct http *h, struct exchange *x)
{
    struct connection *c = sockets_take(&h->sockets, x->easy, x->record->url);
    x->is_in_library = false;
    if (!c) {
        end(h, x, TRANSFER_DISCONNECTED, NULL);
        return;
    }
    begin_request(h, x, c);
    exchange_read_setup(x);
}

static void receive(struct http *h, struct connection *c)
{
    struct exchange *x = c->record->transport;
    char *location;
    switch (connection_receive(c, h->buffer, READ_BYTES)) {
    case CONNECTION_QUIET:
        return;
    case CONNECTION_ENDED:
        x->record->bytes_unsent = connection_unsent(c);
        location = c->answer.location; /* taken over */
        c->answer.location = NULL;
        release_connection(h, x);
        if (!follow(h, x, location))
            end(h, x, TRANSFER_DONE, NULL);
        free(location);
        return;
    case CONNECTION_BROKE:
        end(h, x, TRANSFER_DISCONNECTED, NULL);
        return;
    case CONNECTION_WRONG:
        end(h, x, c->is_oversized ? TRANSFER_OVERSIZED : TRANSFER_FAILED, c->answer.why);
        return;
    }
}

static void handle_connection(void *self, struct connection *c, uint32_t events)
{
    struct http *h = self;
    if (!c->record) { /* closed by the server, or it says something unasked */
        connection_pool_remove(&h->pools[c->url], c);
        sockets_drop(&h->sockets, c);
        return;
    }
    if (events & EPOLLOUT)
        send_on(h, c->record->transport);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(h, c);
}

/* ---- the transport -------------------------------------------------------------------------- */

static int64_t now_ns(void *self)
{
    (void)self;
    return clock_now_ns();
}

static void start(void *self, struct record *r)
{
    struct http *h = self;
    struct exchange *x = take_idle(h);
    const struct buf *head = &h->heads[r->url];
    struct connection *c = NULL;
    exchange_begin(x, r);
    if (head->size > 0) {
        buf_clear(&x->head);
        buf_append(&x->head, head->data, head->size);
        http_head_end(&x->head, h->target, r);
    } else {
        exchange_set_request(x);
        if (h->target->connect.is_http2)
            set_version(h, x);
    }
    r->transport = x;
    r->start_ns = clock_now_ns();
    if (h->options.timeout_ms > 0)
        exchange_enter(x, EXCHANGE_TIMES_OUT, r->start_ns + h->options.timeout_ms * NS_PER_MS);
    if (head->size > 0 && (c = find_connection(h, r))) {
        begin_request(h, x, c);
        r->is_reused = true;
        r->blocked_ns = r->send_start_ns - r->start_ns;
        return;
    }
    if (head->size > 0)
        exchange_set_connect(x);
    give_to_library(h, x);
}

/* What the library has finished: connections, and requests that it has sent. */
static void read_messages(struct http *h)
{
    CURLMsg *message;
    int n_left;
    while ((message = curl_multi_info_read(h->sockets.multi, &n_left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct exchange *x = (struct exchange *)(void *)private;
        h->has_shared = h->has_shared && code == CURLE_OK;
        if (code == CURLE_OK && x->is_connecting) {
            take_connection(h, x);
            continue;
        }
        char *location = NULL;
        curl_easy_getinfo(x->easy, CURLINFO_REDIRECT_URL, &location);
        curl_multi_remove_handle(h->sockets.multi, x->easy);
        x->is_in_library = false;
        if (code != CURLE_OK || !follow(h, x, location)) {
            exchange_finish(x, code);
            hand_out(h, x);
        }
    }
}

/* When the first of a queue is to be ended; INT64_MAX: none. */
static int64_t queue_ns(const struct http *h, enum exchange_queues which)
{
    const struct exchange *x = h->queues[which].first;
    return x ? x->places[which].due_ns : INT64_MAX;
}

/* End those whose time has come. The connection is closed, as the server would see a user leave. */
static void end_due(struct http *h)
{
    static const enum transfer HOW[] = {TRANSFER_TIMEOUT, TRANSFER_DROPPED};
    static const char *const WHY[] = {"Timeout was reached", NULL};
    for (enum exchange_queues q = 0; q < N_EXCHANGE_QUEUES; q++) {
        while (h->queues[q].first && queue_ns(h, q) <= clock_now_ns()) {
            struct exchange *x = h->queues[q].first;
            if (x->is_in_library)
                exchange_read_setup(x);
            end(h, x, HOW[q], WHY[q]);
        }
    }
}

/* The next record that has ended already, or NULL. */
static struct record *take_ended(struct http *h)
{
    if (!h->ended) {
        read_messages(h);
        end_due(h);
    }
    struct record *r = h->ended;
    if (r) {
        h->ended = r->next;
        r->next = NULL;
    }
    return r;
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

static struct record *wait(void *self, int64_t until_ns)
{
    struct http *h = self;
    struct record *r = take_ended(h);
    if (r || clock_now_ns() >= until_ns)
        return r;
    for (enum exchange_queues q = 0; q < N_EXCHANGE_QUEUES; q++)
        until_ns = earlier(until_ns, queue_ns(h, q));
    sockets_wait(&h->sockets, until_ns, handle_connection, h);
    return take_ended(h);
}

static void cancel(void *self, struct record *r)
{
    if (r->transport) /* else it has ended on its own and waits to be taken */
        end(self, r->transport, TRANSFER_CANCELED, NULL);
}

static void wake(void *self) { sockets_wake(&((struct http *)self)->sockets); }

/* ---- life ----------------------------------------------------------------------------------- */

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
    if (!sockets_open(&h->sockets, options->max_connections)) {
        http_close(h);
        return fail(err, ERR_MEMORY, "can't set up the HTTP library");
    }
    curl_multi_setopt(h->sockets.multi, CURLMOPT_PIPELINING,
                      (long)(target->connect.is_http2 ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING));
    h->heads = xcalloc(target->n_urls, sizeof *h->heads);
    h->pools = xcalloc(target->n_urls, sizeof *h->pools);
    h->buffer = xmalloc(READ_BYTES);
    for (size_t i = 0; i < target->n_urls; i++) {
        if (http_head_begin(&h->heads[i], target, target->urls[i]) || !options->is_sticky)
            continue;
        http_close(h);
        return fail_field(
            err, "--connection-reuse-strategy",
            "--connection-reuse-strategy is sticky-user-sessions: with "
            "--user-centric-rate it needs http:// without a password, HTTP/1.1 and no "
            "--header Host, Expect, Connection or Upgrade");
    }
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
    for (size_t i = 0; h->pools && i < h->target->n_urls; i++) {
        struct connection *c;
        while ((c = h->pools[i].newest)) {
            connection_pool_remove(&h->pools[i], c);
            sockets_drop(&h->sockets, c);
        }
        buf_free(&h->heads[i]);
    }
    sockets_close(&h->sockets);
    free(h->heads);
    free(h->pools);
    free(h->buffer);
    free(h);
}

struct transport http_transport(struct http *h)
{
    return (struct transport){
        .self = h, .now_ns = now_ns, .start = start, .wait = wait, .cancel = cancel, .wake = wake};
}
