/* What the fuzz targets of wishes start from, and what they claim of an accepted one. */
#pragma once

#include "server/images_api.h"
#include "tests/fuzz/fuzz.h"

static const struct images_limits LIMITS = {
    .max_n = 10, .max_steps = 100, .max_pixels = 1 << 16, .max_prompt_bytes = 10000};

static const struct flux_spec DEFAULTS = {.images_per_prompt = 1,
                                          .width_px = 64,
                                          .height_px = 64,
                                          .steps = 28,
                                          .guidance_scale = 3.5,
                                          .true_cfg_scale = 1,
                                          .max_sequence_length = 512,
                                          .strength = 1};

/* A wish is accepted within the limits, or refused with a reason. */
static inline void check_verdict(const struct images_request *request, bool is_accepted,
                                 const struct error *err)
{
    if (is_accepted) {
        struct flux_spec spec = images_spec(request, &DEFAULTS);
        CLAIM(request->n >= 1 && request->n <= LIMITS.max_n);
        CLAIM(spec.n_prompts >= 1 && spec.prompts && spec.prompts[0]);
        CLAIM((int64_t)spec.width_px * spec.height_px <= LIMITS.max_pixels);
        CLAIM(spec.steps >= 1 && spec.steps <= LIMITS.max_steps);
    } else {
        CLAIM(err->code != ERR_NONE && err->text[0]);
    }
}
