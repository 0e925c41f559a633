/* What the files say about GPUs: telemetry_data of the summary, its section of the CSV, and
 * gpu_telemetry_export.jsonl, a line for each GPU and look. Keys are AIPerf's. */
#pragma once

#include "base/json.h"
#include "client/report.h"
#include "client/telemetry.h"

/* The value of "telemetry_data" over the window of the main phase; the caller frees it. */
struct json *gpu_export_summary(const struct report *r);
/* Section 3 of the CSV. */
void gpu_export_csv(struct buf *out, const struct report *r);
void gpu_export_lines(struct buf *out, const struct report *r);
