/* Linux tells what is left in /proc/meminfo, and a container's limit in its control group. */
#include "server/memory_check.h"

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

size_t memory_check_host(void)
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

static double gib(size_t bytes) { return (double)bytes / 0x1p30; }

static bool refuse(const struct plan_fit *fit, const struct memory_room *room, struct error *err)
{
    struct buf remedies = {0};
    plan_fit_name(fit, &remedies);
    fail(err, ERR_MEMORY,
         "the model needs %.1f GiB for its weights and an image of %dx%d, and %.1f GiB of %smemory "
         "are available%s",
         gib(fit->total_bytes), SMALL_SIDE_PX, SMALL_SIDE_PX, gib(room->bytes),
         room->is_device ? "the device's " : "", remedies.data);
    buf_free(&remedies);
    return false;
}

bool memory_check(const char *model, const struct flux_load *load, const struct memory_room *room,
                  struct error *err)
{
    struct flux_plan_query query = {.width_px = SMALL_SIDE_PX,
                                    .height_px = SMALL_SIDE_PX,
                                    .steps = 1,
                                    .batch = 1,
                                    .compute = room->compute,
                                    .load = *load};
    const struct plan_target target = {.bytes = room->bytes,
                                       .has_host = room->is_device,
                                       .takes_quantised = room->takes_quantised};
    struct flux_plan plan;
    struct plan_fit fit;
    if (!room->is_device) /* there everything is in one memory */
        query.load.memory.streams_text_encoders = query.load.memory.streams_transformer = false;
    if (room->bytes == 0)
        return true;
    if (!flux_plan(model, &query, &plan, err) ||
        !plan_fit(&fit, model, &query, &plan, &target, err))
        return false;
    if (fit.total_bytes > room->bytes)
        return refuse(&fit, room, err);
    if (room->host_bytes == 0 || plan.streamed_bytes <= room->host_bytes)
        return true;
    return fail(err, ERR_MEMORY,
                "offloaded weights need %.1f GiB of host memory, and %.1f GiB are available; leave "
                "out --text-encoder-cpu-offload or --dit-layerwise-offload",
                gib(plan.streamed_bytes), gib(room->host_bytes));
}
