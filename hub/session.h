/* What all parts of one download share. */
#pragma once

#include <stdatomic.h>

#include "hub/cache.h"
#include "hub/environment.h"
#include "hub/meter.h"
#include "hub/model_id.h"
#include "hub/transfer.h"

#define SESSION_MAX_PARALLEL 16

/* Owned by the thread that called hub_fetch(); its workers read it, and write only through the
 * meter, stop, and the transfer of their number. */
struct session {
    const struct hub_options *options; /* owned by the caller of hub_fetch() */
    struct environment environment;
    struct model_id id;
    struct cache_repo cache;
    struct meter meter;
    atomic_bool stop; /* somebody failed, or the user gave up */
    size_t n_transfers;
    struct transfer *transfers[SESSION_MAX_PARALLEL]; /* one for each worker */
};
