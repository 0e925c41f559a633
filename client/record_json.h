/* One record as a line of profile_export.jsonl and of profile_export_raw.jsonl. */
#pragma once

#include "base/buf.h"
#include "client/prompts.h"
#include "client/record.h"
#include "client/request.h"

/* What the lines of a run share. */
struct record_context {
    const struct request_target *target;
    int64_t unix_offset_ns; /* monotonic + this = Unix time */
    char worker_id[32], processor_id[32];
    bool has_objectives;
};

/* Append the line without its newline: metadata, metrics, and error or images. */
void record_print_line(struct buf *out, const struct record *r, const struct record_context *c);

/* Append the raw line: metadata, request headers, status, the whole answer, payload. Needs the
 * body, so it is written before that is freed. */
void record_print_raw(struct buf *out, const struct record *r, const struct record_context *c);
