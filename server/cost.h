/* What images cost in arithmetic, as the plan (flux.h) counts it, and what the device can do. Told
 * in answers and in /v1/models, so that a client can judge its numbers. Any thread may call. */
#pragma once

#include "base/json.h"
#include "flux/flux.h"

struct cost;

/* model and load as flux_open_as() takes them; both must outlive the result. load may be NULL. */
struct cost *cost_open(const char *model, const struct flux_load *load);
void cost_close(struct cost *c); /* NULL is fine */

/* Tell the type of activations, and the f32 operations a second that were measured: 0, nothing. The
 * peak counts for f32 only: other types may have faster units. Call before the first cost_flops. */
void cost_set_device(struct cost *c, enum dtype compute, double peak_flops);

/* Floating-point operations of a request that has ended: matrix products, convolutions and
 * attention, a multiply-add is two. Encoding a picture to start from is not in it. NaN: the plan
 * failed. A size is planned once and remembered. */
double cost_flops(struct cost *c, const struct flux_spec *spec, const struct flux_result *result);

/* Add to a model's entry: parameters, weight_bytes, step_weight_bytes (of the transformer, in the
 * type that the device keeps), flops_per_step and flops_per_image at the default size and steps,
 * dtype, and device_peak_flops when it was measured. */
void cost_put_model(struct cost *c, struct json *model);
