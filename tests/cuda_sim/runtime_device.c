/* Devices, errors and the lock. */
#include "tests/cuda_sim/runtime_internal.h"

#include <cuda_profiler_api.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 13000, SHARED_PER_BLOCK = 48 << 10 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct device devices[VGPU_MAX_DEVICES];
static struct runtime_counters counters;
static _Thread_local int current;
static _Thread_local cudaError_t last_error;

/* --- options ----------------------------------------------------------------------------------*/

static long from_environment(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text && text[0] ? strtol(text, NULL, 10) : fallback;
}

struct runtime_options *runtime_options(void)
{
    static struct runtime_options options;
    static bool is_set;
    if (!is_set) {
        is_set = true;
        options.n_devices = (int)from_environment("CUDA_SIM_DEVICES", 1);
        options.no_device = cudaErrorNoDevice;
        options.arch = (int)from_environment("CUDA_SIM_ARCH", 90);
        options.memory_bytes = (size_t)from_environment("CUDA_SIM_MEMORY_MB", 16384) << 20;
        options.seed = (unsigned)from_environment("CUDA_SIM_SEED", 1);
        vgpu_options.checks =
            (enum vgpu_checks)from_environment("CUDA_SIM_CHECKS", vgpu_options.checks);
        options.is_eager = from_environment("CUDA_SIM_EAGER", 0) != 0;
        if (options.n_devices > VGPU_MAX_DEVICES)
            options.n_devices = VGPU_MAX_DEVICES;
    }
    return &options;
}

/* --- errors -----------------------------------------------------------------------------------*/

void runtime_lock(void) { pthread_mutex_lock(&lock); }

void runtime_unlock(void) { pthread_mutex_unlock(&lock); }

pthread_mutex_t *runtime_mutex(void) { return &lock; }

cudaError_t runtime_enter(void)
{
    struct runtime_options *options = runtime_options();
    runtime_lock();
    cudaError_t error = options->n_devices <= 0         ? options->no_device
                        : current >= options->n_devices ? cudaErrorInvalidDevice
                        : devices[current].is_sticky    ? devices[current].error
                                                        : cudaSuccess;
    return error ? runtime_leave(error) : cudaSuccess;
}

cudaError_t runtime_leave(cudaError_t error)
{
    runtime_unlock();
    if (error)
        last_error = error;
    return error;
}

int runtime_device(void) { return current; }

struct device *runtime_device_at(int device) { return &devices[device]; }

void runtime_note_error(int device, cudaError_t error)
{
    if (!devices[device].error)
        devices[device].error = error;
}

cudaError_t runtime_take_error(int device)
{
    cudaError_t error = devices[device].error;
    if (!devices[device].is_sticky)
        devices[device].error = cudaSuccess;
    return error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void) { return last_error; }

static const struct {
    cudaError_t error;
    const char *name, *text;
} ERRORS[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorPeerAccessAlreadyEnabled, "cudaErrorPeerAccessAlreadyEnabled",
     "peer access is already enabled"},
};

enum { N_ERRORS = sizeof ERRORS / sizeof ERRORS[0] };

const char *cudaGetErrorName(cudaError_t error)
{
    for (int i = 0; i < N_ERRORS; i++)
        if (ERRORS[i].error == error)
            return ERRORS[i].name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (int i = 0; i < N_ERRORS; i++)
        if (ERRORS[i].error == error)
            return ERRORS[i].text;
    return "unrecognized error code";
}

/* --- choice and properties --------------------------------------------------------------------*/

cudaError_t cudaGetDeviceCount(int *n)
{
    struct runtime_options *options = runtime_options();
    runtime_lock();
    *n = options->n_devices > 0 ? options->n_devices : 0;
    return runtime_leave(*n > 0 ? cudaSuccess : options->no_device);
}

cudaError_t cudaSetDevice(int device)
{
    struct runtime_options *options = runtime_options();
    runtime_lock();
    if (options->n_devices <= 0)
        return runtime_leave(options->no_device);
    if (device < 0 || device >= options->n_devices)
        return runtime_leave(cudaErrorInvalidDevice);
    current = device;
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current;
    return cudaSuccess;
}

