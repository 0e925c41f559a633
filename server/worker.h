/* The one thread that touches a model and its device: it opens back end and checkpoint, makes a
 * warm-up image, then serves the queue until that is shut and empty, and closes what it opened when
 * joined. Several workers may serve one queue (replicas.h).
 *
 * When a request fails because the device is lost, the worker leaves the queue for good: the
 * request ends with the device's error, and so does what waits if no other worker is left. */
#pragma once

#include "flux/flux.h"
#include "server/queue.h"
#include "server/telemetry.h"

enum worker_state {
    WORKER_STARTING,
    WORKER_READY,   /* the warm-up image was made */
    WORKER_FAILED,  /* see worker_join() */
    WORKER_LOST,    /* its device is unusable until the process starts anew */
    WORKER_STOPPED, /* the queue was shut and is empty */
};

struct worker_config {
    const char *model_dir;        /* or a known name, for a dummy */
    const struct flux_load *load; /* NULL: as it is */
    bool (*open_backend)(void *ctx, int replica, struct backend **out, struct error *err);
    bool (*is_lost)(struct backend *b); /* after a failed request; NULL: never */
    void *ctx;
    int replica; /* which of several workers this is, from 0 */
    struct queue *queue;
    struct telemetry *telemetry;
    /* Steps to look at in the first request that has them, in place of NULL: the table goes to
     * stderr. */
    const struct step_profile *profile;
};

struct worker;

/* Start the thread; *config's members must outlive it. */
struct worker *worker_start(const struct worker_config *config);
enum worker_state worker_state(const struct worker *w);
/* The model, for flux_info() and flux_check() until worker_join(); NULL while STARTING and when
 * FAILED. */
const struct flux *worker_model(const struct worker *w);
/* What it has done so far; device is "" before READY. */
struct worker_facts {
    enum worker_state state;
    const char *device; /* name and figures, the worker's */
    int64_t n_requests; /* that it ended, in whatever way */
    double busy_s;      /* spent on them */
};
struct worker_facts worker_facts(const struct worker *w);
/* Give up the warm-up at its next stage. */
void worker_interrupt(struct worker *w);
/* Wait for the thread's end and free; false when it failed to start up. Shut the queue first. */
bool worker_join(struct worker *w, struct error *err);
