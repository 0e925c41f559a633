/* CPU or CUDA, by wish and by what answers. */
#include "server/backends.h"

#include <math.h>
#include <string.h>

#include "base/log.h"
#include "cpu/cpu.h"
#include "cuda/cuda.h"
#include "tensor/team.h"

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
    if (wish->degree > 1)
        log_warning("--ulysses-degree %lld: on the cpu its ranks share the cores and nothing is "
                    "faster; it is there for trying out",
                    (long long)wish->degree);
    return cpu_open_team(out, &options, (int)wish->degree, err);
}

static bool open_cuda(struct backend **out, const struct backends_wish *wish, struct error *err)
{
    const struct cuda_options options = {.device_id = (int)wish->device_id,
                                         .compute = backends_compute(wish, true)};
    if (wish->threads)
        log_warning("--threads %lld: no effect on the cuda back end", (long long)wish->threads);
    return cuda_open_team(out, &options, (int)wish->degree, err);
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

bool backends_check_devices(const struct backends_wish *wish, int64_t n, struct error *err)
{
    bool is_given = n > 0, is_cpu = wish->kind == BACKENDS_CPU;
    n = is_given ? n : wish->degree;
    if (n <= 1)
        return true;
    struct error why = {0};
    int count = is_cpu ? 0 : cuda_device_count(&why);
    if (count == 0 && !is_given)
        return true; /* of the CPU, or an error when CUDA is opened */
    if (count == 0)
        return fail_field(err, "--num-gpus",
                          "--num-gpus %lld: must be 1 or 0 on the CPU, which is used as %s",
                          (long long)n, is_cpu ? "--backend cpu asks for it" : why.text);
    if (wish->device_id + n <= count)
        return true;
    const char *option = is_given ? "--num-gpus" : "--ulysses-degree";
    return fail_field(err, option,
                      "%s %lld from --device-id %lld: %d CUDA device%s, must be %lld at most",
                      option, (long long)n, (long long)wish->device_id, count,
                      count == 1 ? " answers" : "s answer",
                      (long long)(count > wish->device_id ? count - wish->device_id : 0));
}

bool backends_is_lost(struct backend *b) { return strcmp(b->name, "cuda") == 0 && cuda_is_lost(b); }

double backends_peak_flops(struct backend *b, double seconds)
{
    const int n_slices = 10;
    double best = 0;
    for (int i = 0; i < n_slices && strcmp(b->name, "cpu") == 0; i++)
        best = fmax(best, cpu_peak_flops(b, seconds / n_slices));
    return best;
}

/* Each rank of a team has a model of its own: on its device, or all of them in host memory. */
struct memory_room backends_room(struct backend *b)
{
    int n = team_size(b->team);
    size_t host_bytes = memory_check_host() / (size_t)n, bytes = host_bytes;
    bool is_device = strcmp(b->name, "cuda") == 0;
    for (int rank = 0; rank < n && is_device; rank++) {
        size_t left = cuda_memory_available(rank == 0 ? b : team_backend(b->team, rank));
        bytes = rank == 0 || left < bytes ? left : bytes;
    }
    return (struct memory_room){.bytes = bytes,
                                .host_bytes = host_bytes,
                                .is_device = is_device,
                                .takes_quantised = b->takes_quantised,
                                .compute = b->compute};
}

double backends_peak_thread_flops(struct backend *b, double seconds)
{
    return strcmp(b->name, "cpu") == 0 ? cpu_peak_thread_flops(b, seconds) : 0;
}
