/* Every request is an easy handle in one multi handle. While it runs, callbacks write moments and
 * bytes straight into its record: before the request is sent (connection ready), for each piece
 * sent, for each header line, for each piece of body.
 *
 * The loop sleeps in curl_multi_poll on the sockets and a timer descriptor, so that due times are
 * met more precisely than the library's milliseconds. */
#include "client/http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

#define MAX_CONNECTIONS 2500L /* kept open, as AIPerf's pool */
#define MAX_REDIRECTS 10L
#define IDLE_MS 60000 /* poll again at least so often when nothing is due */

struct http {
    CURLM *multi;
    const struct request_target *target;
    struct http_options options;
    int timer;
    struct record *canceled; /* list: given up, to be returned by wait */
    /* Exchanges to be hung up on purpose, in the order in which they were sent in full. The delay
     * is the same for all of a run, so that the first is always the next. */
    struct drops {
        struct exchange *first, *last;
    } drops;
    bool has_shared; /* an HTTP/2 connection without TLS was begun and nothing broke since */
};

/* The library's side of a record in flight. */
struct exchange {
    struct http *http;
    struct record *record;
    CURL *easy;
    struct curl_slist *headers;
    size_t n_sent;  /* bytes of the body */
    bool will_drop; /* it is in http->drops */
    struct exchange *next_drop, *previous_drop;
    bool is_oversized;
    bool is_broken; /* the connection broke after the request was sent, before any answer */
};

bool http_setup(struct error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fail(err, ERR_INTERNAL, "can't initialise the HTTP library");
    return true;
}

void http_teardown(void) { curl_global_cleanup(); }

/* ---- callbacks: stamps and bytes ------------------------------------------------------------ */

/* Also called when the library, on its own, sends a request a second time because a kept-alive
 * connection broke. A benchmark must not hide that, and the server may have begun to work on it. */
static int on_connected(void *self, char *remote_ip, char *local_ip, int remote_port,
                        int local_port)
{
    (void)remote_ip, (void)local_ip, (void)remote_port, (void)local_port;
    struct exchange *x = self;
    if (x->record->send_end_ns > 0 && x->record->status == 0) {
        x->is_broken = true;
        return CURL_PREREQFUNC_ABORT;
    }
    x->record->send_start_ns = clock_now_ns();
    return CURL_PREREQFUNC_OK;
}

static void plan_drop(struct exchange *x)
{
    struct drops *d = &x->http->drops;
    x->will_drop = true;
    x->previous_drop = d->last;
    if (d->last)
        d->last->next_drop = x;
    else
        d->first = x;
    d->last = x;
}

static void forget_drop(struct exchange *x)
{
    struct drops *d = &x->http->drops;
    if (!x->will_drop)
        return;
    *(x->previous_drop ? &x->previous_drop->next_drop : &d->first) = x->next_drop;
    *(x->next_drop ? &x->next_drop->previous_drop : &d->last) = x->previous_drop;
    x->will_drop = false;
}

static int on_debug(CURL *easy, curl_infotype type, char *data, size_t size, void *self)
{
    (void)easy, (void)data;
    struct exchange *x = self;
    struct record *r = x->record;
    if (type == CURLINFO_HEADER_OUT || type == CURLINFO_DATA_OUT) {
        r->send_end_ns = clock_now_ns();
        r->n_chunks_sent += type == CURLINFO_DATA_OUT;
        x->n_sent += type == CURLINFO_DATA_OUT ? size : 0;
        if (r->drop_after_ns > 0 && !x->will_drop && x->n_sent >= r->payload->size)
            plan_drop(x);
    }
    return 0;
}

static size_t on_header(char *line, size_t one, size_t size, void *self)
{
    (void)one;
    http_answer_line(((struct exchange *)self)->record, line, size);
    return size;
}

static size_t on_body(char *data, size_t one, size_t size, void *self)
{
    (void)one;
    struct exchange *x = self;
    struct record *r = x->record;
    r->end_ns = clock_now_ns();
    if (r->body.size == 0)
        r->first_ns = r->end_ns;
    if (r->body.size + size > HTTP_MAX_BODY) {
        x->is_oversized = true;
        return 0;
    }
    r->n_chunks_received++;
    r->bytes_received += (int64_t)size;
    buf_append(&r->body, data, size);
    return size;
}

/* ---- one request ---------------------------------------------------------------------------- */

static void set_connect(CURL *easy, const struct request_connect *connect)
{
    curl_easy_setopt(
        easy, CURLOPT_HTTP_VERSION,
        (long)(connect->is_http2 ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : CURL_HTTP_VERSION_1_1));
    /* wait for a connection that can be shared instead of opening another */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, (long)connect->is_http2);
    if (connect->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, connect->ca_file);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, (long)!connect->is_insecure);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, connect->is_insecure ? 0L : 2L);
}

static void set_common(CURL *easy, const char *url, const struct request_connect *connect,
                       int64_t timeout_ms)
{
    curl_easy_setopt(easy, CURLOPT_URL, url);
    set_connect(easy, connect);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    if (!strstr(url, "://[")) /* IPv4 as AIPerf, unless the address is an IPv6 literal */
        curl_easy_setopt(easy, CURLOPT_IPRESOLVE, (long)CURL_IPRESOLVE_V4);
}

