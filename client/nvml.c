/* Only functions that every driver since R450 has; one that is missing or refuses leaves its field
 * out. Source of names, types and units: NVML API reference, nvml.h. */
#include "client/nvml.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define LIBRARY "libnvidia-ml.so.1"
#define NAME_SIZE 96
#define MAX_GPUS 64
enum { NVML_SUCCESS, TEMPERATURE_GPU = 0, CLOCK_SM = 1, CLOCK_MEM = 2 };

typedef void *device;
struct utilization {
    unsigned gpu, memory;
};
struct memory {
    unsigned long long total, free, used;
};

struct nvml {
    void *library;
    bool is_started;
    unsigned n;
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *n);
    int (*handle)(unsigned index, device *out);
    int (*name)(device d, char *text, unsigned size);
    int (*uuid)(device d, char *text, unsigned size);
    int (*power)(device d, unsigned *mw);
    int (*energy)(device d, unsigned long long *mj);
    int (*utilization)(device d, struct utilization *out);
    int (*memory)(device d, struct memory *out);
    int (*temperature)(device d, int sensor, unsigned *celsius);
    int (*clock)(device d, int type, unsigned *mhz);
    int (*throttle)(device d, unsigned long long *bits);
};

static const struct {
    const char *name;
    size_t offset;
    bool is_needed;
} SYMBOLS[] = {
    {"nvmlInit_v2", offsetof(struct nvml, init), true},
    {"nvmlShutdown", offsetof(struct nvml, shutdown), true},
    {"nvmlDeviceGetCount_v2", offsetof(struct nvml, count), true},
    {"nvmlDeviceGetHandleByIndex_v2", offsetof(struct nvml, handle), true},
    {"nvmlDeviceGetName", offsetof(struct nvml, name), true},
    {"nvmlDeviceGetUUID", offsetof(struct nvml, uuid), true},
    {"nvmlDeviceGetPowerUsage", offsetof(struct nvml, power), false},
    {"nvmlDeviceGetTotalEnergyConsumption", offsetof(struct nvml, energy), false},
    {"nvmlDeviceGetUtilizationRates", offsetof(struct nvml, utilization), false},
    {"nvmlDeviceGetMemoryInfo", offsetof(struct nvml, memory), false},
    {"nvmlDeviceGetTemperature", offsetof(struct nvml, temperature), false},
    {"nvmlDeviceGetClockInfo", offsetof(struct nvml, clock), false},
    {"nvmlDeviceGetCurrentClocksThrottleReasons", offsetof(struct nvml, throttle), false},
};

static bool bind(struct nvml *n, struct error *err)
{
    for (size_t i = 0; i < sizeof SYMBOLS / sizeof SYMBOLS[0]; i++) {
        void *symbol = dlsym(n->library, SYMBOLS[i].name);
        if (!symbol && SYMBOLS[i].is_needed)
            return fail(err, ERR_DEVICE, LIBRARY " lacks %s", SYMBOLS[i].name);
        memcpy((char *)n + SYMBOLS[i].offset, &symbol, sizeof symbol); /* as POSIX allows */
    }
    return true;
}

static bool start(struct nvml *n, struct error *err)
{
    int code = n->init();
    if (code != NVML_SUCCESS)
        return fail(err, ERR_DEVICE, "nvmlInit_v2 gave %d: no usable driver", code);
    n->is_started = true;
    if (n->count(&n->n) != NVML_SUCCESS || n->n == 0)
        return fail(err, ERR_DEVICE, LIBRARY " knows no GPU");
    n->n = n->n < MAX_GPUS ? n->n : MAX_GPUS;
    return true;
}

bool nvml_open(struct nvml **out, struct error *err)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fail(err, ERR_NOT_FOUND, "there is no " LIBRARY);
    struct nvml *n = xcalloc(1, sizeof *n);
    n->library = library;
    if (!bind(n, err) || !start(n, err)) {
        nvml_close(n);
        return false;
    }
    *out = n;
    return true;
}

void nvml_close(struct nvml *n)
{
    if (!n)
        return;
    if (n->is_started)
        n->shutdown();
    dlclose(n->library);
    free(n);
}

static size_t put(struct gpus *g, const char *uuid, const char *field, double value)
{
    gpus_put(g, uuid, field, value);
    return 1;
}

static size_t sample_one(const struct nvml *n, device d, struct gpus *g, const char *uuid)
{
    unsigned value;
    unsigned long long wide;
    struct utilization busy;
    struct memory memory;
    size_t k = 0;
    if (n->power && n->power(d, &value) == NVML_SUCCESS)
        k += put(g, uuid, GPU_POWER, value * 1e-3);
    if (n->energy && n->energy(d, &wide) == NVML_SUCCESS)
        k += put(g, uuid, GPU_ENERGY, (double)wide * 1e-9);
    if (n->utilization && n->utilization(d, &busy) == NVML_SUCCESS) {
        k += put(g, uuid, GPU_UTILIZATION, busy.gpu);
        k += put(g, uuid, "nvidia_memory_utilization", busy.memory);
    }
    if (n->memory && n->memory(d, &memory) == NVML_SUCCESS)
        k += put(g, uuid, "nvidia_memory_used", (double)memory.used * 1e-9);
    if (n->temperature && n->temperature(d, TEMPERATURE_GPU, &value) == NVML_SUCCESS)
        k += put(g, uuid, "nvidia_temperature", value);
    if (n->clock && n->clock(d, CLOCK_SM, &value) == NVML_SUCCESS)
        k += put(g, uuid, "nvidia_sm_clock", value);
    if (n->clock && n->clock(d, CLOCK_MEM, &value) == NVML_SUCCESS)
        k += put(g, uuid, "nvidia_memory_clock", value);
    if (n->throttle && n->throttle(d, &wide) == NVML_SUCCESS)
        k += put(g, uuid, GPU_THROTTLE, (double)wide);
    return k;
}

size_t nvml_sample(struct nvml *n, struct gpus *g, int64_t at_ns)
{
    size_t n_values = 0;
    timeline_begin(&g->timeline, at_ns);
    for (unsigned i = 0; i < n->n; i++) {
        device d;
        char name[NAME_SIZE] = "", uuid[NAME_SIZE] = "";
        if (n->handle(i, &d) != NVML_SUCCESS || n->uuid(d, uuid, sizeof uuid) != NVML_SUCCESS)
            continue;
        if (n->name(d, name, sizeof name) != NVML_SUCCESS)
            strcpy(name, "GPU");
        name[NAME_SIZE - 1] = uuid[NAME_SIZE - 1] = '\0';
        n_values += sample_one(n, d, g, gpus_add(g, uuid, name, NULL, (int)i));
    }
    return n_values;
}
