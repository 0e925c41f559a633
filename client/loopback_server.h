/* A server for measuring the client itself: it listens on the loopback interface, answers every
 * complete HTTP/1.1 request with a picture after a known delay, and tells in the answer's
 * Server-Timing header ("total;dur=" milliseconds) how long the request was really with it. One
 * thread, no model, tens of thousands of answers a second. Not for the network: it neither limits
 * nor checks what it is sent beyond finding the end of a request. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define LOOPBACK_MAX_ANSWER ((size_t)64 << 20)

struct loopback_options {
    int64_t delay_ns; /* between the request and its answer */
    /* Requests in service at once, each for delay_ns; others wait in the order of their arrival,
     * so that the capacity is n_slots / delay. 0: no limit. */
    int n_slots;
    size_t answer_bytes; /* least size of the JSON; it is reached but for a few per cent */
    size_t n_pictures;   /* different answers, given in turn; 0 is 1 */
    int port;            /* 0: chosen by the system */
};

struct loopback;

/* Listen and start the thread. Fails with ERR_IO when the port is taken, with ERR_INVALID when
 * answer_bytes is beyond LOOPBACK_MAX_ANSWER. */
bool loopback_open(struct loopback **out, const struct loopback_options *options,
                   struct error *err);
int loopback_port(const struct loopback *s);
/* Stop the thread and close all connections; NULL is fine. */
void loopback_close(struct loopback *s);