static struct curl_slist *make_list(const struct request_headers *headers)
{
    struct curl_slist *list = NULL;
    for (size_t i = 0; headers && i < headers->n_items; i++) {
        const struct request_header *h = &headers->items[i];
        /* a header without value is written with ';' for this library */
        char *line = *h->value ? xasprintf("%s: %s", h->name, h->value) : xasprintf("%s;", h->name);
        list = curl_slist_append(list, line);
        free(line);
    }
    return curl_slist_append(list, "Expect:"); /* never wait for "100 Continue" */
}

/* libcurl 7.88 breaks a shared connection on which it relies on prior knowledge again; what is
 * asked for as plain HTTP/2 it sends there unharmed. */
static void set_version(struct http *h, CURL *easy, const char *url)
{
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num >> 8;
    if (!h->target->connect.is_http2 || version != 0x0758 || !h->options.is_pooled ||
        strncasecmp(url, "http://", 7) != 0)
        return;
    if (h->has_shared)
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_0);
    h->has_shared = true;
}

static void start(void *self, struct record *r)
{
    struct http *h = self;
    struct request_headers headers = {0};
    struct exchange *x = xcalloc(1, sizeof *x);
    request_make_headers(&headers, h->target, r);
    x->http = h;
    x->record = r;
    x->headers = make_list(&headers);
    x->easy = curl_easy_init();
    request_headers_free(&headers);
    r->transport = x;
    if (!x->easy)
        abort(); /* out of memory */

    CURL *easy = x->easy;
    set_common(easy, h->target->urls[r->url], &h->target->connect, h->options.timeout_ms);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->payload->size);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->payload->data); /* not copied */
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L); /* on_debug learns when bytes leave */
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, x);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    if (!h->options.is_pooled) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    }
    set_version(h, easy, h->target->urls[r->url]);
    r->start_ns = clock_now_ns();
    curl_multi_add_handle(h->multi, easy);
    int n_running;
    curl_multi_perform(h->multi, &n_running);
}

static enum transfer classify(CURLcode code, const struct exchange *x)
{
    static const enum transfer PLAIN[CURL_LAST] = {
        [CURLE_COULDNT_RESOLVE_HOST] = TRANSFER_NO_HOST,
        [CURLE_COULDNT_RESOLVE_PROXY] = TRANSFER_NO_HOST,
        [CURLE_COULDNT_CONNECT] = TRANSFER_NO_CONNECT,
        [CURLE_GOT_NOTHING] = TRANSFER_DISCONNECTED,
        [CURLE_RECV_ERROR] = TRANSFER_DISCONNECTED,
        [CURLE_SEND_ERROR] = TRANSFER_DISCONNECTED,
        [CURLE_PARTIAL_FILE] = TRANSFER_DISCONNECTED,
        [CURLE_OPERATION_TIMEDOUT] = TRANSFER_TIMEOUT,
    };
    if (code == CURLE_OK)
        return TRANSFER_DONE;
    bool is_unanswered = x->record->send_end_ns > 0 && x->record->status == 0;
    if (x->is_broken || (code == CURLE_COULDNT_CONNECT && is_unanswered))
        return TRANSFER_DISCONNECTED; /* the second try of the library after sending */
    if (x->is_oversized)
        return TRANSFER_OVERSIZED;
    return PLAIN[code] != TRANSFER_DONE ? PLAIN[code] : TRANSFER_FAILED;
}

static int64_t info_ns(CURL *easy, CURLINFO info)
{
    curl_off_t us = 0;
    curl_easy_getinfo(easy, info, &us);
    return (int64_t)us * 1000;
}

/* Durations before sending, from the library's own clock (it starts when the transfer does). */
static void read_setup_times(struct record *r, CURL *easy)
{
    long n_connects = 0;
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &n_connects);
    r->is_reused = n_connects == 0 && r->send_start_ns > 0;
    if (n_connects > 0) {
        int64_t dns_ns = info_ns(easy, CURLINFO_NAMELOOKUP_TIME_T);
        int64_t tcp_ns = info_ns(easy, CURLINFO_CONNECT_TIME_T);
        int64_t tls_ns = info_ns(easy, CURLINFO_APPCONNECT_TIME_T);
        int64_t ready_ns = tls_ns > tcp_ns ? tls_ns : tcp_ns;
        r->dns_ns = dns_ns;
        r->connect_ns = ready_ns > dns_ns ? ready_ns - dns_ns : 0;
    }
    if (r->send_start_ns > 0) {
        int64_t before_ns = r->send_start_ns - r->start_ns - r->dns_ns - r->connect_ns;
        r->blocked_ns = before_ns > 0 ? before_ns : 0;
    }
}

static void detach(struct http *h, struct exchange *x)
{
    forget_drop(x);
    curl_multi_remove_handle(h->multi, x->easy);
    curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    x->record->transport = NULL;
    free(x);
}

