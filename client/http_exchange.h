/* One request on libcurl: an easy handle, set up once and used for many requests, whose callbacks
 * write moments and bytes straight into the record in flight. Internal to http. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>

#include "base/buf.h"
#include "client/http.h"

/* Exchanges to be hung up on purpose, their requests sent in full, in the order of that. The delay
 * is the same for all of a run, so that the first is always the next. */
struct exchange_drops {
    struct exchange *first, *last;
};

struct exchange {
    struct record *record; /* in flight; owned by the run */
    CURL *easy;
    const struct request_target *target; /* owned by the run */
    const char *url;                     /* set in easy; one of the target's */
    CURLU *parsed;                       /* owned: the same, so that no request parses it again */
    struct curl_slist *headers;          /* owned array of nodes; texts are in header_text */
    size_t n_headers;                    /* room in that array */
    struct buf header_text;
    curl_off_t n_sent;  /* of the body */
    int64_t n_received; /* of the last answer's */
    long read_bytes;    /* set in easy: room for bytes read at once */
    bool is_oversized;
    bool is_broken; /* the connection broke after the request was sent, before any answer */
    struct exchange_drops *drops; /* owned by the transport */
    bool will_drop;               /* it is among them */
    struct exchange *next_drop, *previous_drop;
    struct exchange *next; /* among those that wait to be used again */
};

/* Options that every transfer has. */
void exchange_set_common(CURL *easy, const char *url, const struct request_connect *connect,
                         int64_t timeout_ms);

struct exchange *exchange_new(const struct request_target *target,
                              const struct http_options *options, struct exchange_drops *drops);
void exchange_free(struct exchange *x);

/* Make the handle ready for the record's request, whose payload must live until the end. */
void exchange_prepare(struct exchange *x, struct record *r);

void exchange_forget_drop(struct exchange *x);

/* Durations before sending, from the library's own clock (it starts when the transfer does). */
void exchange_read_setup(struct exchange *x);

/* Write how the transfer ended into the record. The handle keeps nothing of it. */
void exchange_finish(struct exchange *x, CURLcode code);
