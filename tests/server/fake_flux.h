/* A stand-in for the pipeline behind flux/flux.h, so that the server can be tested without a model
 * and without depending on time: denoising stops at a gate that the test opens step by step. */
#pragma once

#include "flux/flux.h"

/* Back to the start: gate open, counters zero, nothing fails. Call before worker_start(). */
void fake_reset(void);

/* How many more steps may pass the gate; FAKE_OPEN: any number. */
enum { FAKE_OPEN = -1 };
void fake_allow_steps(int n);

/* Wait until n steps (since fake_reset()) have come to the gate. The warm-up is one. */
void fake_wait_for_steps(int n);
int fake_n_steps(void);

/* The next flux_open_as() or flux_generate() fails so. */
void fake_fail_open(enum error_code code, const char *text);
void fake_fail_generate(enum error_code code, const char *text);

/* flux_open_as() waits until released. */
void fake_hold_open(void);
void fake_release_open(void);
