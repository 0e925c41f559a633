#include "client/http_exchange.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

#define MAX_REDIRECTS 10
/* Read at once: pictures are large, and each reading costs a call; but the library allocates as
 * much for each request, which small answers need not pay for. */
#define READ_BYTES 102400L
#define READ_BYTES_SMALL 16384L

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

/* Called after each step of a transfer; n_sent grows when bytes of the body have left. */
static int on_progress(void *self, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t n_sent)
{
    (void)a, (void)b, (void)c;
    struct exchange *x = self;
    if (n_sent > x->n_sent) {
        x->record->send_end_ns = clock_now_ns();
        x->record->n_chunks_sent++;
        x->n_sent = n_sent;
        if (x->record->drop_after_ns > 0 && (size_t)n_sent >= x->record->payload_bytes)
            exchange_enter(x, EXCHANGE_IS_DROPPED,
                           x->record->send_end_ns + x->record->drop_after_ns);
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
    x->is_oversized = !http_answer_body(x->record, data, size);
    return x->is_oversized ? 0 : size;
}

/* ---- before --------------------------------------------------------------------------------- */

/* IPv4 as AIPerf, unless the address is an IPv6 literal. */
static long ip_version(const char *url)
{
    return strstr(url, "://[") ? (long)CURL_IPRESOLVE_WHATEVER : (long)CURL_IPRESOLVE_V4;
}

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

void exchange_set_common(CURL *easy, const char *url, const struct request_connect *connect,
                         int64_t timeout_ms)
{
    curl_easy_setopt(easy, CURLOPT_URL, url);
    set_connect(easy, connect);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms); /* connecting is part of it */
    curl_easy_setopt(easy, CURLOPT_IPRESOLVE, ip_version(url));
}

static void add_header(void *self, const char *name, const char *value)
{
    struct exchange *x = self;
    size_t n = strlen(name), n_value = strlen(value);
    buf_append(&x->header_text, name, n);
    /* a header without value is written with ';' for this library */
    buf_append(&x->header_text, n_value ? ": " : ";", n_value ? 2 : 1);
    buf_append(&x->header_text, value, n_value + 1);
}

/* Nobody's password goes to a server that another one has named. */
static void add_open_header(void *self, const char *name, const char *value)
{
    if (!request_header_is_secret(name) || strcasecmp(name, "X-Session-Affinity") == 0)
        add_header(self, name, value);
}

/* The library's list of header lines in memory that is used again for each request. */
static void set_headers(struct exchange *x, bool is_same_server)
{
    size_t n = 0;
    buf_clear(&x->header_text);
    request_each_header(x->target, x->record, is_same_server ? add_header : add_open_header, x);
    if (x->target->connect.says_close)
        add_header(x, "Connection", "close");
    buf_append(&x->header_text, "Expect:", sizeof "Expect:"); /* never wait for "100 Continue" */
    for (size_t at = 0; at < x->header_text.size; at += strlen(x->header_text.data + at) + 1) {
        if (n == x->n_headers) {
            x->n_headers = n ? 2 * n : 16;
            x->headers = xrealloc(x->headers, x->n_headers * sizeof *x->headers);
        }
        x->headers[n++].data = x->header_text.data + at;
    }
    for (size_t i = 0; i < n; i++)
        x->headers[i].next = i + 1 < n ? &x->headers[i + 1] : NULL;
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
}

/* The library parses an address at every transfer, unless it gets it in parts, which it takes
 * over here. NULL: it is told by itself. */
static void set_parsed(struct exchange *x, const char *url, CURLU *parsed)
{
    x->url = url;
    curl_easy_setopt(x->easy, CURLOPT_CURLU, parsed);
    curl_url_cleanup(x->parsed);
    x->parsed = parsed;
}

static void set_url(struct exchange *x)
{
    const char *url = x->target->urls[x->record->url];
    if (x->url == url)
        return;
    CURLU *parsed = curl_url();
    if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        curl_url_cleanup(parsed);
        parsed = NULL;
    }
    curl_easy_setopt(x->easy, CURLOPT_URL, url);
    curl_easy_setopt(x->easy, CURLOPT_IPRESOLVE, ip_version(url));
    set_parsed(x, url, parsed);
}

struct exchange *exchange_new(const struct request_target *target,
                              const struct http_options *options, struct exchange_queue *queues)
{
    struct exchange *x = xcalloc(1, sizeof *x);
    CURL *easy = curl_easy_init();
    if (!easy)
        abort(); /* out of memory */
    x->easy = easy;
    x->target = target;
    x->queues = queues;
    x->n_received = INT64_MAX; /* not known: be ready for a large one */
    exchange_set_common(easy, target->urls[0], &target->connect, 0);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, x);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)!options->is_pooled);
    x->is_pooled = options->is_pooled;
    return x;
}

void exchange_free(struct exchange *x)
{
    curl_easy_cleanup(x->easy);
    curl_url_cleanup(x->parsed);
    buf_free(&x->head);
    buf_free(&x->header_text);
    free(x->headers);
    free(x);
}

/* The next answer is likely to be as large as the last. */
static void set_read_size(struct exchange *x)
{
    long wanted = x->n_received > READ_BYTES_SMALL ? READ_BYTES : READ_BYTES_SMALL;
    if (wanted != x->read_bytes)
        curl_easy_setopt(x->easy, CURLOPT_BUFFERSIZE, wanted);
    x->read_bytes = wanted;
}

