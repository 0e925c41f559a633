/* One HTTP request at a time, on a connection that is kept: the only place that knows libcurl.
 *
 * Redirects are followed by hand, because each hop needs a decision: the token goes to the origin
 * (scheme, host and port) of the endpoint and nowhere else, a redirect may not lead from https to
 * http, and a HEAD request ends where the hub hands over to the storage host. Certificates are
 * verified; SSL_CERT_FILE and SSL_CERT_DIR name others than the system's. Proxies are libcurl's
 * business: https_proxy, http_proxy, all_proxy, no_proxy.
 *
 * A struct transfer belongs to one thread at a time. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct transfer;

struct transfer_options {
    const char *endpoint;    /* outlives the transfer */
    const char *token;       /* NULL: none */
    int64_t stall_s;         /* give up after so long without a byte */
    const atomic_bool *stop; /* give up soon after it becomes true */
};

enum transfer_end {
    TRANSFER_ANSWERED, /* see status; the body, if any, is complete */
    TRANSFER_CUT,      /* the connection failed, broke or stood still: worth another try */
    TRANSFER_FAILED,   /* won't get better: certificate, redirect to nowhere, ... */
    TRANSFER_REFUSED,  /* the sink said no */
    TRANSFER_STOPPED,
};

struct transfer_answer {
    enum transfer_end end;
    char detail[256]; /* for CUT and FAILED: what happened */
    char host[256];   /* of the last hop */
    bool is_foreign;  /* that is not the endpoint's origin */
    int status;       /* of the last hop; 0: none came */
    /* headers of the last hop; "" and -1 where absent */
    char commit[64];         /* X-Repo-Commit */
    char etag[136];          /* X-Linked-Etag, else ETag, without W/ and quotes */
    char error_code[40];     /* X-Error-Code: GatedRepo, RepoNotFound, ... */
    char error_message[200]; /* X-Error-Message */
    int64_t size;            /* X-Linked-Size, else Content-Length (not of a redirect) */
    int64_t retry_after_s;
    int64_t range_from; /* first byte of a 206 */
};

/* Take bytes of a successful answer (200 or 206) that belong at offset of the file. */
typedef bool (*transfer_sink_fn)(void *self, int64_t offset, const void *bytes, size_t size);

struct transfer_request {
    const char *url;
    bool is_head;
    int64_t from; /* > 0 asks for the rest of the file from this byte on */
    transfer_sink_fn sink;
    void *self; /* of the sink */
};

bool transfer_open(struct transfer **out, const struct transfer_options *options,
                   struct error *err);
void transfer_close(struct transfer *t); /* NULL is fine */

/* Carry out the request; how it went stands in the answer. */
void transfer_run(struct transfer *t, const struct transfer_request *request,
                  struct transfer_answer *answer);
