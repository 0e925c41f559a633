/* A stand-in for NCCL on the simulated devices: the same functions by the same header.
 *
 * A group of sends and receives is two pieces of work on the stream: the first posts what is sent,
 * the second waits until everything has been posted that is received. What NCCL asks for is
 * checked: memory belongs to the device and is initialised, lengths agree, an exchange is captured
 * on both sides or on none, and graphs on both sides are from the same capture. */
#include <nccl.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda_sim/nccl_sim.h"
#include "tests/cuda_sim/runtime_internal.h"

/* The header says nothing of their parameters. */
ncclResult_t ncclGroupStart(void); /* NOLINT(readability-redundant-declaration) */
ncclResult_t ncclGroupEnd(void);   /* NOLINT(readability-redundant-declaration) */

enum { MAX_RANKS = VGPU_MAX_DEVICES };

struct message {
    struct message *next;
    void *data; /* owned */
    size_t bytes;
    int capture; /* which one on the sender's side, 0: none */
};

struct mailbox {
    struct message *first, *last;
};

struct world {
    int n, n_open;
    bool is_aborted;
    struct mailbox boxes[MAX_RANKS][MAX_RANKS]; /* [from][to] */
};

struct ncclComm {
    struct world *world;
    int rank, device, n_captures;
    bool has_run; /* an exchange outside of graphs, which connects the ranks */
};

struct piece {
    struct piece *next;
    void *data;
    size_t bytes;
    int peer;
    bool is_sent;
};

struct exchange {
    struct call call; /* first */
    struct world *world;
    int rank, device, capture;
    bool is_post;         /* else the half that receives */
    struct piece *pieces; /* owned */
};

/* The calling thread's open group. */
static _Thread_local struct {
    int depth;
    ncclComm_t comm;
    cudaStream_t stream;
    struct piece *first, **last;
} group;

static struct nccl_counters counters;
static int missing_after = -1; /* planted: fail when so many groups have been queued */

struct nccl_counters nccl_counters(void)
{
    runtime_lock();
    struct nccl_counters copy = counters;
    runtime_unlock();
    return copy;
}

void nccl_plant_failure(int after_groups)
{
    runtime_lock();
    missing_after = after_groups;
    runtime_unlock();
}

static void *allocate(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        abort();
    return p;
}

/* --- work -------------------------------------------------------------------------------------*/

static void complain(const struct exchange *x, const char *what)
{
    if (!x->world->is_aborted)
        vgpu_report(VGPU_LIBRARY, 0, "NCCL rank %d: %s", x->rank, what);
}

static cudaError_t post(struct call *call)
{
    struct exchange *x = (struct exchange *)call;
    for (const struct piece *p = x->pieces; p; p = p->next) {
        if (!p->is_sent)
            continue;
        struct mailbox *box = &x->world->boxes[x->rank][p->peer];
        struct message *m = allocate(sizeof *m);
        *m = (struct message){.data = allocate(p->bytes), .bytes = p->bytes, .capture = x->capture};
        if (vgpu_device_of(p->data, p->bytes) != x->device)
            complain(x, "sends memory that is not its device's");
        else if (!vgpu_is_initialised(p->data, p->bytes))
            complain(x, "sends memory without values");
        else
            memcpy(m->data, p->data, p->bytes);
        if (box->last)
            box->last->next = m;
        else
            box->first = m;
        box->last = m;
        counters.bytes += p->peer != x->rank ? p->bytes : 0;
    }
    counters.exchanges++;
    counters.captured += x->capture != 0;
    return cudaSuccess;
}

static bool always(struct call *call)
{
    (void)call;
    return true;
}

/* The k-th piece received from a peer needs k messages in its box. */
static bool is_complete(struct call *call)
{
    const struct exchange *x = (const struct exchange *)call;
    for (int peer = 0; peer < x->world->n; peer++) {
        const struct message *m = x->world->boxes[peer][x->rank].first;
        for (const struct piece *p = x->pieces; p; p = p->next) {
            if (p->is_sent || p->peer != peer)
                continue;
            if (!m)
                return x->world->is_aborted;
            m = m->next;
        }
    }
    return true;
}

static cudaError_t take(struct call *call)
{
    struct exchange *x = (struct exchange *)call;
    for (const struct piece *p = x->pieces; p && !x->world->is_aborted; p = p->next) {
        if (p->is_sent)
            continue;
        struct mailbox *box = &x->world->boxes[p->peer][x->rank];
        struct message *m = box->first;
        box->first = m->next;
        if (!m->next)
            box->last = NULL;
        if (m->bytes != p->bytes)
            complain(x, "receives another length than is sent");
        else if (m->capture != x->capture)
            complain(x, "exchange of another capture, or captured on one side alone");
        else if (vgpu_device_of(p->data, p->bytes) != x->device)
            complain(x, "receives into memory that is not its device's");
        else {
            memcpy(p->data, m->data, p->bytes);
            vgpu_mark_initialised(p->data, p->bytes);
        }
        free(m->data);
        free(m);
    }
    return cudaSuccess;
}

static void exchange_free(struct call *call)
{
    struct exchange *x = (struct exchange *)call;
    while (x->pieces) {
        struct piece *next = x->pieces->next;
        free(x->pieces);
        x->pieces = next;
    }
    free(x);
}

