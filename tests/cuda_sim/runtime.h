/* A stand-in for the CUDA runtime library: the same functions by the same header, on vgpu.
 *
 * Streams are queues that run as late as the API allows, in seeded random interleaving: work runs
 * only when somebody waits for it, so that a missing event or synchronisation shows as a stale
 * result in some schedule. Copies from pageable memory read it at the call, as on a device; pinned
 * memory is read and written when the queue gets there. Captured graphs keep their order and edges
 * and replay with random interleaving of their branches. Several devices have memory, streams and
 * function attributes of their own; touching another device's memory without peer access is a
 * fault. All calls may come from any thread; the current device belongs to the thread.
 *
 * Implemented: device choice and properties; malloc, free, pinned memory, registration; copies and
 * sets (also 2D and between devices); streams, events, host functions; capture, instantiation and
 * launch of graphs; function attributes, occupancy; errors; the entry points of nvcc's host code.
 * Anything else fails to link: add it here first. */
#pragma once

#include <cuda_runtime_api.h>

#include "tests/cuda_sim/vgpu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Read from the environment at the first call (CUDA_SIM_DEVICES, CUDA_SIM_ARCH,
 * CUDA_SIM_MEMORY_MB, CUDA_SIM_SEED, CUDA_SIM_EAGER; CUDA_SIM_CHECKS sets vgpu_options); tests may
 * change them before any device is used. */
struct runtime_options {
    int n_devices; /* 0: calls fail with no_device */
    cudaError_t no_device;
    int arch;            /* compute capability, 90 for 9.0 */
    size_t memory_bytes; /* per device */
    unsigned seed;       /* of the interleaving */
    bool is_eager;       /* run all work at the call: for finding out what order matters */
};

struct runtime_options *runtime_options(void);

/* Let the next kernel (after skipping some) fail with an error that the next synchronisation
 * returns; a sticky one stays until cudaDeviceReset. */
void runtime_plant_failure(cudaError_t error, int after_kernels, bool is_sticky);

/* Counts since the start of the process. */
struct runtime_counters {
    uint64_t launches, graph_launches, mallocs, host_syncs;
    size_t peak_bytes; /* allocated on any one device, since runtime_reset_peak() */
};

struct runtime_counters runtime_counters(void);
void runtime_reset_peak(void);

/* What streams really did, in the order in which it ran. */
struct runtime_event {
    int stream; /* the same number for the same stream */
    enum { RUNTIME_KERNEL, RUNTIME_COPY, RUNTIME_OTHER } kind;
    bool is_recorded; /* it ran between cudaProfilerStart and cudaProfilerStop */
};

/* Begin to note events; end, and get them: they are valid until the next begin. */
void runtime_log_begin(void);
size_t runtime_log_end(const struct runtime_event **events);

/* --- launching --------------------------------------------------------------------------------*/

struct runtime_launch {
    const char *name;
    const void *function; /* identifies it for attributes */
    struct vgpu_dim grid, block;
    size_t dynamic_bytes;
    vgpu_kernel_fn run;
    const void *arguments; /* copied */
    size_t argument_bytes;
    int max_threads; /* of __launch_bounds__; 0: unknown */
};

/* Queue a kernel; what is wrong with it comes back by cudaGetLastError. */
void runtime_launch(const struct runtime_launch *launch, cudaStream_t stream);

/* --- kernels translated from PTX --------------------------------------------------------------*/

struct runtime_ptx_kernel {
    const char *name; /* mangled */
    vgpu_kernel_fn run;
    int n_parameters;
    const unsigned short *offsets, *sizes; /* of parameters */
    int parameter_bytes, max_threads;
};

/* Called by the constructor of each translated file. */
void runtime_register_ptx(const struct runtime_ptx_kernel *kernels, int n);

/* Launch by name with cudaLaunchKernel's argument array: for PTX without host code. */
cudaError_t runtime_launch_ptx(const char *name, struct vgpu_dim grid, struct vgpu_dim block,
                               void **arguments, size_t dynamic_bytes, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
