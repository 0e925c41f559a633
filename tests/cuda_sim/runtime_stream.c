/* Streams and events: queues that run late.
 *
 * Nothing runs until somebody waits. The one who waits runs work from randomly chosen streams until
 * what it waits for has happened, leaning to the stream in question so that the others stay behind:
 * the schedule in which missing dependencies show. */
#include "tests/cuda_sim/runtime_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_CHOICES = 64, PATIENCE_S = 120 };

static struct CUstream_st *streams;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER;

static uint32_t random_below(uint32_t n)
{
    static uint64_t state;
    if (state == 0)
        state = runtime_options()->seed * 0x9e3779b97f4a7c15u | 1;
    state ^= state << 13; /* xorshift64, Marsaglia 2003 */
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % n;
}

/* --- flags and work ---------------------------------------------------------------------------*/

static void *allocate(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        abort();
    return p;
}

struct flag *flag_new(void)
{
    struct flag *flag = allocate(sizeof *flag);
    flag->references = 1;
    return flag;
}

struct flag *flag_share(struct flag *flag)
{
    flag->references++;
    return flag;
}

void flag_drop(struct flag *flag)
{
    if (flag && --flag->references == 0)
        free(flag);
}

struct work *work_new(enum work_kind kind)
{
    struct work *work = allocate(sizeof *work);
    work->kind = kind;
    return work;
}

void work_free(struct work *work)
{
    if (work->kind == WORK_KERNEL)
        free((void *)(uintptr_t)work->kernel.arguments);
    if (work->kind == WORK_COPY)
        free(work->copy.staged);
    if (work->kind == WORK_RECORD || work->kind == WORK_WAIT)
        flag_drop(work->flag);
    if (work->kind == WORK_CALL && --work->call->references == 0)
        work->call->free(work->call);
    free(work);
}

void queue_append(struct queue *queue, struct work *work)
{
    work->next = NULL;
    if (queue->last)
        queue->last->next = work;
    else
        queue->first = work;
    queue->last = work;
}

/* --- running ----------------------------------------------------------------------------------*/

/* The devices' clock stands still but for these prices, so that what is timed is always the same:
 * libraries (host functions here) win over kernels. */
enum { KERNEL_NS = 10000, OTHER_NS = 1000 };
static int64_t clock_ns;

/* Host functions run without the lock: they may wait for other threads. */
static cudaError_t work_run(struct work *work, int device)
{
    clock_ns += work->kind == WORK_KERNEL ? KERNEL_NS : OTHER_NS;
    switch (work->kind) {
    case WORK_KERNEL:
        return kernel_run_now(work, device);
    case WORK_COPY:
        return memory_copy_now(work);
    case WORK_SET:
        return memory_set_now(work);
    case WORK_RECORD:
        work->flag->is_set = true;
        work->flag->time_ns = clock_ns;
        return cudaSuccess;
    case WORK_WAIT:
        return cudaSuccess;
    case WORK_HOST:
        runtime_unlock();
        work->host.function(work->host.data);
        runtime_lock();
        return cudaSuccess;
    case WORK_CALL:
        return work->call->run(work->call);
    case WORK_FREE:
        return vgpu_free(work->memory) ? cudaSuccess : cudaErrorInvalidValue;
    }
    return cudaErrorInvalidValue;
}

/* For another device, whose host thread may not have queued its part yet. */
static bool waits_for_call(const struct CUstream_st *stream)
{
    const struct work *work = stream->queue.first;
    return work && work->kind == WORK_CALL && !work->call->is_ready(work->call);
}

static bool can_run(const struct CUstream_st *stream)
{
    const struct work *work = stream->queue.first;
    return work && !stream->is_busy && !(work->kind == WORK_WAIT && !work->flag->is_set) &&
           !waits_for_call(stream);
}

void stream_notify(void) { pthread_cond_broadcast(&progress); }

/* False when nothing happens for too long. */
static bool wait_for_progress(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return pthread_cond_timedwait(&progress, runtime_mutex(), &until) == 0;
}

