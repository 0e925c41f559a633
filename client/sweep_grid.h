/* What `fluxperf sweep` varies: every combination of the values of its --over options. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "client/runs_args.h"

#define SWEEP_MAX_AXES 4

struct sweep_axis {
    char *name; /* owned: as the user wrote it, less the dashes */
    char *key;  /* owned: the option "--concurrency", or the field of the request */
    bool is_field;
    char **values; /* owned */
    size_t n_values;
};

/* Zero-initialise; sweep_grid_free. */
struct sweep_grid {
    struct sweep_axis axes[SWEEP_MAX_AXES];
    size_t n_axes;
};

/* Add "NAME=V1,V2,...". NAME is an option of profile, with or without dashes, else a field of the
 * request body ("steps" stands for num_inference_steps). Fails on anything malformed, on a value
 * given twice, and on an option that can't be varied. */
bool sweep_grid_add(struct sweep_grid *g, const char *text, struct error *err);
void sweep_grid_free(struct sweep_grid *g);

/* Points: the product of the numbers of values; SIZE_MAX when that is more. The last axis varies
 * fastest. */
size_t sweep_grid_size(const struct sweep_grid *g);
/* The index of a point's value on an axis. */
size_t sweep_grid_at(const struct sweep_grid *g, size_t point, size_t axis);
const char *sweep_grid_value(const struct sweep_grid *g, size_t point, size_t axis);

/* Add the options of a point to a command line of profile. */
void sweep_grid_set(const struct sweep_grid *g, size_t point, struct runs_args *args);

/* True when all values are numbers: positions on an axis, else names. */
bool sweep_grid_is_numeric(const struct sweep_axis *a);
