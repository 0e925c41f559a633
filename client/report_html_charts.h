/* The charts of report.html, each in a card with its title and legend. Charts without data are left
 * out. */
#pragma once

#include "base/buf.h"
#include "client/report_html_data.h"

void report_html_charts(struct buf *out, const struct report_html_data *d);

/* Single ones, for data that has successes (the last: with stages). */
void report_html_histogram(struct buf *out, const struct report_html_data *d);
void report_html_cdf(struct buf *out, const struct report_html_data *d);
void report_html_stages(struct buf *out, const struct report_html_data *d);

/* An end of the 95 % band of the distribution function at a percentile, 0 < rank < 100, among n
 * sorted values; NaN where n is too small for one. */
double report_html_band(const double *sorted, size_t n, double rank, bool is_high);