static void stream_unlink(struct CUstream_st *stream)
{
    struct CUstream_st **link = &streams;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    free(stream);
}

static struct {
    struct runtime_event *events; /* owned */
    size_t n, capacity;
    bool is_on;
} event_log;

static void log_event(const struct CUstream_st *stream, const struct work *work)
{
    if (!event_log.is_on)
        return;
    if (event_log.n == event_log.capacity) {
        event_log.capacity = 2 * event_log.capacity + 1024;
        event_log.events = realloc(event_log.events, event_log.capacity * sizeof *event_log.events);
        if (!event_log.events)
            abort();
    }
    event_log.events[event_log.n++] =
        (struct runtime_event){stream->number,
                               work->kind == WORK_KERNEL ? RUNTIME_KERNEL
                               : work->kind == WORK_COPY ? RUNTIME_COPY
                                                         : RUNTIME_OTHER,
                               runtime_is_recording()};
}

void runtime_log_begin(void)
{
    runtime_lock();
    event_log.n = 0;
    event_log.is_on = true;
    runtime_unlock();
}

size_t runtime_log_end(const struct runtime_event **events)
{
    runtime_lock();
    event_log.is_on = false;
    *events = event_log.events;
    size_t n = event_log.n;
    runtime_unlock();
    return n;
}

static void stream_step(struct CUstream_st *stream)
{
    struct work *work = stream->queue.first;
    log_event(stream, work);
    stream->is_busy = true;
    cudaError_t error = work_run(work, stream->device);
    if (error)
        runtime_note_error(stream->device, error);
    stream->is_busy = false;
    stream->queue.first = work->next;
    if (!work->next)
        stream->queue.last = NULL;
    work_free(work);
    if (stream->is_temporary && !stream->queue.first)
        stream_unlink(stream);
    pthread_cond_broadcast(&progress);
}

static bool is_drained(const struct CUstream_st *stream, const struct flag *flag, int device)
{
    if (stream)
        return !stream->queue.first;
    if (flag)
        return flag->is_set;
    for (const struct CUstream_st *s = streams; s; s = s->next)
        if (s->queue.first && (device < 0 || s->device == device))
            return false;
    return true;
}

void stream_drain(struct CUstream_st *stream, const struct flag *flag, int device)
{
    while (!is_drained(stream, flag, device)) {
        struct CUstream_st *choices[MAX_CHOICES];
        uint32_t n = 0;
        bool may_others = false;
        for (struct CUstream_st *s = streams; s && n < MAX_CHOICES; s = s->next) {
            may_others = may_others || s->is_busy || waits_for_call(s);
            if (can_run(s))
                choices[n++] = s;
        }
        if (n == 0 && may_others && wait_for_progress()) {
            continue;
        } else if (n == 0) {
            vgpu_report(VGPU_STREAM, 0, "queued work can make no progress");
            return;
        } else {
            bool lean = stream && can_run(stream) && random_below(4) != 0;
            stream_step(lean ? stream : choices[random_below(n)]);
        }
    }
}

bool stream_capture_forbids(void)
{
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (s->capture && s->capture->mode != cudaStreamCaptureModeRelaxed &&
            pthread_equal(s->capture->thread, pthread_self())) {
            s->capture->is_invalid = true;
            return true;
        }
    return false;
}

void stream_leave_capture(const struct CUgraph_st *graph)
{
    for (struct CUstream_st *s = streams; s; s = s->next)
        if (s->capture == graph)
            s->capture = NULL;
}

cudaError_t stream_enqueue(cudaStream_t stream, struct work *work)
{
    cudaError_t error = cudaSuccess;
    if (!stream || stream == cudaStreamLegacy) {
        error = stream_capture_forbids() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
        if (!error) {
            stream_drain(NULL, NULL, runtime_device());
            runtime_note_error(runtime_device(), work_run(work, runtime_device()));
        }
        work_free(work);
        return error;
    }
    bool is_bound = work->kind == WORK_KERNEL || work->kind == WORK_RECORD;
    if (is_bound && stream->device != runtime_device()) {
        work_free(work);
        return cudaErrorInvalidResourceHandle;
    }
    if (stream->capture) {
        work->branch = stream->branch;
        queue_append(&stream->capture->queue, work);
        return cudaSuccess;
    }
    queue_append(&stream->queue, work);
    stream_notify();
    if (runtime_options()->is_eager)
        stream_drain(stream, NULL, -1);
    return cudaSuccess;
}

