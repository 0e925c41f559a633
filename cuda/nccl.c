/* Devices that exchange through NCCL, which is loaded when the first team is opened: nothing else
 * needs it. One communicator for the devices of a process, each rank used by its own thread.
 *
 * NCCL's rules for one process with several devices, and how they are kept:
 *
 * - A device waits for its peers inside an exchange, and growing memory may wait for all devices.
 *   So an exchange that is not part of a graph stands alone: all ranks wait for their devices,
 * meet, exchange, wait, and meet again before anybody goes on.
 * - Captured or not is a property of an exchange on all ranks, and graphs that were captured
 *   together are launched together: replay.c has the ranks agree.
 * - The first exchange of two ranks connects them, which can't be captured: the first run of a list
 *   is always a plain one.
 *
 * Source: NVIDIA, NCCL user guide, "Using NCCL with CUDA Graphs", "Thread Safety". */
#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "cuda/cuda_internal.h"
#include "tensor/team.h"

enum {
    NCCL_BYTES = 0,         /* ncclInt8 */
    OLDEST_VERSION = 21300, /* 2.13: exchanges inside and outside of graphs may be mixed */
    PATIENCE_S = 5,         /* for a call that another thread is in, before it is given up */
};
#define LIBRARY "libnccl.so.2"

/* What is used of the library; a result of 0 is success. Declared here since the header is not part
 * of the toolkit. */
struct nccl_api {
    int (*version)(int *version);
    int (*init_all)(void **comms, int n, const int *devices);
    int (*group_start)(void);
    int (*group_end)(void);
    int (*send)(const void *data, size_t count, int type, int peer, void *comm,
                cudaStream_t stream);
    int (*receive)(void *data, size_t count, int type, int peer, void *comm, cudaStream_t stream);
    int (*destroy)(void *comm);
    int (*abort)(void *comm);
    const char *(*text)(int result);
};

static const struct {
    size_t offset; /* in struct nccl_api */
    const char *name;
} NCCL_FUNCTIONS[] = {
    {offsetof(struct nccl_api, version), "ncclGetVersion"},
    {offsetof(struct nccl_api, init_all), "ncclCommInitAll"},
    {offsetof(struct nccl_api, group_start), "ncclGroupStart"},
    {offsetof(struct nccl_api, group_end), "ncclGroupEnd"},
    {offsetof(struct nccl_api, send), "ncclSend"},
    {offsetof(struct nccl_api, receive), "ncclRecv"},
    {offsetof(struct nccl_api, destroy), "ncclCommDestroy"},
    {offsetof(struct nccl_api, abort), "ncclCommAbort"},
    {offsetof(struct nccl_api, text), "ncclGetErrorString"},
};

struct nccl_rank {
    struct comm comm; /* first */
    struct nccl *nccl;
    struct cuda *cuda;
    void *handle;         /* NULL after it was given up */
    pthread_mutex_t lock; /* of the calls of an exchange, from its first piece to its end */
    bool is_open;         /* pieces were noted: the lock is held */
    int status;           /* the first failure of this exchange */
    atomic_bool is_given_up;
};

struct nccl {
    struct nccl_api api;
    void *library; /* NULL when the program itself has the functions */
    int n_open;
    struct nccl_rank ranks[SHARE_MAX];
};

/* --- the table --------------------------------------------------------------------------------*/

static void keep(struct nccl_rank *r, int status)
{
    r->status = r->status != 0 ? r->status : status;
}

/* False when there is nobody to exchange with any more. */
static bool begin(struct nccl_rank *r)
{
    if (!r->is_open && !atomic_load(&r->is_given_up)) {
        pthread_mutex_lock(&r->lock);
        r->is_open = true;
        r->status = 0;
        keep(r, r->nccl->api.group_start());
    }
    return r->is_open;
}

static void nccl_send(struct comm *c, int to, const void *data, size_t bytes)
{
    struct nccl_rank *r = (struct nccl_rank *)c;
    if (begin(r))
        keep(r, r->nccl->api.send(data, bytes, NCCL_BYTES, to, r->handle, r->cuda->stream));
}

static void nccl_receive(struct comm *c, int from, void *data, size_t bytes)
{
    struct nccl_rank *r = (struct nccl_rank *)c;
    if (begin(r))
        keep(r, r->nccl->api.receive(data, bytes, NCCL_BYTES, from, r->handle, r->cuda->stream));
}

static bool nccl_exchange(struct comm *c, struct error *err)
{
    struct nccl_rank *r = (struct nccl_rank *)c;
    int status = 0;
    if (r->is_open) {
        keep(r, r->nccl->api.group_end());
        status = r->status;
        r->is_open = false;
        pthread_mutex_unlock(&r->lock);
    }
    if (atomic_load(&r->is_given_up))
        return fail(err, ERR_DEVICE,
                    "CUDA device %d: exchange given up, as another device has failed",
                    r->cuda->device);
    return status == 0 || fail(err, ERR_DEVICE, "CUDA device %d: NCCL: %s", r->cuda->device,
                               r->nccl->api.text(status));
}

/* A call that waits for a peer inside NCCL may hold the lock: only aborting gets it out. */
static void nccl_give_up(struct comm *c)
{
    struct nccl_rank *r = (struct nccl_rank *)c;
    if (atomic_exchange(&r->is_given_up, true))
        return;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    bool is_locked = pthread_mutex_timedlock(&r->lock, &until) == 0;
    (void)r->nccl->api.abort(r->handle);
    r->handle = NULL;
    if (is_locked)
        pthread_mutex_unlock(&r->lock);
}

