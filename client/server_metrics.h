/* The metrics that servers told while the load ran, summarised over the window of the measurement:
 * server_metrics_export.json and .csv, with AIPerf's keys. */
#pragma once

#include "client/report.h"
#include "client/telemetry.h"

#define SERVER_METRICS_SCHEMA_VERSION "1.1"

struct server_metric_bucket {
    const char *le;      /* as the server writes it */
    double bound, count; /* upper bound; rise within the window, cumulated over lower buckets */
};

/* One series, or the parts of one histogram. Strings and labels are the timeline's. */
struct server_metric {
    const struct telemetry_source *source;
    char *name; /* owned: of the family, a counter's without _total */
    const char *help;
    enum prometheus_type type;
    const struct prometheus_label *labels; /* le and quantile are left out by whoever prints */
    size_t n_labels;
    struct timeline_level level;          /* gauge, unknown */
    double rise, seconds;                 /* counter */
    double count, sum;                    /* histogram, summary: rises within the window */
    double estimates[STATS_PERCENTILES];  /* of a histogram; NaN: no observation */
    struct server_metric_bucket *buckets; /* owned; rising bounds */
    size_t n_buckets;
};

struct server_metrics {
    struct server_metric *items; /* owned; in the servers' order */
    size_t n;
};

/* telemetry_stop must have been called. */
void server_metrics_compute(struct server_metrics *out, struct telemetry *t, int64_t from_ns,
                            int64_t to_ns);
void server_metrics_free(struct server_metrics *m);

/* The value below which a share (0 to 1) of the observations lies: linear within a bucket, the
 * lowest one begins at 0 unless its bound is negative; in the one to infinity, its lower bound.
 * NaN: no observation. Source: Prometheus, histogram_quantile(). */
double server_metrics_quantile(const struct server_metric_bucket *buckets, size_t n, double share);

/* "seconds", "bytes", ... from the name, or NULL. */
const char *server_metrics_unit(const char *name);

/* True when a server told metrics. */
bool server_metrics_exist(const struct telemetry *t);
/* Both take what server_metrics_compute made for the main phase. */
void server_metrics_json(struct buf *out, const struct server_metrics *m, const struct report *r);
void server_metrics_csv(struct buf *out, const struct server_metrics *m, const struct report *r);
/* localhost:9400 for http://localhost:9400/metrics. */
void server_metrics_put_endpoint(struct buf *out, const char *url);
