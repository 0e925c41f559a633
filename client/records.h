/* The second thread of a run: it takes requests that have ended, judges their answers (decoding
 * every picture), writes their lines and keeps their numbers. Nothing of that delays the sending
 * of requests or the stamping of answers. */
#pragma once

#include <stdatomic.h>

#include "base/error.h"
#include "client/kept.h"
#include "client/metrics.h"
#include "client/record.h"
#include "client/record_json.h"

struct live;
struct report_html_images;

struct records_options {
    struct record_context context;
    const char *lines_path;                     /* profile_export.jsonl, or NULL */
    const char *raw_path;                       /* profile_export_raw.jsonl, or NULL */
    const char *trace_path;                     /* profile_export_trace.json, or NULL */
    const char *kept_dir;                       /* for the numbers of all requests; NULL: memory */
    const struct metrics_objective *objectives; /* owned by the caller */
    size_t n_objectives;
    struct live *live;                 /* gets every judged record, or NULL */
    struct report_html_images *images; /* gets pictures of the measurement, or NULL */
    int64_t fetch_timeout_ms;          /* for pictures given as addresses */
    size_t max_pending_bytes;          /* records_has_room compares with it */
    size_t min_pending;                /* records that may wait whatever their size */
    /* Called by the thread when there is room again after records_has_room said no. */
    void (*on_room)(void *self);
    void *on_room_self;
};

struct records_counters {
    atomic_llong n_judged, n_failed, n_images;
};

struct records;

/* Open the files and start the thread. */
bool records_open(struct records **out, const struct records_options *options, struct error *err);

/* A record without content for a request to come: records_push takes it back, or record_free. On
 * the thread that pushes. */
struct record *records_new(struct records *s);

/* True while the records that were pushed and are not done yet, answers included, take less than
 * max_pending_bytes, or are at most min_pending. After a false, on_room is called once there is
 * room. */
bool records_has_room(struct records *s);

/* Hand over a record that has ended; returns at once and takes it even without room: what is in
 * flight already must not be lost. */
void records_push(struct records *s, struct record *r);

/* Wait until everything pushed is judged and on disk, and end the thread. Fails with the first
 * write error. */
bool records_finish(struct records *s, struct error *err);

/* Stop fetching pictures by address: what is left counts as failed. Any thread. */
void records_hurry(struct records *s);

const struct records_counters *records_counters(const struct records *s);

/* What the first answer that told it calls the server (its Server header) and the model; NULL when
 * none did. Only after records_finish. */
const char *records_server_build(const struct records *s);
const char *records_served_model(const struct records *s);

/* All records in the order of their end; only after records_finish. They belong to s. */
struct record *const *records_all(struct records *s, size_t *n);
/* Where they lie. */
const struct kept *records_kept(const struct records *s);

void records_close(struct records *s); /* NULL is fine */
