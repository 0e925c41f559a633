/* The files of a run: where they lie, what they are called, writing them. */
#pragma once

#include "base/error.h"
#include "client/prompts.h"
#include "client/report.h"
#include "client/report_html.h"

struct artifacts {
    char *json, *csv, *console, *lines, *raw, *trace, *slices_json, *slices_csv; /* owned paths */
    char *inputs, *run_manifest, *manifest, *report, *ready;
    struct report_html_images images; /* filled by the records thread, for the report */
    const struct options *options;    /* owned by the run, like the prompts */
    const struct prompts *prompts;
};

/* Name the files, make the directory and write inputs.json, so that a place that can't be written
 * to is found before anything is sent. Files of an earlier run that this one will not write are
 * removed: nobody should take old numbers for new ones. */
bool artifacts_open(struct artifacts *a, const struct options *o, const struct prompts *prompts,
                    struct error *err);

/* Remove the files of an earlier run, by o->run_dir and o->prefix, and its directory when nothing
 * else is in it. */
void artifacts_remove(const struct options *o);

/* Write every report; console gets the tables' text too. */
bool artifacts_write(const struct artifacts *a, const struct report *r, struct buf *console,
                     struct error *err);
void artifacts_close(struct artifacts *a);
