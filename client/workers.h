/* Several event loops behind one transport: each worker is a thread with its own http. The load
 * thread still decides alone when what is sent, from one plan; it hands each request to the worker
 * with the fewest in flight, which stamps and sends it. With one worker there is no such thread:
 * the transport is http's own. */
#pragma once

#include "client/http.h"

#define WORKERS_MAX 64

struct workers;

/* target as for http_open. n is 1 to WORKERS_MAX. */
bool workers_open(struct workers **out, size_t n, const struct request_target *target,
                  const struct http_options *options, struct error *err);
/* Nothing may be in flight; NULL is fine. */
void workers_close(struct workers *w);

struct transport workers_transport(struct workers *w);
