/* The CUDA back end: every operation of tensor/ops.h for compute capability 8.0 and later, f32 or
 * bf16. Without CUDA in the build, cuda_none.c answers with a clear error.
 *
 * bf16 products, convolutions and attention run on tensor cores; products are also tried with
 * cuBLASLt and attention with cuDNN where they are installed. Operations are noted and queued when
 * the host takes part; lists of them that repeat become CUDA graphs. Everything is checked on a
 * simulated device (tests/cuda_sim) and on none other so far; selftest.h is what a user's device
 * runs first.
 *
 * For finding faults: FLUXBENCH_CUDA_GRAPHS=0 queues each operation at once, FLUXBENCH_CUBLASLT=0
 * leaves the library alone, FLUXBENCH_CUDNN=0 that one. */
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

/* n devices from options->device_id on as a team (tensor/team.h) that exchanges through NCCL; *out
 * is rank 0. Fails as cuda_open() does, and says what is missing of NCCL. n 1 is cuda_open(). */
bool cuda_open_team(struct backend **out, const struct cuda_options *options, int n,
                    struct error *err);

/* After a fault of a CUDA back end: is its device, or another one of its team, unusable until the
 * process starts anew? (An illegal access, for example, takes the whole context with it.) */
bool cuda_is_lost(struct backend *b);

/* Bytes of the device's memory that are free now; 0 when it does not answer. */
size_t cuda_memory_available(struct backend *b);

/* Number of devices that answer; 0 when none, with the reason in err (may be NULL). */
int cuda_device_count(struct error *err);

#ifdef __cplusplus
}
#endif
