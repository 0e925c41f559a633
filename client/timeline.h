/* Named values over time, in columns: each look at a source is a column with its moment, each
 * series a row. The same for the metrics of a server, of GPUs and of this process.
 *
 * Memory is bounded: with TIMELINE_MAX_COLUMNS columns every second one is dropped, and `stride`
 * tells how much rarer looks should become; series beyond TIMELINE_MAX_SERIES are counted only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/prometheus.h"
#include "client/stats.h"

#define TIMELINE_MAX_COLUMNS 4096
#define TIMELINE_MAX_SERIES 4000

struct timeline_series {
    char *name; /* owned, as all here */
    struct prometheus_label *labels;
    size_t n_labels;
    double *values; /* one a column; NaN: not there */
};

struct timeline_family {
    char *name, *help; /* help: NULL when not told */
    enum prometheus_type type;
};

struct timeline {
    int64_t *at_ns;   /* rising */
    int64_t *took_ns; /* how long each look took; 0: not told */
    size_t n_columns, capacity;
    struct timeline_series *series;
    size_t n_series, n_refused;
    struct timeline_family *families;
    size_t n_families;
    size_t cursor;   /* series of the last put: the next one is likely to be the next put's */
    int64_t stride;  /* 1, 2, 4, ... */
    double *scratch; /* for statistics */
};

/* Begin a column. */
void timeline_begin(struct timeline *t, int64_t at_ns);
/* Put a value into it. Infinite values count as absent. */
void timeline_put(struct timeline *t, const struct prometheus_sample *sample);
/* The same with at most one label (NULL: none). */
void timeline_put_one(struct timeline *t, const char *name, const char *label, const char *text,
                      double value);
void timeline_type(struct timeline *t, const char *family, enum prometheus_type type);
void timeline_help(struct timeline *t, const char *family, const char *text);
/* A column from a Prometheus text. Returns how many lines were not understood. */
size_t timeline_scrape(struct timeline *t, int64_t at_ns, const char *text, size_t size);
void timeline_free(struct timeline *t);

/* The value of a label, or NULL. */
const char *timeline_label(const struct timeline_series *s, const char *name);
/* The first series of that name (and label, unless NULL), or NULL. */
struct timeline_series *timeline_find(const struct timeline *t, const char *name, const char *label,
                                      const char *text);
/* The family that a sample's name belongs to: by its own name, or, for histograms and summaries,
 * without _bucket, _sum or _count; NULL: no line told of it. */
const struct timeline_family *timeline_family_of(const struct timeline *t, const char *name);

/* A level in a window: what was seen from from_ns to to_ns; seen at no time in it, the value
 * before counts. std is that of a sample (n - 1). False: there is no value. */
struct timeline_level {
    struct stats stats;
    double last;
};
bool timeline_level(struct timeline *t, const struct timeline_series *s, int64_t from_ns,
                    int64_t to_ns, struct timeline_level *out);

/* How much a counter rose from the last look before the window to the first one after it (else the
 * outermost within), and the time between the two. A fall is a restart: counting began again at 0.
 * False: fewer than two looks. */
bool timeline_rise(const struct timeline *t, const struct timeline_series *s, int64_t from_ns,
                   int64_t to_ns, double *rise, double *seconds);
