/* Prometheus' text exposition format, version 0.0.4, and what OpenMetrics adds to it (exemplars,
 * units, EOF) as far as it has to be skipped. Any bytes may come in: a line that makes no sense is
 * counted and left out, the others count.
 *
 *     # HELP http_requests_total Requests so far.
 *     # TYPE http_requests_total counter
 *     http_requests_total{code="200"} 1027 1395066363000 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum prometheus_type {
    PROMETHEUS_UNKNOWN,
    PROMETHEUS_COUNTER,
    PROMETHEUS_GAUGE,
    PROMETHEUS_HISTOGRAM,
    PROMETHEUS_SUMMARY,
    PROMETHEUS_N_TYPES,
};
extern const char *const PROMETHEUS_TYPE_NAME[PROMETHEUS_N_TYPES]; /* "unknown", "counter", ... */

#define PROMETHEUS_MAX_LABELS 64
#define PROMETHEUS_MAX_LINE 65536 /* bytes; a longer line is not understood */

struct prometheus_label {
    const char *name, *value; /* escapes resolved */
};

struct prometheus_sample {
    const char *name; /* as in the line: x_bucket, x_sum */
    const struct prometheus_label *labels;
    size_t n_labels;
    double value; /* may be infinite or NaN */
};

/* What is found, in the order of the text. Strings live as long as the call. */
struct prometheus_sink {
    void *self;
    void (*type)(void *self, const char *family, enum prometheus_type type);
    void (*help)(void *self, const char *family, const char *text);
    void (*sample)(void *self, const struct prometheus_sample *sample);
};

/* Read a text that need not end in a NUL. Returns how many lines were not understood. */
size_t prometheus_parse(const char *text, size_t size, const struct prometheus_sink *sink);
