/* One request in flight. Either libcurl opens a connection and this program speaks over it
 * (http_connection.h), or libcurl does everything: an easy handle, set up once and used for many
 * requests, whose callbacks write moments and bytes straight into the record. Internal to http. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>

#include "base/buf.h"
#include "client/http.h"
#include "client/http_connection.h"

/* Exchanges to be ended at a moment that is the same time after something which happens to one
 * after the other: the first is always the next. */
struct exchange_queue {
    struct exchange *first, *last;
};

enum exchange_queues {
    EXCHANGE_TIMES_OUT,  /* in the order of their starts */
    EXCHANGE_IS_DROPPED, /* hung up on purpose, in the order in which they were sent in full */
    N_EXCHANGE_QUEUES
};

struct exchange_place {
    struct exchange *next, *previous;
    int64_t due_ns; /* when it is to be ended */
    bool is_in;
};

struct exchange {
    struct record *record;               /* in flight; owned by the run */
    const struct request_target *target; /* owned by the run */
    struct buf head;                     /* of a request that this program sends itself */
    struct connection *connection;       /* owned: over which it does; or NULL */
    bool is_pooled;                      /* else a connection serves one request */
    bool is_in_library;                  /* which does what it was set to */
    bool is_connecting;                  /* that is no more than to connect */
    bool is_get;                         /* by a redirect; else POST */
    int n_redirects;                     /* so far */

    CURL *easy;
    const char *url;            /* set in easy; one of the target's, or NULL: another */
    CURLU *parsed;              /* owned: the same, so that no request parses it again */
    struct curl_slist *headers; /* owned array of nodes; texts are in header_text */
    size_t n_headers;           /* room in that array */
    struct buf header_text;
    curl_off_t n_sent;  /* of the body */
    int64_t n_received; /* of the last answer's */
    long read_bytes;    /* set in easy: room for bytes read at once */
    bool is_oversized;
    bool is_broken; /* the connection broke after the request was sent, before any answer */

    struct exchange_queue *queues; /* N_EXCHANGE_QUEUES, owned by the transport */
    struct exchange_place places[N_EXCHANGE_QUEUES];
    struct exchange *next; /* among those that wait to be used again */
};

/* Options that every transfer has. timeout_ms 0: none. */
void exchange_set_common(CURL *easy, const char *url, const struct request_connect *connect,
                         int64_t timeout_ms);

struct exchange *exchange_new(const struct request_target *target,
                              const struct http_options *options, struct exchange_queue *queues);
void exchange_free(struct exchange *x);

/* Take the record, whose payload must live until the end. */
void exchange_begin(struct exchange *x, struct record *r);

/* Make the handle ready to open a connection, no more; or to send the record's request and receive
 * its answer. */
void exchange_set_connect(struct exchange *x);
void exchange_set_request(struct exchange *x);
/* The same for the address that the record's answer names, by its status and Location (absolute, or
 * relative to the record's own address). Secrets go to the same server only. NULL, or why not: a
 * static string. */
bool exchange_is_redirect(int status);
const char *exchange_set_redirect(struct exchange *x, const char *location);

/* Behind those that are there, which are due before; nothing happens when it is among them. */
void exchange_enter(struct exchange *x, enum exchange_queues which, int64_t due_ns);
void exchange_leave(struct exchange *x); /* all queues */

/* Durations before sending, from the library's own clock (it starts when the transfer does). */
void exchange_read_setup(struct exchange *x);

/* Write how it ended into the record, of which nothing is kept: as the library says; or as is said
 * here, why a static string or NULL. */
void exchange_finish(struct exchange *x, CURLcode code);
void exchange_end(struct exchange *x, enum transfer how, const char *why);
