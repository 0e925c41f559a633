/* libmicrohttpd with a thread per connection: the only mode in which its documentation lets a
 * handler block. The library calls on_request() once when the headers are in, then for each piece
 * of the body, then once more at its end, which is where the route's handler runs.
 *
 * An error that is known from the headers (no such route, body too large, ...) is kept in `early`
 * and answered when the body has been read and thrown away: answering at once would close the
 * socket with unread data, and the client would see a reset instead of the answer. Clients that
 * announced `Expect: 100-continue` wait for permission, so they are answered at once.
 *
 * A form is taken apart by the library while it comes in; only its values are kept. */
#include "server/http.h"

#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "server/listener.h"

enum {
    HEADER_BYTES = 32 * 1024,          /* longer ones are answered 431 by the library */
    DISCARD_BYTES = 256 * 1024 * 1024, /* of an unwanted body, before the connection is cut */
    PART_HEAD_BYTES = 8 * 1024,        /* the longest head of a part of a form */
};

struct http {
    struct http_config config;
    struct MHD_Daemon *daemon;
    int socket; /* -1: closed */
    atomic_int n_active;
};

/* One request and its answer; owned by its connection's thread. */
struct exchange {
    struct http_request request;
    struct http_response response;
    const struct http_route *route;
    bool is_early;                  /* response is filled in; the body is not wanted */
    bool is_active;                 /* counted in n_active */
    size_t n_received, n_discarded; /* bytes of the body */
    struct form form;               /* owner of request.form */
    struct MHD_PostProcessor *post; /* NULL: JSON, or no body wanted any more */
    struct error form_error;
    struct buf param; /* owner of request.param */
    struct buf method, path, host, request_id;
};

bool http_client_is_gone(int socket)
{
    struct pollfd look = {.fd = socket, .events = POLLRDHUP};
    return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

/* --- routing -----------------------------------------------------------------------------------*/

/* True when path fits pattern; *param is then what "{}" stands for. */
static bool path_matches(const char *pattern, const char *path, struct buf *param)
{
    const char *hole = strstr(pattern, "{}");
    if (!hole)
        return strcmp(pattern, path) == 0;
    size_t before = (size_t)(hole - pattern), after = strlen(hole + 2), size = strlen(path);
    if (size <= before + after || strncmp(path, pattern, before) != 0 ||
        strcmp(path + size - after, hole + 2) != 0)
        return false;
    buf_clear(param);
    buf_append(param, path + before, size - before - after);
    return true;
}

/* Sets x->route, or answers 404 or 405. */
static void find_route(const struct http *http, struct exchange *x)
{
    char allowed[64] = "";
    for (size_t i = 0; i < http->config.n_routes; i++) {
        const struct http_route *route = &http->config.routes[i];
        if (!path_matches(route->path, x->path.data, &x->param))
            continue;
        if (strcmp(route->method, x->method.data) == 0) {
            x->route = route;
            return;
        }
        const char *name = strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method;
        size_t used = strlen(allowed);
        snprintf(allowed + used, sizeof allowed - used, "%s%s", used ? ", " : "", name);
    }
    x->is_early = true;
    if (!*allowed) {
        http_fail(&x->response, 404, NULL, NULL, "no such endpoint: %s %s", x->method.data,
                  x->path.data);
        return;
    }
    http_add_header(&x->response, "Allow", "%s", allowed);
    http_fail(&x->response, 405, NULL, NULL, "method %s: %s takes %s", x->method.data, x->path.data,
              allowed);
}

static size_t body_limit(const struct http *http, const struct exchange *x)
{
    return x->route && x->route->is_form ? http->config.max_form_bytes
                                         : http->config.max_body_bytes;
}

/* Nothing of the body is of use any more. */
static void forget_body(struct exchange *x)
{
    x->is_early = true;
    buf_free(&x->request.body);
    if (x->post)
        MHD_destroy_post_processor(x->post);
    x->post = NULL;
    form_free(&x->form);
}

static void refuse_body(struct exchange *x, size_t limit)
{
    forget_body(x);
    http_fail(&x->response, 413, NULL, NULL, "the request's body is larger than %zu bytes", limit);
}

/* --- forms -------------------------------------------------------------------------------------*/

static void refuse_form(struct exchange *x)
{
    forget_body(x);
    if (x->form_error.code == ERR_NONE) {
        fail(&x->form_error, ERR_INVALID,
             "the body is no whole multipart/form-data: each part must have a name and end with "
             "the boundary of the Content-Type");
    }
    http_fail_with(&x->response, &x->form_error);
}

/* The library calls it with each piece of a value. */
static enum MHD_Result on_part(void *cls, enum MHD_ValueKind kind, const char *name,
                               const char *file_name, const char *content_type,
                               const char *transfer_encoding, const char *data, uint64_t offset,
                               size_t size)
{
    struct exchange *x = cls;
    const struct form_head head = {.name = name, .transfer_encoding = transfer_encoding};
    (void)kind, (void)file_name, (void)content_type;
    bool ok = form_add(&x->form, &head, (size_t)offset, data, size, &x->form_error);
    return ok ? MHD_YES : MHD_NO;
}

static void begin_form(struct exchange *x, struct MHD_Connection *connection, const char *type)
{
    static const char WANTED[] = MHD_HTTP_POST_ENCODING_MULTIPART_FORMDATA;
    if (!type || strncasecmp(type, WANTED, strlen(WANTED)) != 0) {
        x->is_early = true;
        http_fail(&x->response, 415, NULL, NULL,
                  "Content-Type '%s': the body must be a form, "
                  "sent as multipart/form-data",
                  type ? type : "");
        return;
    }
    x->post = MHD_create_post_processor(connection, PART_HEAD_BYTES, on_part, x);
    x->request.form = &x->form;
    if (!x->post) {
        fail(&x->form_error, ERR_INVALID,
             "Content-Type '%s': must tell the boundary, as in multipart/form-data; boundary=x",
             type);
        refuse_form(x);
    }
}

/* The body has ended: its last part must have, too. */
static void end_form(struct exchange *x)
{
    if (!x->post)
        return;
    bool is_whole = MHD_destroy_post_processor(x->post) == MHD_YES;
    x->post = NULL;
    if (!is_whole || x->form.n_parts == 0)
        refuse_form(x);
}

/* What the headers alone tell about a body. */
static void check_headers(const struct http *http, struct exchange *x,
                          struct MHD_Connection *connection)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *type =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    if (length && strtoull(length, NULL, 10) > body_limit(http, x)) {
        refuse_body(x, body_limit(http, x));
    } else if (x->route->is_form) {
        begin_form(x, connection, type);
    } else if (strcmp(x->route->method, "POST") == 0 && type && !strcasestr(type, "json")) {
        x->is_early = true;
        http_fail(&x->response, 415, NULL, NULL,
                  "Content-Type '%s': the body must be JSON, sent as application/json", type);
    }
}

