/* Opening a CUDA device, its memory and its table. All work goes to one stream in program order;
 * the first fault is kept and reported by sync. */
#include "cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "cuda/cuda_internal.h"
#include "tensor/team.h"

enum {
    OLDEST_CAPABILITY = 80, /* bf16 tensor cores and cp.async: Ampere, 2020 */
    FP8_CAPABILITY = 89,    /* tensor cores for e4m3: Ada, 2022 */
};

/* --- faults and the current device ------------------------------------------------------------*/

/* The runtime's current device belongs to the thread; operations come from the worker, opening
 * and loading may come from another one. */
struct cuda *cuda_use(struct backend *b)
{
    static _Thread_local int current = -1;
    struct cuda *c = (struct cuda *)b;
    if (current != c->device && cuda_check(c, cudaSetDevice(c->device), "cudaSetDevice"))
        current = c->device;
    return c;
}

bool cuda_check(struct cuda *c, cudaError_t status, const char *what)
{
    if (status == cudaSuccess)
        return true;
    (void)cudaGetLastError(); /* reported here: the next launch is not to blame */
    enum error_code code = status == cudaErrorMemoryAllocation ? ERR_MEMORY : ERR_DEVICE;
    return fail(&c->backend.fault, code, "CUDA device %d: %s: %s (%s)", c->device, what,
                cudaGetErrorString(status), cudaGetErrorName(status));
}

void cuda_launched(struct cuda *c, const char *operation)
{
    cuda_check(c, cudaGetLastError(), operation);
}

/* After a fault was taken: if it comes back it is one that stays. */
static void note_loss(struct cuda *c)
{
    (void)cudaGetLastError();
    if (c->is_lost || cudaStreamSynchronize(c->stream) == cudaSuccess)
        return;
    c->is_lost = true;
    log_error("CUDA device %d is lost: nothing will work on it until a restart", c->device);
    if (c->backend.team)
        team_break(c->backend.team);
}

/* --- memory -----------------------------------------------------------------------------------*/

void *cuda_work(struct cuda *c, size_t bytes)
{
    if (c->work && bytes <= c->work_bytes)
        return c->work;
    cuda_replay_forget(c);
    cudaFree(c->work); /* waits for what still uses it */
    void *memory = NULL;
    bool is_done = cuda_check(c, cudaMalloc(&memory, bytes), "working memory");
    c->work = is_done ? memory : NULL;
    c->work_bytes = is_done ? bytes : 0;
    return c->work;
}

static void *cuda_alloc(struct backend *b, size_t bytes, struct error *err)
{
    struct cuda *c = cuda_use(b);
    void *memory = NULL;
    size_t left = 0, total = 0;
    cudaError_t status = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
    if (status == cudaSuccess)
        return memory;
    (void)cudaGetLastError();                  /* the error is reported here */
    if (status != cudaErrorMemoryAllocation) { /* of work that was queued before */
        note_loss(c);
        fail(err, ERR_DEVICE, "CUDA device %d: cudaMalloc: %s (%s)", c->device,
             cudaGetErrorString(status), cudaGetErrorName(status));
        return NULL;
    }
    (void)cudaMemGetInfo(&left, &total);
    fail(err, ERR_MEMORY, "CUDA device %d: no memory for %.1f MiB: %.1f of %.1f MiB are free (%s)",
         c->device, (double)bytes / 0x1p20, (double)left / 0x1p20, (double)total / 0x1p20,
         cudaGetErrorName(status));
    return NULL;
}

static void cuda_free(struct backend *b, void *memory)
{
    struct cuda *c = cuda_use(b);
    cuda_replay_flush(c);
    cuda_check(c, cudaFree(memory), "cudaFree");
}

/* Small pieces are copied by the driver at the call; large ones go through pinned memory. */
static void cuda_upload(struct backend *b, struct tensor to, const void *host)
{
    struct cuda *c = cuda_use(b);
    cuda_replay_flush(c);
    cuda_stage(c, to.data, host, tensor_bytes(to), &b->fault);
}

static void cuda_download(struct backend *b, void *host, struct tensor from)
{
    struct cuda *c = cuda_use(b);
    cuda_replay_flush(c);
    cuda_check(
        c, cudaMemcpyAsync(host, from.data, tensor_bytes(from), cudaMemcpyDeviceToHost, c->stream),
        "download");
}

void cuda_wait(struct cuda *c)
{
    if (!cuda_check(c, cudaStreamSynchronize(c->stream), "cudaStreamSynchronize"))
        note_loss(c);
}

static void cuda_sync(struct backend *b)
{
    struct cuda *c = cuda_use(b);
    cuda_replay_flush(c);
    cuda_wait(c);
}

size_t cuda_memory_available(struct backend *b)
{
    size_t left = 0, total = 0;
    (void)cuda_use(b);
    if (cudaMemGetInfo(&left, &total) == cudaSuccess)
        return left;
    (void)cudaGetLastError();
    return 0;
}

bool cuda_is_lost(struct backend *b)
{
    return ((struct cuda *)b)->is_lost || team_is_broken(b->team);
}

static void cuda_close(struct backend *b)
{
    struct cuda *c = cuda_use(b);
    if (c->stream)
        (void)cudaStreamSynchronize(c->stream);
    cuda_replay_close(c);
    cuda_range_close(c);
    cuda_lt_close(c);
    cuda_sdpa_close(c);
    cuda_stream_close(c);
    cuda_weights_free(c);
    (void)cudaFree(c->work);
    if (c->stream)
        (void)cudaStreamDestroy(c->stream);
    free(c);
}