void exchange_begin(struct exchange *x, struct record *r)
{
    x->record = r;
    x->n_sent = 0;
    x->n_redirects = 0;
    x->is_get = x->is_oversized = x->is_broken = false;
}

void exchange_set_connect(struct exchange *x)
{
    set_url(x);
    curl_easy_setopt(x->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(x->easy, CURLOPT_FORBID_REUSE, 0L); /* or it would be closed at once */
    x->is_connecting = true;
}

static void set_request(struct exchange *x, bool is_same_server)
{
    set_url(x);
    set_read_size(x);
    set_headers(x, is_same_server);
    curl_easy_setopt(x->easy, CURLOPT_CONNECT_ONLY, 0L);
    curl_easy_setopt(x->easy, CURLOPT_FORBID_REUSE, (long)!x->is_pooled);
    x->is_connecting = false;
    curl_easy_setopt(x->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->record->payload_bytes);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->record->payload); /* not copied */
}

void exchange_set_request(struct exchange *x) { set_request(x, true); }

static bool has_equal_part(CURLU *a, CURLU *b, CURLUPart what)
{
    char *of_a = NULL, *of_b = NULL;
    curl_url_get(a, what, &of_a, CURLU_DEFAULT_PORT);
    curl_url_get(b, what, &of_b, CURLU_DEFAULT_PORT);
    bool is_equal = of_a && of_b && strcasecmp(of_a, of_b) == 0;
    curl_free(of_a);
    curl_free(of_b);
    return is_equal;
}

bool exchange_is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* What was asked for by POST is asked for by GET from then on where the status says so or browsers
 * do. Moments and bytes of the answer begin anew. */
const char *exchange_set_redirect(struct exchange *x, const char *location)
{
    struct record *r = x->record;
    const char *url = x->target->urls[r->url];
    CURLU *from = curl_url(), *to = curl_url();
    const char *why = x->n_redirects++ == MAX_REDIRECTS ? "more than 10 redirects" : NULL;
    if (!why && (curl_url_set(from, CURLUPART_URL, url, 0) != CURLUE_OK ||
                 curl_url_set(to, CURLUPART_URL, url, 0) != CURLUE_OK ||
                 curl_url_set(to, CURLUPART_URL, location, 0) != CURLUE_OK))
        why = "the answer redirects to what is no address";
    if (!why) {
        bool is_same = has_equal_part(from, to, CURLUPART_SCHEME) &&
                       has_equal_part(from, to, CURLUPART_HOST) &&
                       has_equal_part(from, to, CURLUPART_PORT);
        x->is_get = x->is_get || r->status <= 303;
        set_request(x, is_same);
        set_parsed(x, NULL, to);
        if (x->is_get)
            curl_easy_setopt(x->easy, CURLOPT_HTTPGET, 1L);
        buf_clear(&r->body);
        r->bytes_received = r->n_chunks_received = 0;
        r->first_ns = r->end_ns = r->send_end_ns = 0;
        r->status = 0;
        x->n_sent = 0;
    } else {
        curl_url_cleanup(to);
    }
    curl_url_cleanup(from);
    return why;
}

/* ---- queues --------------------------------------------------------------------------------- */

void exchange_enter(struct exchange *x, enum exchange_queues which, int64_t due_ns)
{
    struct exchange_queue *q = &x->queues[which];
    struct exchange_place *place = &x->places[which];
    if (place->is_in)
        return;
    *place = (struct exchange_place){.previous = q->last, .due_ns = due_ns, .is_in = true};
    *(q->last ? &q->last->places[which].next : &q->first) = x;
    q->last = x;
}

void exchange_leave(struct exchange *x)
{
    for (size_t i = 0; i < N_EXCHANGE_QUEUES; i++) {
        struct exchange_queue *q = &x->queues[i];
        struct exchange_place *p = &x->places[i];
        if (!p->is_in)
            continue;
        *(p->previous ? &p->previous->places[i].next : &q->first) = p->next;
        *(p->next ? &p->next->places[i].previous : &q->last) = p->previous;
        p->is_in = false;
    }
}

/* ---- after ---------------------------------------------------------------------------------- */

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

void exchange_read_setup(struct exchange *x)
{
    struct record *r = x->record;
    CURL *easy = x->easy;
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

#define BROKEN_TEXT "the server closed the connection before its answer was complete"

void exchange_end(struct exchange *x, enum transfer how, const char *why)
{
    struct record *r = x->record;
    r->transfer = how;
    if (how != TRANSFER_DONE || r->end_ns == 0)
        r->end_ns = clock_now_ns();
    if (how == TRANSFER_DISCONNECTED)
        why = BROKEN_TEXT;
    r->transfer_text = why ? xstrdup(why) : NULL;
    x->n_received = r->bytes_received;
}

void exchange_finish(struct exchange *x, CURLcode code)
{
    long version = 0;
    curl_easy_getinfo(x->easy, CURLINFO_HTTP_VERSION, &version);
    bool is_other = x->target->connect.is_http2 && version != CURL_HTTP_VERSION_2_0;
    exchange_read_setup(x);
    if (code == CURLE_OK && is_other)
        exchange_end(x, TRANSFER_FAILED, "the server does not speak HTTP/2");
    else
        exchange_end(x, classify(code, x), code == CURLE_OK ? NULL : curl_easy_strerror(code));
}
