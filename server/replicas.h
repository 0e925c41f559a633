/* Several workers behind one queue, each with a device and a copy of the model of its own. They are
 * ready together: the server serves when all have made their warm-up image. */
#pragma once

#include "base/buf.h"
#include "server/worker.h"

struct replicas;

/* Start n workers; config.replica is set for each. */
struct replicas *replicas_start(const struct worker_config *config, int n);
int replicas_n(const struct replicas *r);
struct worker_facts replicas_facts(const struct replicas *r, int replica);
const char *replicas_state_name(enum worker_state state); /* "starting", "ready", ... */

/* FAILED or LOST when one of them is, else STARTING when one is, else READY when one is. */
enum worker_state replicas_state(const struct replicas *r);
/* None starts or serves any more. */
bool replicas_are_done(const struct replicas *r);
/* Any one's model, for flux_info() and flux_check() until replicas_join(); NULL while one is
 * STARTING, or when one is FAILED. */
const struct flux *replicas_model(const struct replicas *r);

/* Give up the warm-ups at their next stage. */
void replicas_interrupt(struct replicas *r);
/* Wait for all threads and free; false with the first failure to start up. Shut the queue first. */
bool replicas_join(struct replicas *r, struct error *err);

/* Append the metrics of each replica, Prometheus text format. */
void replicas_print(const struct replicas *r, struct buf *out);
