/* The pieces of a chart as SVG: a frame with two axes, and shapes in the units of the data. Colours
 * come from the page's style by class, so that light and dark need no second drawing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct report_html_axis {
    double from, to; /* from < to; both above 0 when is_log */
    bool is_log;
    bool is_count;             /* no ticks between whole numbers */
    const char *const *labels; /* not owned: plain texts at 0, 1, ... instead of numbers; or NULL */
    size_t n_labels;
};

/* One chart; positions are units of its view box, y downwards. */
struct report_html_chart {
    struct buf *out; /* not owned */
    double width, height;
    double left, right, top, bottom; /* edges of the plot */
    struct report_html_axis x, y;
};

/* An axis that holds the values: logarithmic when they differ by more than a factor of 40. */
struct report_html_axis report_html_axis_for(double least, double greatest);
/* From 0 to a bit above greatest. */
struct report_html_axis report_html_axis_from_zero(double greatest);

/* Places for n names, at 0, 1, ... n - 1. */
struct report_html_axis report_html_axis_names(const char *const *labels, size_t n);

/* Place the plot in a view box, open the SVG and draw the axes; titles are plain text. */
void report_html_chart_begin(struct report_html_chart *c, const char *label, const char *x_title,
                             const char *y_title);
void report_html_chart_end(struct report_html_chart *c);

double report_html_chart_x(const struct report_html_chart *c, double value);
double report_html_chart_y(const struct report_html_chart *c, double value);

/* A path: points one by one, NaN breaks the line. Begin with `is_open` false. */
void report_html_chart_point(struct report_html_chart *c, bool *is_open, double x, double y);

/* Append a number for people: at most four figures, thousands separated. */
void report_html_number(struct buf *out, double value);
/* Append text with what HTML would read as markup escaped; control characters become spaces,
 * malformed UTF-8 U+FFFD. Good for content and for quoted attributes. */
void report_html_escape(struct buf *out, const char *text);
