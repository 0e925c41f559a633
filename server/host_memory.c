/* Linux tells what is left in /proc/meminfo, and a container's limit in its control group. */
#include "server/host_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "server/plan_fit.h"

enum { SMALL_SIDE_PX = 256 };

/* "Key:   123 kB" of /proc/meminfo in bytes, or 0. */
static size_t read_kib(const char *meminfo, const char *key)
{
    const char *at = strstr(meminfo, key);
    return at ? (size_t)strtoull(at + strlen(key), NULL, 10) << 10 : 0;
}

size_t host_memory_available(void)
{
    struct buf meminfo = {0}, limit = {0};
    size_t bytes = 0;
    if (file_read(&meminfo, "/proc/meminfo", NULL) && meminfo.data)
        bytes = read_kib(meminfo.data, "MemAvailable:") + read_kib(meminfo.data, "SwapFree:");
    if (file_read(&limit, "/sys/fs/cgroup/memory.max", NULL) && limit.data) {
        size_t most = (size_t)strtoull(limit.data, NULL, 10); /* "max": 0, no limit */
        if (most > 0 && most < bytes)
            bytes = most;
    }
    buf_free(&meminfo);
    buf_free(&limit);
    return bytes;
}

bool host_memory_check(const char *model, const struct flux_load *load, enum dtype compute,
                       struct error *err)
{
    struct flux_plan_query query = {.width_px = SMALL_SIDE_PX,
                                    .height_px = SMALL_SIDE_PX,
                                    .steps = 1,
                                    .batch = 1,
                                    .compute = compute,
                                    .load = *load};
    size_t available = host_memory_available();
    struct flux_plan plan;
    struct plan_fit fit;
    if (available == 0)
        return true;
    if (!flux_plan(model, &query, &plan, err) ||
        !plan_fit(&fit, model, &query, &plan, available, err))
        return false;
    if (fit.total_bytes <= available)
        return true;
    struct buf remedies = {0};
    for (int i = 0; i < fit.n_remedies; i++)
        buf_printf(&remedies, "%s%s", i ? ", or with " : "; it would fit with ",
                   fit.remedies[i].options);
    fail(err, ERR_MEMORY,
         "the model needs %.1f GiB for its weights and an image of %dx%d, and %.1f GiB of memory "
         "are available%s",
         (double)fit.total_bytes / 0x1p30, SMALL_SIDE_PX, SMALL_SIDE_PX, (double)available / 0x1p30,
         remedies.data ? remedies.data : "; no option makes it fit");
    buf_free(&remedies);
    return false;
}
