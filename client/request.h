/* What goes over the wire for one request: address, headers, body. The bytes, the order of headers
 * and the order of keys are AIPerf's, so that a server can't tell the two tools apart but by their
 * User-Agent. No socket here. */
#pragma once

#include <stddef.h>

#include "base/args.h"
#include "base/buf.h"
#include "base/error.h"
#include "client/fields.h"
#include "client/record.h"

#define REQUEST_USER_AGENT "fluxperf/" FLUXBENCH_VERSION

struct request_header {
    char *name, *value; /* owned */
};

struct request_headers {
    struct request_header *items; /* owned: request_headers_free */
    size_t n_items;
};

/* How connections are made. */
struct request_connect {
    bool is_http2;       /* and nothing else; without TLS by prior knowledge (RFC 9113, 3.3) */
    bool is_insecure;    /* whatever the server's certificate says */
    bool says_close;     /* tell the server that no other request will follow (HTTP/1.1) */
    const char *ca_file; /* PEM, of those who may sign it; NULL: the system's. Not owned */
};

/* What all requests of a run share. */
struct request_target {
    char **urls; /* owned; request i goes to urls[i % n_urls] */
    size_t n_urls;
    struct request_headers extra; /* --header, then Authorization for --api-key */
    struct request_connect connect;
};

void request_target_free(struct request_target *t);
void request_headers_free(struct request_headers *h);

/* Append the address for a base URL: "http://" in front when there is no "://", trailing slashes
 * dropped, then the path unless the base ends with it already (of a base ending in /v1 the path's
 * own /v1 is left off), then the base's query. The path "" appends nothing. Fails when there is no
 * host or the scheme is not http(s). */
bool request_url(struct buf *out, const char *base, const char *path, struct error *err);

/* The address without path: where /v1/models and relative image addresses are found. */
void request_base(struct buf *out, const char *url);

/* Read one use of --header: `Name:value`, several with commas between, or a JSON object of
 * strings. A piece without colon belongs to the value before it. */
bool request_add_header(struct request_headers *h, const char *text, struct error *err);
void request_push_header(struct request_headers *h, const char *name, const char *value);
bool request_has_header(const struct request_headers *h, const char *name);

/* Hand the headers of one request to put in wire order, without Host and Content-Length, which are
 * added in front and behind. The user's stand in place of ours of the same name. */
typedef void (*request_header_fn)(void *self, const char *name, const char *value);
void request_each_header(const struct request_target *target, const struct record *r,
                         request_header_fn put, void *self);
/* The same as a list. */
void request_make_headers(struct request_headers *out, const struct request_target *target,
                          const struct record *r);

/* Append the JSON body: prompt, model, response_format, n; then extra, then row's fields. */
void request_body(struct buf *out, const char *prompt, const char *model,
                  const struct fields *extra, const struct fields *row);

/* True when a header's value must not be written to files: authorization, cookies, tokens, and
 * (as in AIPerf) every name that contains "session". */
bool request_header_is_secret(const char *name);
/* An address as it may be shown: without a user's name and password, and without the values of
 * query fields that are as secret. To be freed. */
char *request_url_shown(const char *url);
