/* Whether a planned run fits into a device's memory, and which options would make it fit. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "flux/flux.h"

/* "24GiB", "80GB", "512MiB" or bytes. False when text is no size above 0. */
bool plan_fit_parse(const char *text, size_t *bytes);

enum { PLAN_FIT_MAX_REMEDIES = 12 };

/* What it has to fit into. */
struct plan_target {
    size_t bytes;
    bool has_host;        /* apart from host memory, where weights may stay */
    bool takes_quantised; /* computes with quantised weights */
};

struct plan_fit {
    size_t device_bytes, total_bytes; /* weights on the device, buffers for others, scratch */
    struct plan_remedy {
        char options[96]; /* as they are written on the command line */
        size_t total_bytes;
    } remedies[PLAN_FIT_MAX_REMEDIES]; /* each alone makes it fit */
    int n_remedies;
};

/* The weights as a device keeps them: f32 ones are rounded to bf16 when that is what it computes
 * in. */
size_t plan_fit_weight_bytes(const struct flux_plan_part *part, enum dtype compute);
/* Those of them that are there all the time. */
size_t plan_fit_device_bytes(const struct flux_plan_part *part, enum dtype compute);

/* Compare plan, which flux_plan() made of model and query, with the device, and try options when
 * it is too large. */
bool plan_fit(struct plan_fit *fit, const char *model, const struct flux_plan_query *query,
              const struct flux_plan *plan, const struct plan_target *target, struct error *err);

/* Append the remedies as the end of a message: "; it would fit with A, or with B". */
void plan_fit_name(const struct plan_fit *fit, struct buf *out);

/* Text to stdout, or a JSON object. */
void plan_fit_print(const struct plan_fit *fit, const struct flux_plan_query *query,
                    const struct flux_plan *plan);
struct json *plan_fit_json(const struct plan_fit *fit);
