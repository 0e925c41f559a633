/* The configs of models that are known by name, so that nothing need be fetched to plan with them
 * or to make a dummy of them. */
#pragma once

#include "flux/config.h"

/* False when name is none of the known ones ("black-forest-labs/FLUX.1-dev", "FLUX.1-schnell"
 * behind the same owner). *t5_length is the T5 tokenizer's model_max_length. c and t5_length may
 * be NULL. */
bool flux_known_config(struct flux_config *c, int64_t *t5_length, const char *name);
