/* The cards that charts stand in, and what all charts over time share. */
#pragma once

#include "client/report_html_chart.h"
#include "client/report_html_data.h"

/* View boxes of a card over the whole width and of one of two side by side. */
#define REPORT_HTML_WIDE 1120
#define REPORT_HTML_HALF 548
#define REPORT_HTML_HEIGHT 280

extern const char *const REPORT_HTML_SERIES_NAME[REPORT_HTML_SERIES];

/* Begin a card, name its colours (class of the style sheet, text), end its heading, end it. */
void report_html_card_begin(struct buf *out, const char *title, bool is_wide);
void report_html_card_key(struct buf *out, const char *class, const char *text);
void report_html_card_series(struct buf *out, const struct report_html_data *d);
void report_html_card_chart(struct buf *out);
void report_html_card_end(struct buf *out);

/* Series to show: the second one says the same as the first unless requests started late. */
size_t report_html_data_n_series(const struct report_html_data *d);
/* Seconds since the start of the window at column i plus a share of its width. */
double report_html_data_column_s(const struct report_html_data *d, size_t i, double share);
struct report_html_axis report_html_time_axis(const struct report_html_data *d);

/* An invisible strip over a piece of time that lights up and tells numbers, a line each. */
void report_html_strip_begin(struct report_html_chart *c, double from_s, double to_s);
void report_html_strip_line(struct buf *out, const char *name, double value, const char *unit);
void report_html_strip_end(struct report_html_chart *c);
