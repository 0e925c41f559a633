/* CPU or CUDA, by wish and by what answers. */
#include "server/backends.h"

#include "base/log.h"
#include "cpu/cpu.h"
#include "cuda/cuda.h"

enum dtype backends_compute(const struct backends_wish *wish, bool is_cuda)
{
    switch ((enum backends_dtype)wish->dtype) {
    case BACKENDS_DTYPE_F32:
        return DTYPE_F32;
    case BACKENDS_DTYPE_BF16:
        return DTYPE_BF16;
    case BACKENDS_DTYPE_AUTO:
        break;
    }
    return is_cuda ? DTYPE_BF16 : DTYPE_F32;
}

static bool open_cpu(struct backend **out, const struct backends_wish *wish, struct error *err)
{
    const struct cpu_options options = {.threads = (int)wish->threads,
                                        .compute = backends_compute(wish, false)};
    return cpu_open(out, &options, err);
}

static bool open_cuda(struct backend **out, const struct backends_wish *wish, struct error *err)
{
    const struct cuda_options options = {.device_id = (int)wish->device_id,
                                         .compute = backends_compute(wish, true)};
    if (wish->threads)
        log_warning("--threads %lld: no effect on the cuda back end", (long long)wish->threads);
    return cuda_open(out, &options, err);
}

bool backends_open(struct backend **out, const struct backends_wish *wish, struct error *err)
{
    bool is_cuda = wish->kind == BACKENDS_CUDA;
    struct error why = {0};
    if (wish->kind == BACKENDS_AUTO)
        is_cuda = cuda_device_count(&why) > 0;
    if (!(is_cuda ? open_cuda : open_cpu)(out, wish, err))
        return error_prefix(err, "--backend %s", is_cuda ? "cuda" : "cpu");
    const char *reason = wish->kind != BACKENDS_AUTO ? "asked for"
                         : is_cuda                   ? "a device answers"
                         : *why.text                 ? why.text
                                                     : "no CUDA device answers";
    if (wish->kind == BACKENDS_AUTO && !is_cuda)
        log_warning("no CUDA device is used: %s", reason);
    log_info("backend=%s device=\"%s\" compute=%s reason=\"%s\"", (*out)->name, (*out)->device,
             dtype_name((*out)->compute), reason);
    return true;
}