/* --- streams ----------------------------------------------------------------------------------*/

struct CUstream_st *stream_new(int device)
{
    struct CUstream_st *stream = allocate(sizeof *stream);
    static int n_made;
    stream->device = device;
    stream->number = ++n_made;
    stream->next = streams;
    streams = stream;
    return stream;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags; /* the legacy stream waits for all of them: the strictest reading */
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    *stream = stream_new(runtime_device());
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
    (void)priority;
    return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    stream_drain(stream, NULL, -1);
    stream_unlink(stream);
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (stream_capture_forbids())
        return runtime_leave(cudaErrorStreamCaptureUnsupported);
    runtime_count_sync();
    int device = stream ? stream->device : runtime_device();
    stream_drain(stream, NULL, device);
    return runtime_leave(runtime_take_error(device));
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (stream->queue.first && can_run(stream)) /* a poller must see progress */
        stream_step(stream);
    bool is_idle = !stream->queue.first;
    runtime_unlock();
    return is_idle ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    struct work *work = work_new(WORK_HOST);
    work->host.function = function;
    work->host.data = data;
    return runtime_leave(stream_enqueue(stream, work));
}

/* --- events -----------------------------------------------------------------------------------*/

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    *event = allocate(sizeof **event);
    (*event)->device = runtime_device();
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    runtime_lock();
    flag_drop(event->flag);
    free(event);
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (stream && stream->device != event->device)
        return runtime_leave(cudaErrorInvalidResourceHandle);
    flag_drop(event->flag);
    event->flag = flag_new();
    event->capture = stream ? stream->capture : NULL;
    struct work *work = work_new(WORK_RECORD);
    work->flag = flag_share(event->flag);
    return runtime_leave(stream_enqueue(stream, work));
}

static bool is_capturing(const struct CUgraph_st *graph)
{
    for (const struct CUstream_st *s = streams; s; s = s->next)
        if (s->capture == graph)
            return true;
    return false;
}

/* A wait for an event of a capture draws the stream into it. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (!event->flag) /* never recorded: nothing to wait for */
        return runtime_leave(cudaSuccess);
    if (event->capture && !is_capturing(event->capture)) /* it was part of a graph only */
        return runtime_leave(cudaErrorCapturedEvent);
    if (stream && stream->capture && stream->capture != event->capture) {
        stream->capture->is_invalid = true;
        return runtime_leave(cudaErrorStreamCaptureIsolation);
    }
    if (stream && event->capture && !stream->capture) {
        stream->capture = event->capture;
        stream->branch = event->capture->n_branches++;
    }
    struct work *work = work_new(WORK_WAIT);
    work->flag = flag_share(event->flag);
    return runtime_leave(stream_enqueue(stream, work));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (stream_capture_forbids() || event->capture)
        return runtime_leave(cudaErrorStreamCaptureUnsupported);
    runtime_count_sync();
    if (event->flag) {
        struct flag *flag = flag_share(event->flag);
        stream_drain(NULL, flag, -1);
        flag_drop(flag);
    }
    return runtime_leave(runtime_take_error(event->device));
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    bool is_set = !event->flag || event->flag->is_set;
    runtime_unlock();
    return is_set ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (!from->flag || !to->flag)
        return runtime_leave(cudaErrorInvalidResourceHandle);
    if (!from->flag->is_set || !to->flag->is_set)
        return runtime_leave(cudaErrorNotReady);
    *ms = (float)(to->flag->time_ns - from->flag->time_ns) * 1e-6f;
    return runtime_leave(cudaSuccess);
}
