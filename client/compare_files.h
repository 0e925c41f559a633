/* The runs of one side of `fluxperf compare`, read from what profile left behind. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "client/compare_stats.h"
#include "client/metrics.h"

struct compare_input {
    char *path;                       /* owned: the record lines, profile_export.jsonl */
    struct json *manifest;            /* owned; NULL: there is none beside it */
    struct compare_run *runs;         /* owned, with its values: one per metric asked for */
    struct compare_requests requests; /* of the measurement */
};

struct compare_inputs {
    struct compare_input *items; /* owned */
    size_t n_items;
    size_t n_metrics;
};

/* path is a file of record lines, the directory of a run, or a directory of such directories. In a
 * directory the records are those that its manifest names, or those there are when it has none.
 * Only successful requests of the measurement have values. Fails when there is no run, when a line
 * is malformed (file and line are named), when a run has no value of a metric, and when a
 * directory has records of two runs or a manifest of others. */
bool compare_read(struct compare_inputs *out, const char *path, const struct metric *const *metrics,
                  size_t n_metrics, struct error *err);
void compare_inputs_free(struct compare_inputs *in);