static struct record *finish(struct http *h, CURL *easy, CURLcode code)
{
    char *private = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    struct exchange *x = (struct exchange *)(void *)private;
    struct record *r = x->record;
    long version = 0;
    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    r->transfer = classify(code, x);
    h->has_shared = h->has_shared && code == CURLE_OK;
    if (code == CURLE_OK && h->target->connect.is_http2 && version != CURL_HTTP_VERSION_2_0) {
        r->transfer = TRANSFER_FAILED;
        r->transfer_text = xstrdup("the server does not speak HTTP/2");
    }
    if (code != CURLE_OK || r->end_ns == 0)
        r->end_ns = clock_now_ns();
    if (code != CURLE_OK)
        r->transfer_text = xstrdup(r->transfer == TRANSFER_DISCONNECTED
                                       ? "the server closed the connection before its answer was "
                                         "complete"
                                       : curl_easy_strerror(code));
    read_setup_times(r, easy);
    detach(h, x);
    return r;
}

/* ---- the transport -------------------------------------------------------------------------- */

static int64_t now_ns(void *self)
{
    (void)self;
    return clock_now_ns();
}

/* When the next exchange is to be hung up; INT64_MAX: none. */
static int64_t next_drop_ns(const struct http *h)
{
    const struct exchange *x = h->drops.first;
    return x ? x->record->send_end_ns + x->record->drop_after_ns : INT64_MAX;
}

/* Hang up one whose time has come, or NULL. The server sees a user leave. */
static struct record *drop_due(struct http *h)
{
    if (next_drop_ns(h) > clock_now_ns())
        return NULL;
    struct record *r = h->drops.first->record;
    r->transfer = TRANSFER_DROPPED;
    r->end_ns = clock_now_ns();
    read_setup_times(r, h->drops.first->easy);
    detach(h, h->drops.first);
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
        if (message->msg == CURLMSG_DONE)
            return finish(h, message->easy_handle, message->data.result);
    }
    return drop_due(h);
}

static void set_timer(struct http *h, int64_t until_ns)
{
    struct itimerspec at = {0}; /* zero disarms */
    if (until_ns != INT64_MAX) {
        at.it_value.tv_sec = (time_t)(until_ns / NS_PER_S);
        at.it_value.tv_nsec = (long)(until_ns % NS_PER_S);
    }
    timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static struct record *wait(void *self, int64_t until_ns)
{
    struct http *h = self;
    int n_running;
    struct record *r = take_ended(h);
    if (r || clock_now_ns() >= until_ns)
        return r;
    int64_t drop_ns = next_drop_ns(h);
    set_timer(h, drop_ns < until_ns ? drop_ns : until_ns);
    struct curl_waitfd timer = {.fd = h->timer, .events = CURL_WAIT_POLLIN};
    curl_multi_poll(h->multi, &timer, 1, IDLE_MS, NULL);
    curl_multi_perform(h->multi, &n_running);
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

static void wake(void *self) { curl_multi_wakeup(((struct http *)self)->multi); }

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
    h->multi = curl_multi_init();
    h->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (!h->multi || h->timer < 0) {
        http_close(h);
        return fail(err, ERR_MEMORY, "can't set up the HTTP library");
    }
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, MAX_CONNECTIONS);
    curl_multi_setopt(h->multi, CURLMOPT_PIPELINING,
                      (long)(target->connect.is_http2 ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING));
    *out = h;
    return true;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    if (h->multi)
        curl_multi_cleanup(h->multi);
    if (h->timer >= 0)
        close(h->timer);
    free(h);
}

struct transport http_transport(struct http *h)
{
    return (struct transport){
        .self = h, .now_ns = now_ns, .start = start, .wait = wait, .cancel = cancel, .wake = wake};
}

/* ---- blocking fetch ------------------------------------------------------------------------- */

static size_t on_fetched(char *data, size_t one, size_t size, void *self)
{
    (void)one;
    struct buf *out = self;
    if (out->size + size > HTTP_MAX_BODY)
        return 0;
    buf_append(out, data, size);
    return size;
}

static int on_progress(void *self, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load((const atomic_bool *)self); /* not 0 ends the transfer */
}

bool http_fetch(const char *url, const struct request_connect *connect,
                const struct request_headers *headers, const struct buf *body, int64_t timeout_ms,
                const atomic_bool *cancel_flag, struct buf *out, int *status, struct error *err)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return fail(err, ERR_MEMORY, "can't set up the HTTP library");
    struct curl_slist *list = make_list(headers);
    set_common(easy, url, connect, timeout_ms);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_fetched);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
    if (body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->data);
    }
    if (cancel_flag) {
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(easy, CURLOPT_XFERINFODATA, (void *)cancel_flag);
    }
    CURLcode code = curl_easy_perform(easy);
    long answered = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answered);
    *status = (int)answered;
    curl_slist_free_all(list);
    curl_easy_cleanup(easy);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return fail(err, ERR_CANCELED, "GET %s: given up", url);
    if (code != CURLE_OK)
        return fail(err, ERR_IO, "%s %s: %s", body ? "POST" : "GET", url, curl_easy_strerror(code));
    return true;
}
