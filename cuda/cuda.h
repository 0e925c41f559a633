/* The CUDA back end. Without CUDA in the build, cuda_none.c answers with a clear error. */
#pragma once

#include "tensor/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

struct cuda_options {
    int device_id;
    enum dtype compute;
};

/* Fails with ERR_DEVICE and says what is missing: the build, the driver, a device, or a recent
 * enough one. */
bool cuda_open(struct backend **out, const struct cuda_options *options, struct error *err);

/* After a fault of a CUDA back end: is its device unusable until the process starts anew? (An
 * illegal access, for example, takes the whole context with it.) */
bool cuda_is_lost(struct backend *b);

/* Number of devices that answer; 0 when none, with the reason in err (may be NULL). */
int cuda_device_count(struct error *err);

#ifdef __cplusplus
}
#endif