static void nccl_close(struct comm *c)
{
    struct nccl_rank *r = (struct nccl_rank *)c;
    struct nccl *nccl = r->nccl;
    if (r->handle)
        (void)nccl->api.destroy(r->handle);
    pthread_mutex_destroy(&r->lock);
    if (--nccl->n_open > 0)
        return;
    if (nccl->library)
        dlclose(nccl->library);
    free(nccl);
}

static const struct comm_ops NCCL_OPS = {nccl_send, nccl_receive, nccl_exchange, nccl_give_up,
                                         nccl_close};

/* --- opening ----------------------------------------------------------------------------------*/

static bool load(struct nccl *nccl, struct error *err)
{
    void *from = RTLD_DEFAULT;
    if (!dlsym(RTLD_DEFAULT, NCCL_FUNCTIONS[0].name)) {
        from = nccl->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
        if (!from)
            return fail(
                err, ERR_DEVICE,
                "devices exchange through NCCL, which can't be loaded: %s; install Debian's "
                "libnccl2 of NVIDIA's repository, or pip's nvidia-nccl-cu13 with its lib "
                "folder in LD_LIBRARY_PATH",
                dlerror());
    }
    for (size_t i = 0; i < sizeof NCCL_FUNCTIONS / sizeof NCCL_FUNCTIONS[0]; i++) {
        void *function = dlsym(from, NCCL_FUNCTIONS[i].name);
        if (!function)
            return fail(err, ERR_DEVICE, LIBRARY " has no %s: NCCL %d.%d or later is needed",
                        NCCL_FUNCTIONS[i].name, OLDEST_VERSION / 10000, OLDEST_VERSION / 100 % 100);
        memcpy((char *)&nccl->api + NCCL_FUNCTIONS[i].offset, &function, sizeof function);
    }
    return true;
}

static bool is_recent(const struct nccl_api *api, struct error *err)
{
    int version = 0;
    assert(api->version && api->init_all); /* load() has found them */
    if (api->version(&version) == 0 && version >= OLDEST_VERSION)
        return true;
    return fail(err, ERR_DEVICE, LIBRARY " is version %d.%d: NCCL %d.%d or later is needed",
                version / 10000, version / 100 % 100, OLDEST_VERSION / 10000,
                OLDEST_VERSION / 100 % 100);
}

/* A struct comm for each of the back ends. */
static bool open_comms(struct comm **comms, struct backend *const *backends, int n,
                       struct error *err)
{
    struct nccl *nccl = calloc(1, sizeof *nccl);
    int devices[SHARE_MAX], version = 0, status = 0;
    void *handles[SHARE_MAX] = {NULL};
    if (!nccl)
        return fail(err, ERR_MEMORY, "no memory for NCCL");
    bool ok = load(nccl, err) && is_recent(&nccl->api, err);
    for (int i = 0; i < n; i++)
        devices[i] = ((struct cuda *)backends[i])->device;
    if (ok && (status = nccl->api.init_all(handles, n, devices)) != 0)
        ok = fail(err, ERR_DEVICE, "NCCL can't connect %d devices from device %d on: %s", n,
                  devices[0], nccl->api.text(status));
    if (!ok) {
        if (nccl->library)
            dlclose(nccl->library);
        free(nccl);
        return false;
    }
    nccl->n_open = n;
    for (int i = 0; i < n; i++) {
        struct nccl_rank *r = &nccl->ranks[i];
        *r = (struct nccl_rank){.comm.ops = &NCCL_OPS,
                                .nccl = nccl,
                                .cuda = (struct cuda *)backends[i],
                                .handle = handles[i]};
        pthread_mutex_init(&r->lock, NULL);
        comms[i] = &r->comm;
    }
    (void)nccl->api.version(&version);
    log_info("NCCL %d.%d.%d connects devices %d to %d", version / 10000, version / 100 % 100,
             version % 100, devices[0], devices[n - 1]);
    return true;
}

bool cuda_open_team(struct backend **out, const struct cuda_options *options, int n,
                    struct error *err)
{
    struct backend *backends[SHARE_MAX] = {NULL};
    struct comm *comms[SHARE_MAX] = {NULL};
    struct cuda_options each = *options;
    bool ok = true;
    if (n <= 1)
        return cuda_open(out, options, err);
    for (int i = 0; i < n && ok; i++, each.device_id++)
        ok = cuda_open(&backends[i], &each, err);
    ok = ok && open_comms(comms, backends, n, err);
    if (ok && !team_form(backends, comms, n, err)) {
        for (int i = 0; i < n; i++)
            comms[i]->ops->close(comms[i]);
        ok = false;
    }
    for (int i = 0; i < n && !ok; i++)
        backend_close(backends[i]);
    if (ok) {
        char facts[96]; /* a longer name is cut */
        snprintf(facts, sizeof facts, "%s", strchr(backends[0]->device, ':'));
        snprintf(backends[0]->device, sizeof backends[0]->device, "devices %d to %d%s",
                 options->device_id, options->device_id + n - 1, facts);
    }
    *out = ok ? backends[0] : NULL;
    return ok;
}

/* --- the operation ----------------------------------------------------------------------------*/

/* Nothing runs on any device. */
static void fence(struct cuda *c)
{
    cuda_wait(c);
    (void)team_agree(&c->backend, true);
}

void cuda_exchange(struct backend *b, struct tensor to, struct tensor from, const int64_t *counts)
{
    struct cuda *c = cuda_use(b);
    enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    bool is_captured = cudaStreamIsCapturing(c->stream, &capture) == cudaSuccess &&
                       capture != cudaStreamCaptureStatusNone;
    if (!is_captured)
        fence(c);
    team_exchange(b, to, from, counts);
    if (!is_captured)
        fence(c);
}
