/* What the server says about its own work on a request: fluxserve in `timings` of the answer and in
 * the Server-Timing header, SGLang in `inference_time_s` and `peak_memory_mb`. */
#pragma once

#include <stddef.h>

#include "base/json.h"

enum stage {
    STAGE_QUEUE,   /* waiting for the worker */
    STAGE_TEXT,    /* tokenizers and text encoders */
    STAGE_DENOISE, /* all steps of all images */
    STAGE_VAE,
    STAGE_ENCODE, /* pixels to files */
    STAGE_OTHER,
    STAGE_TOTAL, /* last byte of the request to the finished files: the sum of the above */
    N_STAGES
};

#define STAGES_MAX_STEPS 100000 /* of one answer; more are not believed */

/* What the server did not tell is NaN. */
struct stages {
    double ms[N_STAGES];
    double inference_s, peak_memory_mib;
    double flops;    /* arithmetic of all images of the answer */
    size_t n_steps;  /* denoising steps; 0: not told */
    double *step_ms; /* owned; each step of the first image, then of the second, ... */
};

/* Read the header (NULL: there was none), then the answer (NULL likewise), whose numbers are finer.
 * Malformed and negative numbers count as not told. NULL when nothing is told. */
struct stages *stages_read(const char *server_timing, const struct json *answer);
void stages_free(struct stages *s); /* NULL is fine */
