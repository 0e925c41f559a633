/* Whether the numbers of a run can be true: the arithmetic that its images take, how much of the
 * device's best that is, and a flag where it is more than everything. */
#pragma once

#include "base/json.h"
#include "client/report.h"
#include "client/telemetry.h"

/* What GET /v1/models of a server tells of its model beyond OpenAI's fields (fluxserve does): NaN
 * and "" for what it does not. */
struct model_info {
    double flops_per_image;   /* at the model's own size and steps */
    double step_weight_bytes; /* of the part that every denoising step reads */
    double peak_flops;        /* of its device, a second, as the server measured */
    char device[128];
    int n_devices; /* 0: not told */
};

/* Read the entry of that model, else the first one. */
void model_info_read(struct model_info *info, const struct json *list, const char *model);
/* The same, asked for. False: the server can't be asked; info is empty. */
bool model_info_fetch(struct model_info *info, const struct options *o, struct error *err);

/* Below that a model may live in a cache, and memory bandwidth bounds nothing. */
#define PHYSICS_CACHE_BYTES (512.0 * 1024 * 1024)

struct physics {
    bool is_known;              /* the FLOPs are; else nothing below is set */
    const char *source;         /* of the FLOPs: "answers", "model", "--model-flops" */
    double flops;               /* of the successful requests of the measurement */
    double flops_per_s;         /* over the window */
    double request_flops_per_s; /* the fastest request: its FLOPs over its own time */

    char device[128];
    const char *device_source; /* "--device", "gpu", "server"; NULL: not known */
    int n_devices;
    double peak_flops;       /* a second, of all of them; NaN: not known */
    const char *peak_source; /* "--device-peak-flops", "table", "measured" */
    double share;            /* flops_per_s / peak */
    double request_share;

    double bandwidth; /* bytes a second, of all; NaN */
    double bound_s;   /* the least time of the request that came closest to its bound: each of its
                       * steps reads the weights once; NaN: not known */
    double bound_request_s; /* what it took */

    bool is_impossible; /* never by a measured peak, which is no limit of nature */
    char why[200];      /* "" or the reason with its numbers */
};

/* info may be NULL. */
void physics_compute(struct physics *p, const struct report *r, const struct model_info *info);
/* "74.4 TFLOP": four figures and a prefix. */
void physics_put_scaled(struct buf *out, double value, const char *unit);
