/* Operations of one back end against another, on the user's machine: are they right, how fast are
 * they? Knows no particular back end; a device is compared with the CPU. */
#pragma once

#include "tensor/ops.h"

struct selftest_result {
    const char *op;
    char shape[64];
    double nmse, bound;           /* of a comparison: normalised mean squared error, allowed */
    double seconds, flops, bytes; /* of a timing: of one call */
    bool is_ok;
};

/* Called once per result, in order. */
typedef void (*selftest_fn)(void *context, const struct selftest_result *result);

/* Run every operation on both back ends, which must have the same compute type, at ragged, exact
 * and single-row sizes, and compare. False with the first mismatch in err; all are reported. Takes
 * the back ends over and closes them, since they hold weights that end with the test. */
bool selftest_ops(struct backend *device, struct backend *reference, selftest_fn report,
                  void *context, struct error *err);

/* Time the operations of one FLUX.1 step and of the decoder for a picture of size_px. Needs about
 * 2 GiB of device memory at 1024. False when the device fails. Closes the back end. */
bool selftest_bench(struct backend *device, int64_t size_px, selftest_fn report, void *context,
                    struct error *err);
