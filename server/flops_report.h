/* What a run of the pipeline achieved. */
#pragma once

#include "flux/flux.h"

/* Print to stderr, for each stage of a run that has ended, the floating-point operations that the
 * plan counts (matrix products, convolutions and attention; a multiply-add is two), the seconds it
 * took by the clock, their ratio, and on a CPU the share of the peak that is measured here, in half
 * a second. cpu_s: processor seconds of the run, all threads together. model and load as
 * flux_open_as() had them. */
bool flops_report(const char *model, const struct flux_load *load, const struct flux_spec *spec,
                  const struct flux_result *result, struct backend *b, double cpu_s,
                  struct error *err);
