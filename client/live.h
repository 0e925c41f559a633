/* The newest answers, for a display: written by the records thread, read by the one that draws. */
#pragma once

#include <pthread.h>

#include "client/record.h"

#define LIVE_LATENCIES 256
#define LIVE_ERRORS 4
#define LIVE_TEXT 200

struct live_error {
    char text[LIVE_TEXT]; /* "503 Service Unavailable: message", as it came: not fit for a terminal
                           */
    size_t n;
};

struct live {
    pthread_mutex_t lock; /* guards the rest */
    int phase;            /* of the newest record: latencies of others are forgotten */
    double ms[LIVE_LATENCIES];
    size_t
        n; /* successes of the phase; the newest LIVE_LATENCIES are in ms, number i at i % that */
    struct live_error errors[LIVE_ERRORS]; /* the kinds that came first, of all phases */
    size_t n_errors;
};

void live_open(struct live *l);
void live_add(struct live *l, const struct record *r); /* judged; canceled ones are passed over */
/* A copy; its lock is not to be used. */
void live_read(struct live *l, struct live *out);
void live_close(struct live *l);