static struct piece *copy_pieces(const struct piece *from)
{
    struct piece *first = NULL, **last = &first;
    for (; from; from = from->next) {
        *last = allocate(sizeof **last);
        **last = *from;
        (*last)->next = NULL;
        last = &(*last)->next;
    }
    return first;
}

static cudaError_t queue_half(bool is_post, int capture)
{
    struct exchange *x = allocate(sizeof *x);
    *x = (struct exchange){.call = {.references = 1,
                                    .is_ready = is_post ? always : is_complete,
                                    .run = is_post ? post : take,
                                    .free = exchange_free},
                           .world = group.comm->world,
                           .rank = group.comm->rank,
                           .device = group.comm->device,
                           .capture = capture,
                           .is_post = is_post,
                           .pieces = copy_pieces(group.first)};
    struct work *work = work_new(WORK_CALL);
    work->call = &x->call;
    return stream_enqueue(group.stream, work);
}

/* --- the functions ----------------------------------------------------------------------------*/

ncclResult_t ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    return result == ncclSuccess           ? "no error"
           : result == ncclInvalidArgument ? "invalid argument"
           : result == ncclInvalidUsage    ? "invalid usage"
                                           : "unhandled system error";
}

ncclResult_t ncclCommInitAll(ncclComm_t *comms, int n, const int *devices)
{
    int n_devices = 0;
    if (n < 1 || n > MAX_RANKS || cudaGetDeviceCount(&n_devices) != cudaSuccess)
        return ncclInvalidArgument;
    for (int i = 0; i < n; i++)
        if (devices[i] < 0 || devices[i] >= n_devices)
            return ncclInvalidArgument;
    struct world *world = allocate(sizeof *world);
    world->n = world->n_open = n;
    for (int i = 0; i < n; i++) {
        comms[i] = allocate(sizeof *comms[i]);
        *comms[i] = (struct ncclComm){.world = world, .rank = i, .device = devices[i]};
    }
    return ncclSuccess;
}

ncclResult_t ncclGroupStart(void)
{
    if (group.depth++ == 0) {
        group.comm = NULL;
        group.first = NULL;
        group.last = &group.first;
    }
    return ncclSuccess;
}

static ncclResult_t add(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                        cudaStream_t stream, bool is_sent)
{
    if (group.depth == 0 || type != ncclInt8 || peer < 0 || peer >= comm->world->n ||
        (group.comm && (group.comm != comm || group.stream != stream)))
        return ncclInvalidArgument;
    if (comm->device != stream->device) /* as CUDA would refuse the launch */
        return ncclInvalidUsage;
    group.comm = comm;
    group.stream = stream;
    struct piece *p = *group.last = allocate(sizeof *p);
    *p = (struct piece){.data = data, .bytes = count, .peer = peer, .is_sent = is_sent};
    group.last = &p->next;
    return ncclSuccess;
}

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    return add((void *)(uintptr_t)data, count, type, peer, comm, stream, true);
}

ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream)
{
    return add(data, count, type, peer, comm, stream, false);
}

/* The first exchange connects the ranks, which no capture allows. */
static ncclResult_t queue_group(void)
{
    ncclComm_t comm = group.comm;
    if (missing_after == 0 || comm->world->is_aborted) {
        missing_after = -1;
        return ncclSystemError;
    }
    missing_after -= missing_after > 0;
    bool is_captured = group.stream->capture != NULL;
    if (is_captured && !comm->has_run) {
        vgpu_report(VGPU_LIBRARY, 0, "NCCL rank %d: its first exchange is captured", comm->rank);
        return ncclInvalidUsage;
    }
    comm->has_run = comm->has_run || !is_captured;
    int capture = is_captured ? ++comm->n_captures : 0;
    bool is_queued =
        queue_half(true, capture) == cudaSuccess && queue_half(false, capture) == cudaSuccess;
    return is_queued ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclGroupEnd(void)
{
    ncclResult_t result = ncclSuccess;
    if (group.depth == 0)
        return ncclInvalidUsage;
    if (--group.depth > 0 || !group.comm)
        return ncclSuccess;
    if (runtime_enter() == cudaSuccess) {
        result = queue_group();
        runtime_leave(cudaSuccess);
    } else {
        result = ncclUnhandledCudaError;
    }
    while (group.first) {
        struct piece *next = group.first->next;
        free(group.first);
        group.first = next;
    }
    return result;
}

/* What was sent must have been received. */
static void close_comm(ncclComm_t comm)
{
    struct world *world = comm->world;
    free(comm);
    if (--world->n_open > 0)
        return;
    for (int i = 0; i < world->n * world->n; i++) {
        struct mailbox *box = &world->boxes[i / world->n][i % world->n];
        if (box->first && !world->is_aborted)
            vgpu_report(VGPU_LIBRARY, 0, "NCCL: rank %d never received what rank %d sent",
                        i % world->n, i / world->n);
        while (box->first) {
            struct message *next = box->first->next;
            free(box->first->data);
            free(box->first);
            box->first = next;
        }
    }
    /* Aborted exchanges may still be queued, and graphs may hold some: world stays. */
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    runtime_lock();
    close_comm(comm);
    runtime_unlock();
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    runtime_lock();
    comm->world->is_aborted = true;
    counters.aborts++;
    stream_notify();
    close_comm(comm);
    runtime_unlock();
    return ncclSuccess;
}
