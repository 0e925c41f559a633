/* What the client itself adds: a run of its own engine (the same loop, the same judging and
 * writing of records) against the loopback server, whose answers tell how long they were held. */
#pragma once

#include "base/error.h"
#include "base/json.h"

struct calibrate_plan {
    size_t n_timed;   /* requests one at a time, for the error */
    int64_t delay_ns; /* of their answers */
    size_t n_rushed;  /* requests at once, for the ceiling */
    size_t n_slots;   /* so many of them in flight */
    size_t n_workers; /* as --workers-max */
    size_t answer_bytes;
};

/* Before each run: some 20 ms. */
#define CALIBRATE_SHORT ((struct calibrate_plan){50, INT64_C(100000), 200, 16, 1, 1024})

struct calibration {
    size_t n_timed;
    double error_p50_us, error_p99_us; /* reported latency - what the server really took */
    double ceiling_rps;                /* requests a second, sent, answered, judged and recorded */
    struct calibrate_plan plan;
};

/* Fails when the loopback server can't be opened or does not answer. http_setup was called. */
bool calibrate_run(struct calibration *out, const struct calibrate_plan *plan, struct error *err);

/* As an object for files; as one line for the console (no newline). */
struct json *calibrate_json(const struct calibration *c);
void calibrate_print(struct buf *out, const struct calibration *c);

/* `fluxperf calibrate`: a longer one. Returns the exit code. */
int calibrate_main(int argc, char **argv, int first);
void calibrate_help(void);
