/* Waiting for the server before a run (--wait-for-model-*). */
#pragma once

#include <stdatomic.h>

#include "client/options.h"

/* Return true when the checks of --wait-for-model-mode pass: `models` wants the model's name in
 * data[].id of GET /v1/models (where there is no such list, the base address must answer);
 * `inference` wants one image for a short prompt. Tried every interval until the time is over
 * (ERR_BUSY, with what the last try said) or stop turns true (ERR_CANCELED). */
bool wait_for_model(const struct options *o, const atomic_bool *stop, struct error *err);
