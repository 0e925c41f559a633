/* A service level objective such as "95 % of the requests within 2 s", and whether a sample shows
 * that it is met, that it is not, or neither. */
#pragma once

#include "base/error.h"
#include "client/capacity_search.h"
#include "client/metrics.h"

#define CAPACITY_MAX_SLOS 4

struct capacity_slo {
    const char *text; /* as given; not owned */
    const struct metric *metric;
    double rank;  /* of the percentile, above 0 and below 100 */
    double limit; /* in the metric's unit */
};

/* Read "TAG_pRANK:LIMIT", like request_latency_p95:2000. With a rate, a request_latency counts
 * from when the request was due: the metric becomes response_time. */
bool capacity_slo_parse(struct capacity_slo *out, const char *text, bool has_rate,
                        struct error *err);

/* Values of one metric over all runs of one load; requests without an answer that counts (failed,
 * canceled, never sent) are infinitely slow. */
struct capacity_sample {
    double *values; /* owned: capacity_sample_free */
    size_t n;
};

void capacity_sample_add(struct capacity_sample *s, const double *values, size_t n,
                         size_t n_infinite);
void capacity_sample_free(struct capacity_sample *s);

struct capacity_estimate {
    double value, low, high; /* the percentile and its 95 % interval: infinite, or NaN for none */
    enum capacity_verdict verdict;
};

/* Holds when the whole interval is within the limit, fails when it is wholly above. */
struct capacity_estimate capacity_slo_judge(const struct capacity_slo *slo,
                                            const struct capacity_sample *sample);

/* Requests that give a verdict: twice what the interval needs, for otherwise its upper end is the
 * greatest value of all. */
size_t capacity_slo_needs(const struct capacity_slo *slo);
