/* The load engine: decides when each request of a phase starts and when the phase is over. It
 * knows neither HTTP nor the clock: both come through `struct transport`, so tests run it in
 * virtual time.
 *
 * One thread runs a phase from begin to end (load_run); any thread may read the counters and ask
 * it to stop through `struct load_control`. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "client/arrivals.h"
#include "client/record.h"

/* How requests travel, and what time it is. All but wake are called by the load thread only. */
struct transport {
    void *self;
    int64_t (*now_ns)(void *self); /* monotonic */
    /* Send the record's payload; the record comes back through wait, also when this fails. */
    void (*start)(void *self, struct record *r);
    /* The next record that has ended, or NULL at until_ns or after a wake. */
    struct record *(*wait)(void *self, int64_t until_ns);
    /* Give up a record in flight: it comes back through wait as TRANSFER_CANCELED. */
    void (*cancel)(void *self, struct record *r);
    void (*wake)(void *self); /* from any thread: make wait return soon */
};

/* What the engine asks of the rest of the program. */
struct load_hooks {
    void *self;
    /* A record with payload and names for request i of the phase's plan. */
    struct record *(*make)(void *self, int64_t i);
    void (*ended)(void *self, struct record *r); /* takes the record, canceled or not */
    /* False while no more answers can be taken; transport.wake must follow when they can. NULL:
     * always true. Nothing is sent meanwhile, but what is in flight goes on and is stamped. */
    bool (*has_room)(void *self);
};

struct load_phase {
    struct arrivals arrivals;
    /* Request i waits for the end of request i - n_places when follows[i], and keeps its due time;
     * it holds up none but those that follow it. n_requests long, not owned; NULL: none waits. */
    const bool *follows;
    int64_t n_places;
    int64_t n_slots;     /* most requests in flight; 0: no limit (needs a plan) */
    int64_t ramp_ns;     /* slots rise from 1 to n_slots, one by one, for so long; 0: all at once */
    int64_t n_requests;  /* stop after so many; 0: no bound */
    int64_t duration_ns; /* stop sending after so long; 0: no bound */
    int64_t grace_ns;    /* after duration_ns: time for those in flight, then they are canceled */
};

struct load_control {
    atomic_bool stop;            /* end now: cancel what is in flight */
    atomic_llong n_sent;         /* of all phases so far */
    atomic_llong n_ended;        /* likewise, canceled ones included */
    atomic_llong n_done_phase;   /* ended in the current phase */
    atomic_llong phase_start_ns; /* of the current phase; 0 before the first */
};

struct load_result {
    int64_t start_ns, sending_end_ns, end_ns; /* of the phase, on the transport's clock */
    int64_t n_sent, n_ended, n_canceled;      /* sent = ended + canceled */
    int64_t n_unsent;                         /* were due, but the phase ended before a slot came */
    int64_t n_held, held_ns;                  /* pauses of sending for want of room, their sum */
    int64_t n_refused_last;                   /* failed connections after the last answer */
    bool was_stopped;                         /* by load_control */
    bool was_unreachable;                     /* LOAD_MAX_REFUSED connections failed in a row */
};

/* A server that refuses so many connections in a row is gone; going on would only spin. */
#define LOAD_MAX_REFUSED 100
/* So many at the end of a phase, and what comes after it would find no server either. */
#define LOAD_MIN_GONE 3

/* Run one phase. A request that is due while all slots are taken waits and keeps its due time:
 * the plan never moves, so a slow server can't hide its queue (coordinated omission). */
void load_run(const struct load_phase *phase, const struct transport *transport,
              const struct load_hooks *hooks, struct load_control *control,
              struct load_result *result);
