/* What servers told, look by look: server_metrics_export.jsonl, with AIPerf's keys. A look that
 * shows nothing new has no line, nor have metrics named x_info. */
#pragma once

#include <stdio.h>

#include "client/report.h"
#include "client/telemetry.h"

/* Write a line for each look at each server. A failure shows in the stream. */
void server_metrics_lines(FILE *out, const struct report *r);
