/* One kept-alive connection without TLS, over which this program speaks HTTP/1.1 on its own: one
 * call of the system sends a request, one reads an answer, and moments are taken right there.
 * libcurl opens the connection (names, addresses) and is spared each request. Internal to http. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/http_wire.h"
#include "client/record.h"

struct connection {
    int fd;                 /* owned */
    size_t url;             /* of the target's: which server */
    int64_t user;           /* whose it stays; 0: anybody's */
    struct record *record;  /* sent over it; NULL: it waits */
    const struct buf *head; /* the request's, sent in front of the record's payload; not owned */
    size_t n_sent;          /* of both */
    struct wire answer;
    bool is_oversized; /* the answer is longer than HTTP_MAX_BODY */
    int64_t idle_since_ns;
    struct connection *next, *previous; /* among those that wait */
};

struct connection *connection_new(int fd, size_t url);
void connection_free(struct connection *c); /* closes it; NULL is fine */

/* Begin a request; head must live until it ends. */
void connection_begin(struct connection *c, struct record *r, const struct buf *head);

/* Send what is left of it. False: the socket takes no more now, call again when it is writable. A
 * broken connection counts as sent: reading tells what has become of it. */
bool connection_send(struct connection *c);

enum connection_news {
    CONNECTION_QUIET, /* nothing new, or not all */
    CONNECTION_ENDED, /* the answer is complete */
    CONNECTION_BROKE, /* the connection ended before it was */
    CONNECTION_WRONG  /* no answer of HTTP/1.1 (answer.why), or one that is too long */
};

/* Read what has come, at most size bytes through buffer, into the record: lines, body, moments. */
enum connection_news connection_receive(struct connection *c, char *buffer, size_t size);

/* Bytes of the record's payload that have not been sent. */
int64_t connection_unsent(const struct connection *c);

/* After CONNECTION_ENDED: another request may follow. */
bool connection_is_reusable(const struct connection *c);
/* While it waits: the server has not closed it, and has not said anything unasked. */
bool connection_is_alive(const struct connection *c);

/* Those of one url that wait, zero-initialised. The newest is used first: it is the least likely to
 * be closed by the server meanwhile. */
struct connection_pool {
    struct connection *newest, *oldest;
    size_t n;
};

void connection_pool_add(struct connection_pool *pool, struct connection *c);
/* The newest of a user's, or NULL. */
struct connection *connection_pool_find(const struct connection_pool *pool, int64_t user);
void connection_pool_remove(struct connection_pool *pool, struct connection *c);
