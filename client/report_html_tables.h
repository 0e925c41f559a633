/* The numbers of report.html: the rows of the metric table, read back from the summary of a run and
 * shown in the sections of the console. */
#pragma once

#include "base/json.h"
#include "client/metrics.h"

/* Read the metrics of a summary (the content of profile_export_aiperf.json) into values in table
 * order; metrics_free. What is absent there is absent here. */
void report_html_read_metrics(struct metrics *out, const struct json *summary);

/* The few figures that matter, as tiles. */
void report_html_tiles(struct buf *out, const struct metrics *m);
/* All tables: metrics by section, then percentiles with intervals. */
void report_html_tables(struct buf *out, const struct metrics *m);
