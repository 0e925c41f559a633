/* Answers of HTTP/1.1 (RFC 9112) as they lie on the wire, to one request at a time: where the lines
 * of the head, the body and the end are. No socket, no libcurl. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define WIRE_MAX_HEAD ((size_t)300 << 10) /* bytes of all lines; more is no answer */

enum wire_state {
    WIRE_STATUS, /* the status line is next */
    WIRE_FIELD,  /* a header field or the empty line */
    WIRE_BODY,   /* n_left bytes of it, or what comes until the connection closes */
    WIRE_CHUNK,  /* the line with the size of the next chunk */
    WIRE_DATA,   /* n_left bytes of that chunk */
    WIRE_GAP,    /* the line end behind it */
    WIRE_TRAILER,
    WIRE_DONE,
    WIRE_BAD, /* `why` tells what is wrong with it */
};

/* Zero-initialise for each answer; wire_free at the end. */
struct wire {
    enum wire_state state;
    const char *why;   /* a static string, in WIRE_BAD */
    int status;        /* of the last head; 0 before */
    int64_t n_left;    /* of the body or chunk; -1: the body ends with the connection */
    size_t head_bytes; /* lines so far */
    struct buf line;   /* owned: the beginning of a line whose end has not come */
    char *location;    /* owned: the field of that name, or NULL */
    bool is_chunked, has_length;
    bool has_closed; /* no other request may follow on this connection */
};

/* What is found is handed out at once: each line of a head with its end (also of interim answers
 * such as "100 Continue"), and the body piece by piece. body returns false to end the answer: it is
 * WIRE_BAD then. */
struct wire_hooks {
    void *self;
    void (*line)(void *self, const char *line, size_t size);
    bool (*body)(void *self, const char *data, size_t size);
};

/* Read on with the next bytes; returns how many belong to this answer: fewer than size only at its
 * end. */
size_t wire_read(struct wire *w, const char *data, size_t size, const struct wire_hooks *hooks);
/* The connection has ended. True: that was the end of the answer. */
bool wire_end(struct wire *w);
void wire_free(struct wire *w);
