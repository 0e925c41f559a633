/* How much memory the CPU back end can have, and whether a model fits into it. */
#pragma once

#include "flux/flux.h"

/* Bytes of memory and swap that can be had now, within the container's limit; 0 when that can't be
 * told. */
size_t host_memory_available(void);

/* False with ERR_MEMORY when a model's weights and the scratch of a small image are more than
 * that, naming the options with which they are not. model and load as flux_open_as() takes them. */
bool host_memory_check(const char *model, const struct flux_load *load, enum dtype compute,
                       struct error *err);
