/* What the server counts, for /health and /metrics. Any thread may call. */
#pragma once

#include "base/buf.h"
#include "flux/flux.h"

enum telemetry_outcome {
    TELEMETRY_COMPLETED, /* images were made */
    TELEMETRY_CANCELED,  /* the client went away first */
    TELEMETRY_FAILED,    /* the pipeline reported an error */
    TELEMETRY_REJECTED,  /* not taken: queue full or draining */
    TELEMETRY_N_OUTCOMES,
};

enum telemetry_stage {
    TELEMETRY_QUEUE,
    TELEMETRY_TEXT,
    TELEMETRY_DENOISE,
    TELEMETRY_VAE,
    TELEMETRY_ENCODE,
    TELEMETRY_N_STAGES,
};

struct telemetry;

struct telemetry_counts {
    int64_t outcomes[TELEMETRY_N_OUTCOMES]; /* generation requests */
    int64_t n_images, n_steps;
    double stage_s[TELEMETRY_N_STAGES]; /* sums over completed requests */
    double job_s; /* recent mean of the worker's time for one request; 0 before the first */
    double uptime_s;
};

struct telemetry *telemetry_open(void);
void telemetry_close(struct telemetry *t); /* NULL is fine */

void telemetry_outcome(struct telemetry *t, enum telemetry_outcome outcome);
/* A completed job's stages; queue_s is its time in the queue. */
void telemetry_job(struct telemetry *t, const struct flux_result *result, double queue_s);
/* Image coding happens later, on the connection's thread. */
void telemetry_encoded(struct telemetry *t, double encode_s);
/* An HTTP answer of any route. */
void telemetry_answer(struct telemetry *t, int status);

struct telemetry_counts telemetry_read(struct telemetry *t);

/* Append the Prometheus text format, version 0.0.4. */
void telemetry_print(struct telemetry *t, int n_waiting, int n_running, struct buf *out);

/* Seconds after which a place in the queue is likely to be free: at least 1, at most 3600. */
int telemetry_retry_after_s(struct telemetry *t);

/* The largest resident set that this process ever had, in MiB. */
double telemetry_peak_memory_mib(void);