/* --- one exchange ------------------------------------------------------------------------------*/

static void copy_header(struct buf *out, struct MHD_Connection *connection, const char *name,
                        const char **value)
{
    const char *found = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
    if (found) {
        buf_puts(out, found);
        *value = out->data;
    }
}

static void describe_client(struct exchange *x, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *address =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    x->request.socket = fd ? (int)fd->connect_fd : -1;
    char host[48] = "?";
    if (address && address->client_addr) {
        socklen_t size = address->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                     : sizeof(struct sockaddr_in);
        getnameinfo(address->client_addr, size, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    }
    snprintf(x->request.client, sizeof x->request.client, "%s", host);
}

static struct exchange *begin(struct http *http, struct MHD_Connection *connection,
                              const char *method, const char *path)
{
    struct exchange *x = xcalloc(1, sizeof *x);
    bool is_head = strcmp(method, "HEAD") == 0;
    x->request.begun_ns = clock_now_ns();
    buf_puts(&x->method, is_head ? "GET" : method);
    buf_puts(&x->path, path);
    buf_puts(&x->param, "");
    copy_header(&x->host, connection, MHD_HTTP_HEADER_HOST, &x->request.host);
    copy_header(&x->request_id, connection, "X-Request-ID", &x->request.request_id);
    describe_client(x, connection);
    find_route(http, x);
    if (x->route)
        check_headers(http, x, connection);
    x->request.method = x->method.data;
    x->request.path = x->path.data;
    x->request.param = x->param.data;
    return x;
}

static enum MHD_Result send_response(struct exchange *x, struct MHD_Connection *connection)
{
    struct http_response *r = &x->response;
    if (r->status == HTTP_NO_ANSWER)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(r->body.size, r->body.data, MHD_RESPMEM_MUST_FREE);
    if (!response)
        return MHD_NO;
    r->body = (struct buf){0}; /* the library owns it now */
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            r->content_type ? r->content_type : "application/json");
    MHD_add_response_header(response, MHD_HTTP_HEADER_SERVER, "fluxserve/" FLUXBENCH_VERSION);
    for (int i = 0; i < r->n_headers; i++)
        MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    enum MHD_Result queued = MHD_queue_response(connection, (unsigned int)r->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* A piece of the body. False cuts the connection. */
static bool receive(const struct http *http, struct exchange *x, const char *bytes, size_t size)
{
    size_t limit = body_limit(http, x);
    x->n_received += size;
    if (!x->is_early && x->n_received > limit)
        refuse_body(x, limit);
    if (!x->is_early && x->post) {
        if (MHD_post_process(x->post, bytes, size) != MHD_YES)
            refuse_form(x);
        return true;
    }
    if (!x->is_early) {
        buf_append(&x->request.body, bytes, size);
        return true;
    }
    x->n_discarded += size;
    return x->n_discarded <= DISCARD_BYTES;
}

static bool expects_continue(struct MHD_Connection *connection)
{
    const char *expect =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT);
    return expect && strcasecmp(expect, "100-continue") == 0;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **state)
{
    struct http *http = cls;
    struct exchange *x = *state;
    (void)version;
    if (!x) {
        x = *state = begin(http, connection, method, url);
        return x->is_early && expects_continue(connection) ? send_response(x, connection) : MHD_YES;
    }
    if (*data_size > 0) {
        size_t size = *data_size;
        *data_size = 0;
        return receive(http, x, data, size) ? MHD_YES : MHD_NO;
    }
    end_form(x);
    x->request.received_ns = clock_now_ns();
    x->is_active = true;
    atomic_fetch_add(&http->n_active, 1);
    if (!x->is_early)
        x->route->handler(http->config.ctx, &x->request, &x->response);
    return send_response(x, connection);
}

static void log_exchange(const struct exchange *x, enum MHD_RequestTerminationCode how)
{
    bool was_sent = how == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    enum log_level level = LOG_INFO;
    if (x->response.status >= 500 && x->response.status != 503)
        level = LOG_ERROR;
    else if (x->route && x->route->is_quiet && x->response.status < 500)
        level = LOG_DEBUG;
    struct buf line = {0};
    json_print_string(&line, x->request.path, x->path.size);
    buf_printf(&line, " client=%s status=%d duration_ms=%.1f", x->request.client,
               x->response.status, (double)(clock_now_ns() - x->request.begun_ns) / NS_PER_MS);
    if (x->request.request_id) {
        buf_puts(&line, " client_id=");
        json_print_string(&line, x->request.request_id, x->request_id.size);
    }
    if (x->response.log.size)
        buf_printf(&line, " %s", x->response.log.data);
    log_line(level, "request method=%s path=%s%s", x->request.method, line.data,
             was_sent ? "" : " sent=no");
    buf_free(&line);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode how)
{
    struct http *http = cls;
    struct exchange *x = *state;
    (void)connection;
    if (!x)
        return; /* the headers were never complete */
    if (x->response.status == 0)
        x->response.status = HTTP_NO_ANSWER; /* cut while the body was coming in */
    log_exchange(x, how);
    if (http->config.on_done) {
        http->config.on_done(http->config.ctx, x->response.status,
                             clock_seconds(clock_now_ns() - x->request.begun_ns));
    }
    if (x->is_active)
        atomic_fetch_sub(&http->n_active, 1);
    forget_body(x);
    struct buf *owned[] = {&x->response.body, &x->response.log, &x->param,     &x->method,
                           &x->path,          &x->host,         &x->request_id};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        buf_free(owned[i]);
    free(x);
    *state = NULL;
}

/* --- the listening daemon ----------------------------------------------------------------------*/

static void on_library_log(void *ctx, const char *format, va_list args)
{
    struct buf line = {0};
    (void)ctx;
    buf_vprintf(&line, format, args);
    while (line.size && line.data[line.size - 1] == '\n')
        line.data[--line.size] = '\0';
    log_debug("http %s", line.size ? line.data : "");
    buf_free(&line);
}

bool http_open(struct http **out, const struct http_config *config, struct error *err)
{
    struct http *http = xcalloc(1, sizeof *http);
    http->config = *config;
    http->socket = config->socket;
    unsigned int flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                         MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, http->socket, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)config->max_connections, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned int)config->timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_END);
    if (!http->daemon) {
        listener_close(http->socket);
        free(http);
        return fail(err, ERR_INTERNAL, "the HTTP library did not start");
    }
    *out = http;
    return true;
}

int http_active(struct http *http) { return atomic_load(&http->n_active); }

void http_quiesce(struct http *http)
{
    if (http->socket >= 0) {
        MHD_quiesce_daemon(http->daemon);
        listener_close(http->socket);
        http->socket = -1;
    }
}

void http_close(struct http *http)
{
    if (!http)
        return;
    http_quiesce(http);
    MHD_stop_daemon(http->daemon);
    free(http);
}
