/* A small finished run for tests of metrics and reports: made-up records with round numbers. */
#pragma once

#include "client/report.h"

#define FIXTURE_MS INT64_C(1000000)

struct run_fixture {
    struct buf payload; /* of all requests: 1024 bytes */
    struct record records[4];
    struct record_image image;
    struct record *all[4];
    struct options options;
    struct report report;
};

/* Four requests one after the other in a window of one second from 1 s on the clock, of 100, 200
 * and 300 ms and a failed one of 50 ms (503); prompts of 7, 6, 7 and 6 tokens; one picture each. */
void run_fixture_init(struct run_fixture *f);
void run_fixture_free(struct run_fixture *f);
