/* Capture and replay of graphs.
 *
 * A capture collects the work of its streams in order, each piece with its branch (0 is the stream
 * where it began). A launch queues a copy: branch 0 on the given stream, the others on temporary
 * streams that wait for the launch to begin; captured records and waits get flags of their own, so
 * that the edges hold and everything else may interleave. */
#include "tests/cuda_sim/runtime_internal.h"

#include <stdlib.h>
#include <string.h>

struct CUgraphExec_st {
    struct CUgraph_st graph; /* its queue is owned */
};

static void *allocate(size_t n, size_t bytes)
{
    void *p = calloc(n ? n : 1, bytes);
    if (!p)
        abort();
    return p;
}

static void queue_clear(struct queue *queue)
{
    while (queue->first) {
        struct work *next = queue->first->next;
        work_free(queue->first);
        queue->first = next;
    }
    queue->last = NULL;
}

static struct work *work_copy(const struct work *work)
{
    struct work *copy = work_new(work->kind);
    *copy = *work;
    if (work->kind == WORK_KERNEL) {
        void *arguments = allocate(work->kernel.argument_bytes, 1);
        memcpy(arguments, work->kernel.arguments, work->kernel.argument_bytes);
        copy->kernel.arguments = arguments;
    }
    if (work->kind == WORK_COPY && work->copy.staged) {
        size_t bytes = (work->copy.height - 1) * work->copy.from_pitch + work->copy.width;
        copy->copy.staged = allocate(bytes, 1);
        memcpy(copy->copy.staged, work->copy.staged, bytes);
    }
    if (work->kind == WORK_RECORD || work->kind == WORK_WAIT)
        flag_share(work->flag);
    if (work->kind == WORK_CALL)
        work->call->references++;
    return copy;
}

/* --- capture ----------------------------------------------------------------------------------*/

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (!stream || stream == cudaStreamLegacy)
        return runtime_leave(cudaErrorStreamCaptureUnsupported);
    if (stream->capture)
        return runtime_leave(cudaErrorIllegalState);
    struct CUgraph_st *graph = allocate(1, sizeof *graph);
    graph->n_branches = 1;
    graph->origin = stream;
    graph->thread = pthread_self();
    graph->mode = mode;
    stream->capture = graph;
    stream->branch = 0;
    return runtime_leave(cudaSuccess);
}

/* Every other branch must end in an event that some branch waits for. */
static bool is_joined(const struct CUgraph_st *graph)
{
    for (int branch = 1; branch < graph->n_branches; branch++) {
        const struct work *last = NULL;
        for (const struct work *w = graph->queue.first; w; w = w->next)
            if (w->branch == branch)
                last = w;
        bool is_waited_for = false;
        for (const struct work *w = graph->queue.first; w; w = w->next)
            is_waited_for =
                is_waited_for || (last && last->kind == WORK_RECORD && w->kind == WORK_WAIT &&
                                  w->flag == last->flag && w->branch != branch);
        if (!is_waited_for)
            return false;
    }
    return true;
}

static void graph_free(struct CUgraph_st *graph)
{
    queue_clear(&graph->queue);
    free(graph);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    *out = NULL;
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    struct CUgraph_st *graph = stream->capture;
    if (!graph || graph->origin != stream)
        return runtime_leave(cudaErrorIllegalState);
    stream_leave_capture(graph);
    error = graph->is_invalid   ? cudaErrorStreamCaptureInvalidated
            : !is_joined(graph) ? cudaErrorStreamCaptureUnjoined
                                : cudaSuccess;
    if (error) {
        graph_free(graph);
        return runtime_leave(error);
    }
    for (struct work *w = graph->queue.first; w; w = w->next)
        if (w->kind == WORK_RECORD)
            w->flag->replay = graph->n_flags++;
    *out = graph;
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    runtime_lock();
    *status = !stream || !stream->capture   ? cudaStreamCaptureStatusNone
              : stream->capture->is_invalid ? cudaStreamCaptureStatusInvalidated
                                            : cudaStreamCaptureStatusActive;
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    runtime_lock();
    graph_free(graph);
    return runtime_leave(cudaSuccess);
}

/* --- replay -----------------------------------------------------------------------------------*/

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    struct CUgraphExec_st *exec = allocate(1, sizeof *exec);
    exec->graph = *graph;
    exec->graph.queue = (struct queue){0};
    for (struct work *w = graph->queue.first; w; w = w->next)
        queue_append(&exec->graph.queue, work_copy(w));
    *out = exec;
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    runtime_lock();
    queue_clear(&exec->graph.queue);
    free(exec);
    return runtime_leave(cudaSuccess);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    (void)exec;
    (void)stream;
    return cudaSuccess;
}

static void enqueue_flag(struct CUstream_st *stream, enum work_kind kind, struct flag *flag)
{
    struct work *work = work_new(kind);
    work->flag = flag_share(flag);
    queue_append(&stream->queue, work);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    cudaError_t error = runtime_enter();
    if (error)
        return error;
    if (!stream || stream->capture)
        return runtime_leave(cudaErrorStreamCaptureUnsupported);
    runtime_count_graph();
    const struct CUgraph_st *graph = &exec->graph;
    struct CUstream_st **branches = allocate((size_t)graph->n_branches, sizeof *branches);
    struct flag **flags = allocate((size_t)graph->n_flags, sizeof *flags), *begin = flag_new();
    for (int i = 0; i < graph->n_flags; i++)
        flags[i] = flag_new();
    branches[0] = stream;
    enqueue_flag(stream, WORK_RECORD, begin);
    for (int i = 1; i < graph->n_branches; i++) {
        branches[i] = stream_new(stream->device);
        branches[i]->is_temporary = true;
        enqueue_flag(branches[i], WORK_WAIT, begin);
    }
    for (const struct work *w = graph->queue.first; w; w = w->next) {
        struct work *copy = work_copy(w);
        if (w->kind == WORK_RECORD || w->kind == WORK_WAIT) {
            flag_drop(copy->flag);
            copy->flag = flag_share(flags[w->flag->replay]);
        }
        queue_append(&branches[w->branch]->queue, copy);
    }
    for (int i = 0; i < graph->n_flags; i++)
        flag_drop(flags[i]);
    flag_drop(begin);
    free(flags);
    free(branches);
    stream_notify();
    if (runtime_options()->is_eager)
        stream_drain(stream, NULL, -1);
    return runtime_leave(cudaSuccess);
}
