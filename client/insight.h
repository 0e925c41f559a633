/* What a run shows beside latencies: the client's own cost, the physics of its numbers, energy. One
 * place puts it together and prints it for the summary and the console. */
#pragma once

#include "base/json.h"
#include "client/physics.h"
#include "client/self_load.h"

struct insight {
    struct self_load self;
    struct physics physics;
    bool has_energy;
    struct gpu_energy energy;
    double n_images; /* decoded in the measurement; energy is divided by it */
};

/* telemetry_stop must have been called; r's phases are filled. May ask a server for its model. */
void insight_fill(struct insight *out, const struct report *r);

/* The members "client_load", "physics" and "energy" as "key": value pairs of the summary, each
 * through put; the value is freed by the caller of this. */
void insight_json(const struct insight *in, void *self,
                  void (*put)(void *self, const char *key, const struct json *value));
/* A line each, after the tables. */
void insight_console(struct buf *out, const struct insight *in);
/* What deserves stderr: a bottleneck, an impossible result; "" else. Lines end in newlines. */
void insight_warnings(struct buf *out, const struct insight *in);
