/* Whether a model fits into the memory of the back end that is to run it, said before it is loaded.
 */
#pragma once

#include "flux/flux.h"

/* Bytes of memory and swap that can be had now, within the container's limit; 0 when that can't be
 * told. */
size_t memory_check_host(void);

/* Where a model is to go. */
struct memory_room {
    size_t bytes;         /* that can be had now; 0: can't be told, nothing is refused */
    size_t host_bytes;    /* for offloaded weights, likewise; not used unless is_device */
    bool is_device;       /* bytes are a device's, apart from the host's */
    bool takes_quantised; /* as struct backend has it */
    enum dtype compute;
};

/* False with ERR_MEMORY when a model's weights and the scratch of a small image are more than there
 * is, naming the options with which they are not. model and load as flux_open_as() takes them. */
bool memory_check(const char *model, const struct flux_load *load, const struct memory_room *room,
                  struct error *err);