static int attribute(enum cudaDeviceAttr which, bool *is_known)
{
    int arch = runtime_options()->arch;
    *is_known = true;
    switch ((int)which) {
    case cudaDevAttrComputeCapabilityMajor:
        return arch / 10;
    case cudaDevAttrComputeCapabilityMinor:
        return arch % 10;
    case cudaDevAttrMultiProcessorCount:
        return 4;
    case cudaDevAttrMaxThreadsPerBlock:
        return 1024;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        return arch == 86 || arch == 89 || arch == 120 ? 1536 : 2048;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        return SHARED_PER_BLOCK;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        return (arch == 80 ? 163 : arch == 86 || arch == 89 || arch == 120 ? 99 : 227) << 10;
    case cudaDevAttrWarpSize:
        return 32;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
        return 1000000; /* kHz */
    case cudaDevAttrGlobalMemoryBusWidth:
        return 1024;
    case cudaDevAttrL2CacheSize:
        return 32 << 20;
    case cudaDevAttrMemoryPoolsSupported:
        return 1;
    default:
        *is_known = false;
        return 0;
    }
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int device)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    bool is_known;
    *value = attribute(which, &is_known);
    bool is_valid = device >= 0 && device < runtime_options()->n_devices;
    return runtime_leave(!is_valid   ? cudaErrorInvalidDevice
                         : !is_known ? cudaErrorInvalidValue
                                     : cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (device < 0 || device >= runtime_options()->n_devices)
        return runtime_leave(cudaErrorInvalidDevice);
    bool is_known;
    *properties = (struct cudaDeviceProp){
        .totalGlobalMem = runtime_options()->memory_bytes,
        .sharedMemPerBlock = SHARED_PER_BLOCK,
        .sharedMemPerBlockOptin =
            (size_t)attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, &is_known),
        .warpSize = 32,
        .maxThreadsPerBlock = 1024,
        .maxThreadsPerMultiProcessor = attribute(cudaDevAttrMaxThreadsPerMultiProcessor, &is_known),
        .major = runtime_options()->arch / 10,
        .minor = runtime_options()->arch % 10,
        .multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount, &is_known),
        .l2CacheSize = attribute(cudaDevAttrL2CacheSize, &is_known),
        .memoryBusWidth = attribute(cudaDevAttrGlobalMemoryBusWidth, &is_known),
        .asyncEngineCount = 2,
        .concurrentKernels = 1,
        .pciBusID = device + 1,
    };
    snprintf(properties->name, sizeof properties->name, "simulated sm_%d", runtime_options()->arch);
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = runtime_options()->n_devices > 0 ? VERSION : 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = VERSION;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (stream_capture_forbids())
        return runtime_leave(cudaErrorStreamCaptureUnsupported);
    counters.host_syncs++;
    stream_drain(NULL, NULL, current);
    return runtime_leave(runtime_take_error(current));
}

cudaError_t cudaDeviceReset(void)
{
    runtime_lock();
    devices[current] = (struct device){0};
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    *can = device != peer;
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (flags || peer < 0 || peer >= runtime_options()->n_devices || peer == current)
        return runtime_leave(cudaErrorInvalidDevice);
    vgpu_allow_peer(current, peer);
    return runtime_leave(cudaSuccess);
}

static atomic_bool is_recording;

bool runtime_is_recording(void) { return atomic_load(&is_recording); }

cudaError_t cudaProfilerStart(void)
{
    atomic_store(&is_recording, true);
    return cudaSuccess;
}

cudaError_t cudaProfilerStop(void)
{
    atomic_store(&is_recording, false);
    return cudaSuccess;
}

/* --- counters ---------------------------------------------------------------------------------*/

void runtime_count_sync(void) { counters.host_syncs++; }
void runtime_count_malloc(void) { counters.mallocs++; }
void runtime_count_graph(void) { counters.graph_launches++; }
void runtime_reset_peak(void) { counters.peak_bytes = 0; }

void runtime_note_peak(size_t bytes)
{
    if (bytes > counters.peak_bytes)
        counters.peak_bytes = bytes;
}

struct runtime_counters runtime_counters(void)
{
    counters.launches = runtime_launches();
    return counters;
}
