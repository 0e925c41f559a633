/* The files of a run that hold telemetry. Each is there only when a source told something. */
#pragma once

#include "client/report.h"

void artifacts_telemetry_remove(const struct options *o);
/* series: the text of telemetry_series.json. */
bool artifacts_telemetry_write(const struct report *r, const struct buf *series, struct error *err);
/* Name those that were written on stdout. */
void artifacts_telemetry_print(const struct report *r);
