/* What the charts of report.html show, in bounded memory: requests are added one by one and
 * gathered in columns of time; a success also leaves one small sample for the distributions. The
 * same requests give the same columns, whatever their order (but for rounding of levels). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "client/report.h"

#define REPORT_HTML_COLUMNS 240
#define REPORT_HTML_PARTS 10
#define REPORT_HTML_MAX_DOTS 400 /* up to so many successes, each is a dot of its own */

/* The parts of a response time, in the order in which they happen. */
struct report_html_part {
    const char *tag; /* of the metric */
    const char *name;
};
extern const struct report_html_part REPORT_HTML_PART[REPORT_HTML_PARTS];

enum report_html_series {
    REPORT_HTML_RESPONSE, /* from the due time */
    REPORT_HTML_LATENCY,  /* from the start */
    REPORT_HTML_SERIES
};

/* One request of the measurement. Times are seconds on one clock, whatever its origin. */
struct report_html_point {
    double due_s, start_s, end_s;
    bool succeeded;                /* the values below exist */
    double ms[REPORT_HTML_SERIES]; /* how long it took */
    bool has_parts;                /* the server told its stages */
    double part_ms[REPORT_HTML_PARTS];
};

struct report_html_sample {
    float due_s; /* since the start of the window */
    float ms[REPORT_HTML_SERIES];
    unsigned short column;
};

/* A slice of the window. Requests belong to the column in which they were due. */
struct report_html_column {
    size_t n, n_failed; /* successes; canceled requests are among the failures */
    double min_ms[REPORT_HTML_SERIES], median_ms[REPORT_HTML_SERIES], max_ms[REPORT_HTML_SERIES];
    double in_flight, queued, waiting; /* mean levels: sent; in the server's queue; due, not sent */
    size_t n_parts;                    /* requests that the sums below are of */
    double part_ms[REPORT_HTML_PARTS];
};

struct report_html_data {
    double from_s, to_s; /* the window */
    struct report_html_column columns[REPORT_HTML_COLUMNS];
    double changes[3][REPORT_HTML_COLUMNS + 1]; /* of the three levels, before _finish */
    struct report_html_sample *samples;         /* owned; successes. After _finish NULL when they
                                                 * are more than REPORT_HTML_MAX_DOTS, else by due time */
    size_t n_samples, n_failed, n_parts, capacity;
    double *sorted[REPORT_HTML_SERIES]; /* owned, by _finish: n_samples values in ms */
    bool is_late; /* a request started late: its response time is not its latency */
};

/* Start with an empty window from the first due time to the last end. */
void report_html_data_begin(struct report_html_data *d, double from_s, double to_s);
/* What the server's total has beyond the stages that it told becomes part of "other". */
void report_html_data_close_parts(struct report_html_point *p, double server_total_ms);
void report_html_data_add(struct report_html_data *d, const struct report_html_point *p);
/* Compute medians, levels and sorted values; nothing may be added afterwards. */
void report_html_data_finish(struct report_html_data *d);
void report_html_data_free(struct report_html_data *d);

/* All three for the requests of a phase, canceled ones included. */
void report_html_data_fill(struct report_html_data *d, const struct report_phase *phase);

/* Width of a column in seconds. */
double report_html_data_width_s(const struct report_html_data *d);
