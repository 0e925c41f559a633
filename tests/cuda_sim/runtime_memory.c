/* Memory calls: device and pinned memory, copies, sets. */
#include "tests/cuda_sim/runtime_internal.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PINNED = 4096 };

static struct {
    const char *base;
    size_t bytes;
} pinned[MAX_PINNED];
static int n_pinned;

/* --- device memory ----------------------------------------------------------------------------*/

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    *memory = NULL;
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (stream_capture_forbids())
        return runtime_leave(cudaErrorStreamCaptureUnsupported);
    runtime_count_malloc();
    int device = runtime_device();
    if (bytes == 0)
        return runtime_leave(cudaSuccess);
    if (bytes > runtime_options()->memory_bytes - vgpu_allocated(device))
        return runtime_leave(cudaErrorMemoryAllocation);
    *memory = vgpu_malloc(device, bytes);
    runtime_note_peak(vgpu_allocated(device));
    return runtime_leave(*memory ? cudaSuccess : cudaErrorMemoryAllocation);
}

/* Waits for all work of the device, as the real one does. */
cudaError_t cudaFree(void *memory)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (stream_capture_forbids())
        return runtime_leave(cudaErrorStreamCaptureUnsupported);
    stream_drain(NULL, NULL, runtime_device());
    return runtime_leave(vgpu_free(memory) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMallocAsync(void **memory, size_t bytes, cudaStream_t stream)
{
    (void)stream;
    return cudaMalloc(memory, bytes);
}

cudaError_t cudaFreeAsync(void *memory, cudaStream_t stream)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    struct work *work = work_new(WORK_FREE);
    work->memory = memory;
    return runtime_leave(stream_enqueue(stream, work));
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    *total = runtime_options()->memory_bytes;
    *available = *total - vgpu_allocated(runtime_device());
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *p)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    int device = vgpu_device_of(p, 1);
    *attributes =
        (struct cudaPointerAttributes){.type = device >= 0           ? cudaMemoryTypeDevice
                                               : memory_is_pinned(p) ? cudaMemoryTypeHost
                                                                     : cudaMemoryTypeUnregistered,
                                       .device = device,
                                       .devicePointer = device >= 0 ? (void *)(uintptr_t)p : NULL,
                                       .hostPointer = device >= 0 ? NULL : (void *)(uintptr_t)p};
    return runtime_leave(cudaSuccess);
}

/* --- pinned memory ----------------------------------------------------------------------------*/

bool memory_is_pinned(const void *p)
{
    for (int i = 0; i < n_pinned; i++)
        if ((const char *)p >= pinned[i].base && (const char *)p < pinned[i].base + pinned[i].bytes)
            return true;
    return false;
}

static cudaError_t pin(const void *memory, size_t bytes)
{
    if (n_pinned == MAX_PINNED)
        return cudaErrorMemoryAllocation;
    pinned[n_pinned].base = memory;
    pinned[n_pinned++].bytes = bytes;
    return cudaSuccess;
}

static cudaError_t unpin(const void *memory)
{
    for (int i = 0; i < n_pinned; i++)
        if (pinned[i].base == memory) {
            pinned[i] = pinned[--n_pinned];
            return cudaSuccess;
        }
    return cudaErrorInvalidValue;
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    *memory = malloc(bytes ? bytes : 1);
    if (!*memory)
        return runtime_leave(cudaErrorMemoryAllocation);
    return runtime_leave(pin(*memory, bytes));
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags)
{
    (void)flags;
    return cudaMallocHost(memory, bytes);
}

cudaError_t cudaFreeHost(void *memory)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    stream_drain(NULL, NULL, -1); /* queued copies may still use it */
    error = memory ? unpin(memory) : cudaSuccess;
    if (!error)
        free(memory);
    return runtime_leave(error);
}

cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned flags)
{
    (void)flags;
    cudaError_t error = runtime_enter();
    return error ? error : runtime_leave(pin(memory, bytes));
}

cudaError_t cudaHostUnregister(void *memory)
{
    cudaError_t error = runtime_enter();
    return error ? error : runtime_leave(unpin(memory));
}

/* --- copies -----------------------------------------------------------------------------------*/

static bool is_from_device(enum cudaMemcpyKind kind)
{
    return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
}

static bool is_to_device(enum cudaMemcpyKind kind)
{
    return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
}

/* One row. Uninitialised bytes may move within the device, as nothing; reading them into host
 * memory is a fault. */
