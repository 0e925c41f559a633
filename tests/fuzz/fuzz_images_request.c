/* Any body of POST /v1/images/generations: accepted within the limits, or refused with a reason. */
#include "server/images_api.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct images_limits limits = {
        .max_n = 10, .max_steps = 100, .max_pixels = 1 << 22, .max_prompt_bytes = 10000};
    const struct flux_spec defaults = {.images_per_prompt = 1,
                                       .width_px = 512,
                                       .height_px = 512,
                                       .steps = 28,
                                       .guidance_scale = 3.5,
                                       .true_cfg_scale = 1,
                                       .max_sequence_length = 512,
                                       .strength = 1};
    struct images_request request = {0};
    struct error err = {0};
    if (images_parse(&request, (const char *)data, size, &limits, &defaults, &err)) {
        struct flux_spec spec = images_spec(&request, &defaults);
        CLAIM(request.n >= 1 && request.n <= limits.max_n);
        CLAIM(spec.n_prompts >= 1 && spec.prompts && spec.prompts[0]);
        CLAIM((int64_t)spec.width_px * spec.height_px <= limits.max_pixels);
        CLAIM(spec.steps >= 1 && spec.steps <= limits.max_steps);
    } else {
        CLAIM(err.code != ERR_NONE && err.text[0]);
    }
    images_request_free(&request);
    return 0;
}
