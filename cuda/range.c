/* What tools see of the back end: NVTX ranges, the profiler's switch, and time stamps.
 *
 * NVTX has no library: its headers look for a tool at the first call (Nsight Systems and others
 * name theirs in NVTX_INJECTION64_PATH) and do nothing when there is none. Ranges are of the host's
 * time, in which work is queued, so they are noted like operations (replay.c) and run among them. A
 * tool joins the kernels to the range that launched them; those of a graph, to what is around its
 * launch. Without a tool nothing is noted. */
#include <cuda_profiler_api.h>
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda/cuda_internal.h"
#include "tensor/profile.h"

/* The level of a range is not negative where a tool counts them. */
static bool has_listener(void)
{
    bool is_heard = nvtxRangePushA("fluxserve") >= 0;
    nvtxRangePop();
    return is_heard;
}

void cuda_range_push(const char *name, int index)
{
    char text[64];
    if (index >= 0) {
        snprintf(text, sizeof text, "%s %d", name, index);
        name = text;
    }
    (void)nvtxRangePushA(name);
}

void cuda_range_pop(void) { (void)nvtxRangePop(); }

static void range_begin(struct backend *b, const char *name, int index)
{
    (void)b;
    cuda_range_push(name, index);
}

static void range_end(struct backend *b)
{
    (void)b;
    cuda_range_pop();
}

static void record(struct backend *b, bool is_on)
{
    struct cuda *c = cuda_use(b);
    cuda_replay_flush(c);
    if (is_on && cuda_check(c, cudaStreamSynchronize(c->stream), "cudaStreamSynchronize"))
        cuda_check(c, cudaProfilerStart(), "cudaProfilerStart");
    if (!is_on)
        cuda_check(c, cudaProfilerStop(), "cudaProfilerStop");
}

static void stamp(struct backend *b, int i)
{
    struct cuda *c = cuda_use(b);
    cuda_replay_flush(c);
    if (!c->stamps)
        c->stamps = calloc(PROFILE_STAMPS, sizeof *c->stamps);
    if (!c->stamps) {
        fail(&b->fault, ERR_MEMORY, "no memory for time stamps");
        return;
    }
    if (!c->stamps[i] && !cuda_check(c, cudaEventCreate(&c->stamps[i]), "cudaEventCreate"))
        return;
    cuda_check(c, cudaEventRecord(c->stamps[i], c->stream), "cudaEventRecord");
}

static double stamp_seconds(struct backend *b, int i, int k)
{
    struct cuda *c = cuda_use(b);
    float ms = 0.0f;
    if (!c->stamps || !c->stamps[i] || !c->stamps[k] ||
        cudaEventElapsedTime(&ms, c->stamps[i], c->stamps[k]) != cudaSuccess)
        return 0.0; /* after a fault, which is reported */
    return (double)ms * 1e-3;
}

void cuda_range_open(struct cuda *c)
{
    c->ops.record = record;
    c->ops.stamp = stamp;
    c->ops.stamp_seconds = stamp_seconds;
    if (has_listener()) {
        c->ops.range_begin = range_begin;
        c->ops.range_end = range_end;
    }
}

void cuda_range_close(struct cuda *c)
{
    for (int i = 0; c->stamps && i < PROFILE_STAMPS; i++) {
        if (c->stamps[i])
            (void)cudaEventDestroy(c->stamps[i]);
    }
    free(c->stamps);
    c->stamps = NULL;
}
