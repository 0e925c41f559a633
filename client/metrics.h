/* The metrics: one row of one table each, from which the console, JSON, CSV and JSONL reports are
 * written. Tags, names, units and formulas are AIPerf's where it has the metric; docs/client.md
 * lists them all. To add a metric, add a row. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "client/kept.h"
#include "client/quantiles.h"
#include "client/record.h"
#include "client/stats.h"

enum metric_kind {
    METRIC_RECORD, /* one value per request, reported as a distribution */
    METRIC_SCALAR, /* one value per run (stats.avg) */
    METRIC_STEPS,  /* a level over time, weighted by time */
};

/* The console table it stands in. */
enum metric_table {
    TABLE_NONE,
    TABLE_EFFECTIVE,
    TABLE_USAGE,
    TABLE_MAIN,
    TABLE_TIMING,
    TABLE_STAGES,
    TABLE_IMAGES
};

struct metrics_input;

struct metric {
    const char *tag, *name, *unit;
    enum metric_kind kind;
    enum metric_table table;
    bool in_jsonl;         /* a record line has it */
    bool is_integer;       /* printed without fraction in a record line */
    bool is_larger_better; /* decides the direction of a --goodput objective */
    bool is_run_wide;      /* needs the whole run: absent from time slices */
    /* METRIC_RECORD: the value of one request in the unit above; false: it has none. */
    bool (*get)(const struct record *r, double *value);
    /* The others: fill s; false: the metric is absent from this run. */
    bool (*compute)(const struct metrics_input *in, struct stats *s);
};

/* The table. Rows are in the order of the console; metric_find wants an exact tag. */
extern const struct metric METRICS[];
extern const size_t N_METRICS;
const struct metric *metric_find(const char *tag);

/* A --goodput objective, in the unit of its metric. */
struct metrics_objective {
    const struct metric *metric;
    double limit;
};

/* Read "tag:limit tag:limit ..." into a new list (owned by the caller). */
bool metrics_parse_goodput(const char *text, struct metrics_objective **out, size_t *n,
                           struct error *err);
/* True when a successful request meets all objectives. */
bool metrics_is_good(const struct record *r, const struct metrics_objective *objectives, size_t n);

/* A request is late when it is handed to the transport more than this after its due time. */
#define METRICS_LATE_NS INT64_C(1000000)

/* What statistics are taken over: the requests of one phase (or slice) and its window. */
struct metrics_input {
    struct record *const *records; /* judged, canceled ones not among them */
    size_t n_records;
    struct record *const *flights; /* all requests that may be in flight in the window */
    size_t n_flights;
    const struct kept *kept;  /* where they lie, or NULL */
    int64_t start_ns, end_ns; /* the window that rates divide by */
    int64_t n_canceled, n_unsent;
    int64_t n_held, held_ns; /* as in struct load_result */
    bool has_objectives;
    bool is_replay; /* of a fixed schedule */
    bool is_slice;
};

static inline const struct record *metrics_record(const struct metrics_input *in, size_t i)
{
    kept_pass(in->kept, i);
    return in->records[i];
}

static inline const struct record *metrics_flight(const struct metrics_input *in, size_t i)
{
    kept_pass(in->kept, i);
    return in->flights[i];
}

struct metric_value {
    const struct metric *metric;
    struct stats stats;
    bool has_quantiles; /* distributions of a whole phase */
    struct quantile quantiles[N_QUANTILES];
};

struct metrics {
    struct metric_value *values; /* owned: metrics_free; table order, absent ones left out */
    size_t n_values;
};

void metrics_compute(struct metrics *out, const struct metrics_input *in);
void metrics_free(struct metrics *m);
const struct metric_value *metrics_get(const struct metrics *m, const char *tag);