/* --- open -------------------------------------------------------------------------------------*/

int cuda_device_count(struct error *err)
{
    int n = 0;
    cudaError_t status = cudaGetDeviceCount(&n);
    if (status == cudaErrorInsufficientDriver) {
        int version = 0;
        (void)cudaDriverGetVersion(&version);
        if (version == 0)
            fail(err, ERR_DEVICE,
                 "no CUDA driver answers; install NVIDIA's driver, in a container start it with "
                 "--gpus all");
        else
            fail(err, ERR_DEVICE,
                 "the CUDA driver is for CUDA %d.%d, this build needs %d.%d or later",
                 version / 1000, version % 1000 / 10, CUDART_VERSION / 1000,
                 CUDART_VERSION % 1000 / 10);
    } else if (status != cudaSuccess) {
        fail(err, ERR_DEVICE, "CUDA does not answer: %s (%s)", cudaGetErrorString(status),
             cudaGetErrorName(status));
    } else if (n == 0) {
        fail(err, ERR_DEVICE, "the CUDA driver knows no device");
    }
    (void)cudaGetLastError();
    return status == cudaSuccess ? n : 0;
}

static struct backend_ops table(void)
{
    return (struct backend_ops){
        .close = cuda_close,
        .alloc = cuda_alloc,
        .free = cuda_free,
        .adopt = cuda_adopt,
        .adopt_made = cuda_adopt_made,
        .upload = cuda_upload,
        .download = cuda_download,
        .sync = cuda_sync,
        .linear = cuda_linear,
        .conv2d = cuda_conv2d,
        .attention = cuda_attention,
        .layer_norm = cuda_layer_norm,
        .rms_norm = cuda_rms_norm,
        .rms_norm_rope = cuda_rms_norm_rope,
        .group_norm = cuda_group_norm,
        .activate = cuda_activate,
        .add = cuda_add,
        .mul = cuda_mul,
        .gated_add = cuda_gated_add,
        .axpy = cuda_axpy,
        .affine = cuda_affine,
        .embed = cuda_embed,
        .copy = cuda_copy,
        .exchange = cuda_exchange,
        .to_rgb8 = cuda_to_rgb8,
    };
}

/* Names, limits and the line for the log. */
static bool describe(struct cuda *c, struct error *err)
{
    struct cudaDeviceProp p;
    int driver = 0;
    cudaError_t status = cudaGetDeviceProperties(&p, c->device);
    if (status == cudaSuccess)
        status = cudaDriverGetVersion(&driver);
    if (status != cudaSuccess)
        return fail(err, ERR_DEVICE, "CUDA device %d does not answer: %s", c->device,
                    cudaGetErrorString(status));
    c->capability = p.major * 10 + p.minor;
    c->processors = p.multiProcessorCount;
    c->backend.generator_blocks = p.multiProcessorCount * (p.maxThreadsPerMultiProcessor / 256);
    c->shared_limit = (int)p.sharedMemPerBlockOptin;
    if (c->capability < OLDEST_CAPABILITY)
        return fail(err, ERR_DEVICE,
                    "CUDA device %d (%s) has compute capability %d.%d; %d.%d or later is needed",
                    c->device, p.name, p.major, p.minor, OLDEST_CAPABILITY / 10,
                    OLDEST_CAPABILITY % 10);
    snprintf(c->backend.device, sizeof c->backend.device,
             "device %d: %.50s, sm_%d, %d SMs, %.1f GiB, driver for CUDA %d.%d", c->device, p.name,
             c->capability, c->processors, (double)p.totalGlobalMem / 0x1p30, driver / 1000,
             driver % 1000 / 10);
    return true;
}

bool cuda_open(struct backend **out, const struct cuda_options *options, struct error *err)
{
    *out = NULL;
    if (options->compute != DTYPE_F32 && options->compute != DTYPE_BF16)
        return fail_field(err, "dtype", "dtype %s: CUDA computes in f32 or bf16",
                          dtype_name(options->compute));
    int n = cuda_device_count(err);
    if (n == 0)
        return false;
    if (options->device_id < 0 || options->device_id >= n)
        return fail_field(err, "device-id", "device %d: must be 0 to %d, as %d CUDA device%s",
                          options->device_id, n - 1, n, n == 1 ? " answers" : "s answer");
    struct cuda *c = calloc(1, sizeof *c);
    if (!c)
        return fail(err, ERR_MEMORY, "no memory for the CUDA back end");
    c->device = options->device_id;
    c->ops = table();
    c->backend.ops = &c->ops;
    c->backend.name = "cuda";
    c->backend.compute = options->compute;
    c->backend.takes_quantised = true;
    cuda_use(&c->backend);
    if (!describe(c, err)) {
        free(c);
        return false;
    }
    c->backend.multiplies_int8 = true;
    c->backend.multiplies_fp8 = c->capability >= FP8_CAPABILITY;
    cuda_range_open(c);
    if (!cuda_check(c, cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "stream") ||
        !cuda_gemm_open(c) || !cuda_gemm_8bit_open(c) || !cuda_attention_open(c) ||
        !cuda_replay_open(c)) {
        fail(err, c->backend.fault.code, "%s", c->backend.fault.text);
        cuda_close(&c->backend);
        return false;
    }
    cuda_lt_open(c);
    cuda_sdpa_open(c);
    *out = &c->backend;
    return true;
}
