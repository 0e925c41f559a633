/* What a run of the pipeline achieved. */
#pragma once

#include "flux/flux.h"

/* Processor time of this process so far, all threads together. */
double flops_report_cpu_s(void);

/* Print to stderr, for each stage of a run that has ended, the floating-point operations that the
 * plan counts (matrix products, convolutions and attention; a multiply-add is two), the seconds it
 * took by the clock, their ratio, and on a CPU the share of the peak that is measured here, in half
 * a second. cpu_s is the run's processor time: the last line compares by that, with the peak of one
 * thread, for machines that have other things to do. model and load as flux_open_as() had them. */
bool flops_report(const char *model, const struct flux_load *load, const struct flux_spec *spec,
                  const struct flux_result *result, struct backend *b, double cpu_s,
                  struct error *err);
