/* What a finished run reports, and the writers that turn it into text: JSON, CSV, console tables,
 * time slices. Writers only append to buffers; profile.c decides where that goes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "client/load.h"
#include "client/metrics.h"
#include "client/options.h"

#define REPORT_MAX_SLICES 10000
#define REPORT_SCHEMA_VERSION "1.4" /* of AIPerf 0.13's summary, whose keys ours has */

/* Failures that look the same. */
struct report_failure {
    const struct record *first; /* code, type and message */
    size_t count;
};

struct calibration;

struct report_phase {
    const char *name; /* "profiling" or "warmup" */
    bool is_warmup;
    bool is_replay; /* of a fixed schedule */
    struct load_result load;
    struct record *const *records; /* not canceled: flights, or chosen when there are such */
    size_t n_records;
    struct record *const *flights; /* with the canceled ones: part of the list of all. Not owned */
    size_t n_flights;
    struct record **chosen;  /* owned list, or NULL */
    const struct kept *kept; /* where the records lie, or NULL; owned by records */
    struct metrics metrics;
    struct report_failure *failures; /* owned */
    size_t n_failures;
};

struct report_slice {
    int64_t start_ns, end_ns; /* monotonic */
    bool is_complete;
    struct metrics metrics;
};

struct telemetry; /* client/telemetry.h */
struct insight;   /* client/insight.h */

#define REPORT_DATE_SIZE 96

struct report {
    const struct options *options;
    const struct calibration *calibration; /* NULL: not measured; owned by profile */
    char benchmark_id[13];
    const char *server_build, *served_model; /* owned by records; NULL: not told */
    int64_t unix_offset_ns;
    bool was_canceled;             /* Ctrl-C */
    const char *incomplete_reason; /* NULL when the run is complete */
    struct report_phase *phases;   /* owned; the last one is the measurement */
    size_t n_phases;
    struct telemetry *telemetry; /* stopped; NULL: none, like the next */
    const struct insight *insight;
    struct report_slice *slices; /* owned */
    size_t n_slices;
};

/* Gather the phase's own records out of all, compute metrics and group failures. phase->load must
 * be set. */
void report_phase_fill(struct report_phase *phase, int index, struct record *const *all,
                       size_t n_all, bool has_objectives);
/* Cut the last phase into slices of that length, from its first request to its last end. Fails when
 * that makes more than REPORT_MAX_SLICES. */
bool report_make_slices(struct report *r, int64_t slice_ns, struct error *err);
void report_free(struct report *r);

const struct report_phase *report_main_phase(const struct report *r);

/* profile_export_aiperf.json of one phase. */
void report_json(struct buf *out, const struct report *r, const struct report_phase *phase);
/* A metric object: {"unit": ..., "avg": ..., ...}, at that depth. */
void report_json_metric(struct buf *out, const struct metric_value *v, int depth);
/* The value of "error_summary". */
void report_json_failures(struct buf *out, const struct report_phase *phase, int depth);
/* The value of "input_config": what the options asked for. */
void report_json_config(struct buf *out, const struct options *o, int depth);
/* phase_manifest.json. */
void report_json_manifest(struct buf *out, const struct report *r);

/* profile_export_aiperf.csv of one phase. */
void report_csv(struct buf *out, const struct metrics *m);
/* Append one cell, quoted when it must be (RFC 4180). */
void report_csv_cell(struct buf *out, const char *text);
/* Statistics by the name of their column; NaN when the metric has none of it. */
double report_stat(const struct metric_value *v, const char *name);
extern const char *const REPORT_STATS[]; /* the columns in order, NULL at the end */

/* Local time as the files have it: ISO 8601 with microseconds and no zone. */
void report_date(char text[REPORT_DATE_SIZE], int64_t unix_ns);

void report_slices_json(struct buf *out, const struct report *r);
void report_slices_csv(struct buf *out, const struct report *r);

/* Append text for a terminal: control characters become spaces, and what is longer than max_chars
 * ends in "...". */
void report_clean_text(struct buf *out, const char *text, size_t max_chars);

/* 12345.678 as "12,345.68", NaN as "N/A"; the caller frees it. */
char *report_format_number(double value);

/* Percentiles with their intervals: the table of the console, and the value of
 * "percentile_intervals" for every distribution. */
void report_console_quantiles(struct buf *out, const struct metrics *m);
void report_json_quantiles(struct buf *out, const struct metrics *m, int depth);

/* The console tables, as they also stand in profile_export_console.txt. */
void report_console(struct buf *out, const struct report *r);
