/* report.html: a run on one page, with everything inside it. No script, no file from elsewhere, and
 * a content policy that forbids both.
 *
 * The page is made of the summary (the tree of profile_export_aiperf.json), what the charts show,
 * and pictures; `profile` has them in memory, `plot` reads them from files. */
#pragma once

#include "base/json.h"
#include "client/report_html_data.h"
#include "client/report_html_images.h"

#define REPORT_HTML_FILE "report.html"

/* Append the page. manifest (run_manifest.json) and series (telemetry_series.json) may be NULL. */
void report_html_print(struct buf *out, const struct json *summary, const struct json *manifest,
                       const struct json *series, const struct report_html_data *data,
                       const struct report_html_images *images);

/* Append the page of a run that has just ended; summary, manifest and series are the texts of its
 * files, series may be empty. */
bool report_html(struct buf *out, const struct report *r, const struct buf *summary,
                 const struct buf *manifest, const struct buf *series,
                 const struct report_html_images *images, struct error *err);
