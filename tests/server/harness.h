/* The whole server inside a test program, over the fake pipeline, and a plain-socket client. */
#pragma once

#include "server/service.h"

struct harness_options {
    int max_queue, timeout_s; /* 0: 4 and 30 */
    int n_replicas;           /* 0: 1 */
    bool (*is_lost)(struct backend *b);
    size_t max_body_bytes; /* 0: 10000 */
    size_t store_images;   /* 0: 8 */
    bool is_strict;
    bool is_loading; /* do not wait for the warm-up */
};

struct harness {
    struct service service;
    struct http *http;
};

/* fake_reset() comes before. */
void harness_start(struct harness *h, struct harness_options options);
void harness_wait_ready(struct harness *h);
/* Drain, join, close everything. */
void harness_stop(struct harness *h);

struct reply {
    int status;
    struct buf text;  /* headers and body as they came */
    const char *body; /* in text */
    size_t body_size;
};

int harness_connect(const struct harness *h);
void harness_send(int fd, const char *text);
/* Read one answer; is_head: it has no body. status 0: the connection was closed before one. */
struct reply harness_read(int fd, bool is_head);
/* Send a request with a JSON body on a new connection; the socket. */
int harness_post(const struct harness *h, const char *body);
/* One request and its answer on a connection of its own. body NULL: none. */
struct reply harness_ask(const struct harness *h, const char *method, const char *path,
                         const char *body);
/* A header's value, or "" (static, until the next call). */
const char *reply_header(const struct reply *reply, const char *name);
void reply_free(struct reply *reply);
