/* HTTP, with libcurl or, without TLS, on our own; only the files http*.c know that library. Many
 * requests at once behind `struct transport` (HTTP/1.1 over kept-alive connections or HTTP/2 over
 * one, no proxies from the environment), and a blocking fetch for all that is not measured. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "client/http_answer.h"
#include "client/load.h"
#include "client/request.h"

/* Call once before any thread starts, and at the end. */
bool http_setup(struct error *err);
void http_teardown(void);

struct http_options {
    int64_t timeout_ms;   /* of a whole request, connecting included; 0: none */
    bool is_pooled;       /* reuse connections; else a new one for each request, */
    bool is_sticky;       /* or for each user of the records, who keeps it to the last turn */
    long max_connections; /* kept open while nothing is sent over them */
};

struct http;

/* target stays with the caller and must outlive the handle. */
bool http_open(struct http **out, const struct request_target *target,
               const struct http_options *options, struct error *err);
void http_close(struct http *h); /* NULL is fine; nothing may be in flight */

/* The face for load_run. Moments are stamped as they happen; request_start is taken when the
 * request is ready to be sent, before connecting. */
struct transport http_transport(struct http *h);

/* One blocking exchange outside the measurement. body NULL is a GET. Appends
 * the answer's body to out and sets *status; failing to get any answer is ERR_IO. Safe from any
 * thread. cancel may be NULL; when it turns true the exchange ends with ERR_CANCELED. */
bool http_fetch(const char *url, const struct request_connect *connect,
                const struct request_headers *headers, const struct buf *body, int64_t timeout_ms,
                const atomic_bool *cancel, struct buf *out, int *status, struct error *err);
