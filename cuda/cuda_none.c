/* The CUDA back end of a build without CUDA: it says so. */
#include "cuda/cuda.h"

#include <stddef.h>

bool cuda_open(struct backend **out, const struct cuda_options *options, struct error *err)
{
    *out = NULL;
    return fail(err, ERR_DEVICE,
                "CUDA device %d: this build has no CUDA back end; use --backend cpu",
                options->device_id);
}

bool cuda_open_team(struct backend **out, const struct cuda_options *options, int n,
                    struct error *err)
{
    (void)n;
    return cuda_open(out, options, err);
}

bool cuda_is_lost(struct backend *b)
{
    (void)b;
    return false;
}

size_t cuda_memory_available(struct backend *b)
{
    (void)b;
    return 0;
}

int cuda_device_count(struct error *err)
{
    fail(err, ERR_DEVICE, "this build has no CUDA back end");
    return 0;
}
