/* telemetry_series.json: what the charts of report.html show of telemetry, so that `plot` can draw
 * them again. At most TELEMETRY_SERIES_POINTS means per line, in seconds since the start of the
 * measurement. */
#pragma once

#include "client/report.h"
#include "client/telemetry.h"

#define TELEMETRY_SERIES_FILE "telemetry_series.json"
#define TELEMETRY_SERIES_POINTS 240
#define TELEMETRY_SERIES_LINES 8   /* of a chart */
#define TELEMETRY_SERIES_CHARTS 16 /* of server metrics: those that changed, in their order */

/* {"schema_version": 1, "window_s": 12.5, "charts": [{"title", "unit", "group",
 *   "lines": [{"name", "points": [[seconds, value], ...]}]}]}. Charts without points are left out.
 */
void telemetry_series_json(struct buf *out, const struct report *r);
