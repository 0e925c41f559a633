/* The configs of models that are known by name, so that nothing need be fetched to plan with them
 * or to make a dummy of them. */
#pragma once

#include "flux/config.h"

#define FLUX_KNOWN_DEV "black-forest-labs/FLUX.1-dev"
#define FLUX_KNOWN_SCHNELL "black-forest-labs/FLUX.1-schnell"

/* False when name is none of the known ones above. *t5_length is the T5 tokenizer's
 * model_max_length. c and t5_length may be NULL. */
bool flux_known_config(struct flux_config *c, int64_t *t5_length, const char *name);