static cudaError_t copy_row(char *to, const char *from, size_t bytes, enum cudaMemcpyKind kind)
{
    if (bytes == 0)
        return cudaSuccess;
    if (is_from_device(kind) && vgpu_device_of(from, bytes) < 0) {
        vgpu_report(VGPU_HOST_COPY, 0, "copy of %zu bytes from %p: outside an allocation", bytes,
                    (const void *)from);
        return cudaErrorInvalidValue;
    }
    if (is_to_device(kind) && vgpu_device_of(to, bytes) < 0) {
        vgpu_report(VGPU_HOST_COPY, 0, "copy of %zu bytes to %p: outside an allocation", bytes,
                    (void *)to);
        return cudaErrorInvalidValue;
    }
    if (kind == cudaMemcpyDeviceToHost && vgpu_options.checks != VGPU_CHECK_NOTHING &&
        !vgpu_is_initialised(from, bytes))
        vgpu_report(VGPU_HOST_COPY, 0, "copy of %zu bytes from %p: some were never written", bytes,
                    (const void *)from);
    if (kind == cudaMemcpyHostToDevice || vgpu_is_initialised(from, bytes)) {
        vgpu_mark_initialised(to, is_to_device(kind) ? bytes : 0);
    } else if (kind == cudaMemcpyDeviceToDevice) {
        for (size_t i = 0; i < bytes; i++)
            if (vgpu_is_initialised(from + i, 1))
                vgpu_mark_initialised(to + i, 1);
    }
    memmove(to, from, bytes);
    return cudaSuccess;
}

cudaError_t memory_copy_now(const struct work *work)
{
    const char *from = work->copy.staged ? work->copy.staged : work->copy.from;
    for (size_t y = 0; y < work->copy.height; y++) {
        cudaError_t error =
            copy_row((char *)work->copy.to + y * work->copy.to_pitch,
                     from + y * work->copy.from_pitch, work->copy.width, work->copy.kind);
        if (error)
            return error;
    }
    return cudaSuccess;
}

/* The kind said or, for cudaMemcpyDefault, the kind that the pointers say. */
static enum cudaMemcpyKind kind_of(void *to, const void *from, enum cudaMemcpyKind kind)
{
    if (kind != cudaMemcpyDefault)
        return kind;
    bool is_to = vgpu_device_of(to, 1) >= 0, is_from = vgpu_device_of(from, 1) >= 0;
    return is_to ? (is_from ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                 : (is_from ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (height > 1 && (width > to_pitch || width > from_pitch))
        return runtime_leave(cudaErrorInvalidPitchValue);
    struct work *work = work_new(WORK_COPY);
    kind = kind_of(to, from, kind);
    work->copy.to = to;
    work->copy.from = from;
    work->copy.to_pitch = to_pitch;
    work->copy.from_pitch = from_pitch;
    work->copy.width = width;
    work->copy.height = height;
    work->copy.kind = kind;
    if (kind == cudaMemcpyHostToDevice && width && height && !memory_is_pinned(from)) {
        size_t bytes = (height - 1) * from_pitch + width;
        work->copy.staged = malloc(bytes);
        if (!work->copy.staged)
            abort();
        memcpy(work->copy.staged, from, bytes);
    }
    error = stream_enqueue(stream, work);
    if (!error && stream && !stream->capture && kind == cudaMemcpyDeviceToHost &&
        !memory_is_pinned(to))
        stream_drain(stream, NULL, -1);
    return runtime_leave(error);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, NULL);
    if (error)
        return error;
    error = runtime_enter();
    return error ? error : runtime_leave(runtime_take_error(runtime_device()));
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t bytes, cudaStream_t stream)
{
    runtime_lock();
    bool is_right =
        vgpu_device_of(to, bytes) == to_device && vgpu_device_of(from, bytes) == from_device;
    runtime_unlock();
    if (!is_right)
        vgpu_report(VGPU_HOST_COPY, 0, "copy of %zu bytes between devices: wrong devices", bytes);
    return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

/* --- sets -------------------------------------------------------------------------------------*/

cudaError_t memory_set_now(const struct work *work)
{
    if (work->set.bytes == 0)
        return cudaSuccess;
    if (vgpu_device_of(work->set.to, work->set.bytes) < 0) {
        vgpu_report(VGPU_HOST_COPY, 0, "memset of %zu bytes: outside an allocation",
                    work->set.bytes);
        return cudaErrorInvalidValue;
    }
    memset(work->set.to, work->set.value, work->set.bytes);
    vgpu_mark_initialised(work->set.to, work->set.bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    struct work *work = work_new(WORK_SET);
    work->set.to = to;
    work->set.value = value;
    work->set.bytes = bytes;
    return runtime_leave(stream_enqueue(stream, work));
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    return cudaMemsetAsync(to, value, bytes, NULL);
}
