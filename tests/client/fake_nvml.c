/* Stands in for libnvidia-ml.so.1: one GPU whose figures are in the file that FAKE_NVML_STATE
 * names: milliwatts, millijoules (-1: not supported), percent, throttle bits. Without the file it
 * has no driver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS, NOT_SUPPORTED = 3, NO_DRIVER = 9 };

struct utilization {
    unsigned gpu, memory;
};
struct memory {
    unsigned long long total, free, used;
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *n);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out);
int nvmlDeviceGetName(void *d, char *text, unsigned size);
int nvmlDeviceGetUUID(void *d, char *text, unsigned size);
int nvmlDeviceGetPowerUsage(void *d, unsigned *mw);
int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *mj);
int nvmlDeviceGetUtilizationRates(void *d, struct utilization *out);
int nvmlDeviceGetMemoryInfo(void *d, struct memory *out);
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *celsius);
int nvmlDeviceGetClockInfo(void *d, int type, unsigned *mhz);
int nvmlDeviceGetCurrentClocksThrottleReasons(void *d, unsigned long long *bits);

static int device;

static int read_state(long long figures[4])
{
    memset(figures, 0, 4 * sizeof *figures);
    const char *path = getenv("FAKE_NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[200] = "";
    int n = 0;
    if (file && fgets(line, sizeof line, file)) {
        char *at = line, *end = line;
        for (; n < 4; n++, at = end) {
            figures[n] = strtoll(at, &end, 10);
            if (end == at)
                break;
        }
    }
    if (file)
        fclose(file);
    return n == 4 ? SUCCESS : NO_DRIVER;
}

int nvmlInit_v2(void)
{
    long long figures[4];
    return read_state(figures);
}

int nvmlShutdown(void) { return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *n)
{
    *n = 1;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out)
{
    *out = &device;
    return index == 0 ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetName(void *d, char *text, unsigned size)
{
    (void)d;
    snprintf(text, size, "NVIDIA H100 80GB HBM3");
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *d, char *text, unsigned size)
{
    (void)d;
    snprintf(text, size, "GPU-fake");
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *d, unsigned *mw)
{
    long long figures[4];
    (void)d;
    int code = read_state(figures);
    *mw = (unsigned)figures[0];
    return code;
}

int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *mj)
{
    long long figures[4];
    (void)d;
    int code = read_state(figures);
    *mj = (unsigned long long)figures[1];
    return code == SUCCESS && figures[1] < 0 ? NOT_SUPPORTED : code;
}

int nvmlDeviceGetUtilizationRates(void *d, struct utilization *out)
{
    long long figures[4];
    (void)d;
    int code = read_state(figures);
    *out = (struct utilization){(unsigned)figures[2], 7};
    return code;
}

int nvmlDeviceGetMemoryInfo(void *d, struct memory *out)
{
    (void)d;
    *out = (struct memory){80000000000, 60000000000, 20000000000};
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *celsius)
{
    (void)d;
    *celsius = 55;
    return sensor == 0 ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetClockInfo(void *d, int type, unsigned *mhz)
{
    (void)d;
    *mhz = type == 1 ? 1755 : 2619;
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *d, unsigned long long *bits)
{
    long long figures[4];
    (void)d;
    int code = read_state(figures);
    *bits = (unsigned long long)figures[3];
    return code;
}
