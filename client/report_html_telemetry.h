/* What report.html shows beside latency: compute, energy and the client's own cost from the
 * summary, and the charts of telemetry_series.json. Both come from files when `plot` draws, so
 * nothing in them is believed: what is not of the right type is passed over. */
#pragma once

#include "base/json.h"

/* A line of figures for each of "physics", "energy" and "client_load" that the summary has, and a
 * flag when a result is impossible or the client was the bottleneck. */
void report_html_insight(struct buf *out, const struct json *summary);
/* A card for each chart; series may be NULL. */
void report_html_telemetry(struct buf *out, const struct json *series);
