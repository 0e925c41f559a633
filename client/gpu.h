/* What is known of GPUs over time, whoever tells it: a DCGM exporter or NVML (client/nvml.h). Names
 * and units of the fields are AIPerf's where it has them. */
#pragma once

#include "client/timeline.h"

struct gpu_field {
    const char *tag, *name, *unit;
    bool is_counter;
    const char *dcgm[2]; /* names of the exporter; NULL: not told by it */
    double dcgm_scale;   /* from its unit to ours */
};
extern const struct gpu_field GPU_FIELDS[];
extern const size_t N_GPU_FIELDS;

#define GPU_POWER "nvidia_power_usage"           /* W */
#define GPU_ENERGY "nvidia_energy_consumption"   /* MJ, since the driver was loaded */
#define GPU_UTILIZATION "nvidia_gpu_utilization" /* % of the time that a kernel ran */
#define GPU_THROTTLE "nvidia_throttle_reasons"   /* bits, see GPU_REASONS */

/* Why clocks are lower than they could be: bits of nvmlClocksThrottleReason*. */
struct gpu_reason {
    unsigned bit;
    const char *name;
    bool is_harmful; /* not idleness, nor somebody's setting */
};
extern const struct gpu_reason GPU_REASONS[];
extern const size_t N_GPU_REASONS;

struct gpu {
    char *uuid, *name, *host; /* owned; host may be NULL */
    int index;
};

/* The GPUs of one source. Series of the timeline are named by field, with the label "gpu": uuid. */
struct gpus {
    struct gpu *items; /* owned */
    size_t n;
    struct timeline timeline;
};

/* Add a GPU unless it is there. Returns its uuid, owned by g. */
const char *gpus_add(struct gpus *g, const char *uuid, const char *name, const char *host,
                     int index);
void gpus_put(struct gpus *g, const char *uuid, const char *field, double value);
/* A column from a DCGM exporter's text. Returns how many values of GPUs were in it. */
size_t gpus_scrape_dcgm(struct gpus *g, int64_t at_ns, const char *text, size_t size);
void gpus_free(struct gpus *g);

/* The share of looks in the window at which each of GPU_REASONS held; false: not told. */
bool gpus_reasons(const struct gpus *g, const char *uuid, int64_t from_ns, int64_t to_ns,
                  double *shares);

/* Energy of all GPUs in a window, and the power that they drew before it. */
struct gpu_energy {
    double total_j; /* by the energy counter where there is one, else power over time */
    double mean_w;
    double idle_w;   /* mean of the looks from idle_from_ns to idle_to_ns; NaN: none */
    double idle_s;   /* from the first to the last of them */
    size_t n_idle;   /* looks, of the GPU that has most */
    double net_j;    /* total less idle power, not below 0; NaN without idle_w */
    bool is_counted; /* by the energy counter */
};
/* Add those of g to e, which began with zeros. False: no GPU of g tells power or energy. */
bool gpu_energy_add(struct gpu_energy *e, struct gpus *g, int64_t idle_from_ns, int64_t idle_to_ns,
                    int64_t from_ns, int64_t to_ns);
