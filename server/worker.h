/* The one thread that touches the model: it opens back end and checkpoint, makes a warm-up image,
 * then serves the queue until that is shut and empty, and closes what it opened when joined. */
#pragma once

#include "flux/flux.h"
#include "server/queue.h"
#include "server/telemetry.h"

enum worker_state {
    WORKER_STARTING,
    WORKER_READY,   /* the warm-up image was made */
    WORKER_FAILED,  /* see worker_join() */
    WORKER_STOPPED, /* the queue was shut and is empty */
};

struct worker_config {
    const char *model_dir;        /* or a known name, for a dummy */
    const struct flux_load *load; /* NULL: as it is */
    bool (*open_backend)(void *ctx, struct backend **out, struct error *err);
    void *ctx;
    struct queue *queue;
    struct telemetry *telemetry;
};

struct worker;

/* Start the thread; *config's members must outlive it. */
struct worker *worker_start(const struct worker_config *config);
enum worker_state worker_state(const struct worker *w);
/* The model, for flux_info() and flux_check() until worker_join(); NULL unless READY or STOPPED. */
const struct flux *worker_model(const struct worker *w);
/* Give up the warm-up at its next stage. */
void worker_interrupt(struct worker *w);
/* Wait for the thread's end and free; false when it failed to start up. Shut the queue first. */
bool worker_join(struct worker *w, struct error *err);
