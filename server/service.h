/* What the handlers of all routes share: made by the serve command, read by every connection
 * thread. Members are constant or guard themselves. */
#pragma once

#include <stdatomic.h>

#include "server/cost.h"
#include "server/http.h"
#include "server/images_api.h"
#include "server/queue.h"
#include "server/replicas.h"
#include "server/store.h"
#include "server/telemetry.h"

struct service {
    struct queue *queue;
    struct replicas *replicas;
    struct store *store;
    struct telemetry *telemetry;
    struct cost *cost;
    struct images_limits limits;
    const char *const *names; /* of the model; the first one is told in answers */
    size_t n_names;
    bool is_strict; /* a request's model must be one of names */
    int port;
    int64_t started_s; /* Unix time */
    atomic_bool is_draining;
};

/* The model when work can be taken. Otherwise NULL, and response says 503 and why. */
const struct flux *service_model(struct service *s, struct http_response *response);
bool service_has_name(const struct service *s, const char *name);
