/* All facts of one request, from its plan to the verdict on its answer.
 *
 * A record is made by `load` when the request is sent, filled by the transport while it is in
 * flight, handed to `records` when it has ended, and judged there. The reports see a copy of its
 * numbers (kept.h). One thread owns it at any time; the hand-over is a queue with a lock.
 *
 * Times are monotonic nanoseconds (base/clock.h); 0 means that the moment never came. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "client/sha256.h"
#include "client/stages.h"

#define UUID_SIZE 37 /* 36 characters and the NUL */

/* How the transfer ended, before anybody looks at the body. */
enum transfer {
    TRANSFER_DONE,         /* a complete HTTP answer, whatever its status */
    TRANSFER_NO_HOST,      /* the name does not resolve */
    TRANSFER_NO_CONNECT,   /* refused, unreachable */
    TRANSFER_DISCONNECTED, /* the connection broke before the answer was complete */
    TRANSFER_TIMEOUT,      /* longer than --request-timeout-seconds */
    TRANSFER_OVERSIZED,    /* the answer is larger than HTTP_MAX_BODY */
    TRANSFER_CANCELED,     /* given up by us: end of the grace period, or Ctrl-C */
    TRANSFER_DROPPED,      /* hung up by us because --request-cancellation-rate said so */
    TRANSFER_FAILED,       /* anything else (TLS, protocol) */
};

/* One picture of an answer. */
struct record_image {
    const char *format; /* "png", ...: a static string; NULL when it could not be decoded */
    int width_px, height_px;
    size_t bytes; /* of the image file */
};

/* Why a request counts as failed. */
struct record_error {
    int code;         /* the HTTP status; 0 when there is none */
    const char *type; /* static or owned by the record (reason): "Service Unavailable" */
    char *message;    /* owned; NULL: the request succeeded */
};

struct record {
    /* the plan */
    int64_t session;     /* 0, 1, 2, ... in the order of sending, restarts in each phase */
    size_t entry;        /* index into the data set */
    size_t url;          /* index into the list of URLs */
    const char *payload; /* the request body as sent; lies in row */
    size_t payload_bytes;
    int phase; /* index into the phases of the run */
    bool is_warmup;

    bool is_reused; /* sent over a kept-alive connection */
    bool is_good;   /* meets every --goodput objective */
    enum transfer transfer;
    int status; /* 0: none came */

    /* moments */
    int64_t due_ns;             /* when it should have been sent: the clock of the user */
    int64_t start_ns;           /* sent: handed to the transport */
    int64_t send_start_ns;      /* connected, the first byte is about to be written */
    int64_t send_end_ns;        /* the last byte of the request was written */
    int64_t ack_ns;             /* all response headers are there */
    int64_t first_ns;           /* first byte of the body */
    int64_t end_ns;             /* last byte of the body, or the failure */
    int64_t dns_ns, connect_ns; /* durations of new connections: name, then TCP and TLS */
    int64_t blocked_ns;         /* duration: waiting inside the transport before that */
    int64_t n_chunks_sent, n_chunks_received;
    int64_t bytes_received;
    int64_t bytes_unsent; /* of the body: the answer came before */

    /* the verdict, by records */
    struct record_error error;
    int64_t isl; /* tokens of the prompt; -1 without a tokenizer */
    int64_t usage_prompt_tokens, usage_completion_tokens; /* as the server counts; -1: not told */
    size_t n_returned;                                    /* entries of data[] */
    size_t n_decoded;                                     /* pictures that decode */
    int64_t image_bytes, image_pixels;                    /* of all pictures, files and areas */
    struct stages *stages;                                /* owned; NULL: the server tells none */

    /* From here on only until the lines are written: see RECORD_KEPT_BYTES. */
    char request_id[UUID_SIZE];
    char correlation_id[UUID_SIZE];
    const char *correlation_name; /* instead of it, owned by the data set; or NULL */
    const char *payload_type;     /* Content-Type of the request, owned likewise; NULL: JSON */
    const char *row;   /* the entry of the data set (prompts_view): all these lie in it */
    char *owned_row;   /* owned: it, when it was read from a file; or NULL */
    int64_t planned;   /* index in the phase's plan: not session when a request waits for another */
    int64_t user;      /* who sends it, from 1; 0: there are no users */
    bool is_last_turn; /* of that user */
    int64_t drop_after_ns;           /* hang up so long after the last byte was sent; 0: never */
    char *transfer_text;             /* owned: what the transport says about a failure, or NULL */
    char *reason;                    /* owned: reason phrase, or NULL */
    char *content_type;              /* owned, or NULL */
    char *server_timing;             /* owned: the header, or NULL */
    char *server_build;              /* owned: the Server header, or NULL */
    char *served_model;              /* owned: as the answer names it, or NULL */
    size_t expected_bytes;           /* Content-Length of the answer; 0: not told */
    struct answer_memory *memory;    /* known answers (answer_memory.h), or NULL; not owned */
    struct answer_known *known;      /* held: the answer is, or begins, like this one; or NULL */
    size_t n_same;                   /* so many bytes of it, while it arrives */
    bool is_recalled;                /* images and digests are those of known */
    struct buf body;                 /* the answer, when it is not known */
    struct record_image *images;     /* n_returned of them; owned unless is_recalled */
    uint8_t (*digests)[SHA256_SIZE]; /* of their files; owned likewise */
    void *transport;                 /* the transport's own state while in flight */
    size_t slot;                     /* where load keeps it while in flight */
    int worker;                      /* whose it is (workers.h) or RECORD_NO_WORKER */
    struct record *next;             /* in a queue */
};

#define RECORD_NO_WORKER (-1)

/* What is left of a record for the reports (kept.h): its first bytes. */
#define RECORD_KEPT_BYTES offsetof(struct record, request_id)

static inline const char *record_correlation(const struct record *r)
{
    return r->correlation_name ? r->correlation_name : r->correlation_id;
}

static inline bool record_succeeded(const struct record *r) { return r->error.message == NULL; }

/* In flight when the run gave it up: in the record lines, but in no statistics of answers. */
static inline bool record_was_canceled(const struct record *r)
{
    return r->transfer == TRANSFER_CANCELED;
}

/* Hung up on purpose: an error in the statistics, as in AIPerf, but no failure of the server. */
static inline bool record_was_dropped(const struct record *r)
{
    return r->transfer == TRANSFER_DROPPED;
}

/* The bytes of the answer. */
const struct buf *record_body(const struct record *r);

/* Free what judging added. */
void record_free_verdict(struct record *r);
/* Free the rest too and begin anew, as a record of zeros; memory for a small answer stays. */
void record_reset(struct record *r);
/* Free a record and all it owns; NULL is fine. */
void record_free(struct record *r);
