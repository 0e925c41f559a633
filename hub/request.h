/* One request to the hub, tried again when that can help. */
#pragma once

#include "hub/session.h"

struct request {
    const char *file; /* inside the model, for messages; NULL: the list of files */
    const char *url;
    bool is_head;
    /* For a GET: take the bytes. Bytes at offset 0 begin anew, whatever came before. */
    transfer_sink_fn sink;
    void *self; /* of the sink */
    /* How many bytes of the file the sink has: each try asks for the rest. Set to 0 when the hub
     * won't continue there. NULL: each try begins at 0. */
    int64_t *position;
    int64_t size; /* of the whole file; < 0: not known */
};

/* true: status 200 or 206 and all of the body (or, for HEAD, a redirect to the storage host).
 * Connections that break, 408, 429 and 5xx are tried again after growing pauses, or when the answer
 * says (Retry-After); after a few without a byte of progress the last reason is the error, unless
 * the sink has put one of its own into err (which is not NULL here). */
bool request_run(struct session *s, struct transfer *t, const struct request *r,
                 struct transfer_answer *answer, struct error *err);

/* Append text to an address, with everything escaped that isn't plain; slashes too, if told to. */
void request_escape(struct buf *out, const char *text, bool escapes_slash);
