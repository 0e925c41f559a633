/* run_manifest.json: under which circumstances the numbers of a run came about. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "client/prompts.h"
#include "client/report.h"

#define MANIFEST_FILE "run_manifest.json"
#define MANIFEST_SCHEMA_VERSION 1

/* Append it. Credentials are replaced, as in the recorded command. */
void manifest_print(struct buf *out, const struct report *r, const struct prompts *prompts);

/* Called for each member that differs, by its path ("host.cpu"); texts are JSON, NULL: absent. */
typedef void (*manifest_differ_fn)(void *self, const char *path, const char *a, const char *b);

/* Compare what must be equal for two runs to be comparable: all but names, moments and places
 * (benchmark_id, start_time, command, calibration, host.name, config.artifacts, config.runtime,
 * config.logging). */
void manifest_compare(const struct json *a, const struct json *b, manifest_differ_fn differ,
                      void *self);

/* Is there a member at that path, as manifest_compare names it? manifest may be NULL. */
bool manifest_has(const struct json *manifest, const char *path);
