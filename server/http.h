/* The HTTP side: sockets, limits, routing. Knows no images.
 *
 * A thread per connection gathers a request and calls the handler of its route, which may block as
 * long as it likes and fills in a response. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "server/form.h"

struct http_request {
    const char *method;     /* "GET", "POST"; HEAD arrives as GET */
    const char *path;       /* decoded, without the query */
    const char *param;      /* what the {} of the route's path stands for, or "" */
    const char *host;       /* the Host header, or NULL */
    const char *request_id; /* the client's X-Request-ID, or NULL */
    char client[64];        /* its address, for logs */
    struct buf body;
    const struct form *form; /* instead of a body, or NULL */
    int64_t begun_ns;        /* headers read */
    int64_t received_ns;     /* body read */
    int socket;              /* only for http_client_is_gone() */
};

enum { HTTP_MAX_HEADERS = 8, HTTP_NO_ANSWER = 499 };

struct http_response {
    int status;               /* HTTP_NO_ANSWER: the client is gone, close the connection */
    const char *content_type; /* static; NULL: application/json */
    struct buf body;          /* owned; freed by http.c */
    struct http_header {
        const char *name;
        char value[256];
    } headers[HTTP_MAX_HEADERS];
    int n_headers;
    struct buf log; /* "key=value key=value" for the log line of this request; owned */
};

typedef void (*http_handler_fn)(void *ctx, const struct http_request *request,
                                struct http_response *response);

/* Routes of one path with different methods are separate rows. The path may contain one "{}", which
 * stands for at least one character of any kind. A POST route wants JSON, or a
 * form if it says so. */
struct http_route {
    const char *method, *path;
    http_handler_fn handler;
    bool is_quiet; /* successes are logged at debug level: probes come often */
    bool is_form;  /* wants multipart/form-data */
};

struct http_config {
    int socket; /* listening; http_open() takes it over, even when it fails */
    int max_connections;
    int timeout_s;         /* without a byte from or to the client */
    size_t max_body_bytes; /* of JSON */
    size_t max_form_bytes; /* of forms */
    const struct http_route *routes;
    size_t n_routes;
    void *ctx; /* for handlers and on_done */
    /* After each answer: status and seconds since the request's headers were read. May be NULL. */
    void (*on_done)(void *ctx, int status, double seconds);
};

struct http;

/* Start to answer. */
bool http_open(struct http **out, const struct http_config *config, struct error *err);
/* Requests whose body has arrived and whose answer is not sent yet. */
int http_active(struct http *http);
/* Take no new connections; those that exist go on. */
void http_quiesce(struct http *http);
/* Cut all connections and free. NULL is fine. */
void http_close(struct http *http);

/* True when the peer has closed its side or the connection broke. */
bool http_client_is_gone(int socket);

void http_add_header(struct http_response *response, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Add key="value" to the log line of this request, with quotes escaped as in JSON. */
void http_log_text(struct http_response *response, const char *key, const char *value);

/* Answer with OpenAI's error object. code NULL: the status's own. */
void http_fail(struct http_response *response, int status, const char *param, const char *code,
               const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same from a struct error; the status follows from its code. */
void http_fail_with(struct http_response *response, const struct error *err);
