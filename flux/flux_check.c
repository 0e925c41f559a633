/* What a model suggests, and which wishes it can grant. */
#include <string.h>

#include "flux/model.h"

struct flux_info flux_info_of(const struct flux_config *c, int64_t t5_length)
{
    enum { DEFAULT_SIZE_PX = 1024 };
    int multiple = (int)flux_config_token_px(c);
    int size = c->vae.sample_size < DEFAULT_SIZE_PX ? (int)c->vae.sample_size : DEFAULT_SIZE_PX;
    return (struct flux_info){
        .has_guidance = c->transformer.has_guidance,
        .size_multiple_px = multiple,
        .default_size_px = size < multiple ? multiple : size / multiple * multiple,
        .default_steps = (int)c->usual_steps,
        .default_guidance = c->usual_guidance,
        .default_sequence_length =
            t5_length > 0 && t5_length < FLUX_MAX_SEQUENCE ? (int)t5_length : FLUX_MAX_SEQUENCE,
    };
}

struct flux_spec flux_spec_default(const struct flux *f)
{
    return (struct flux_spec){
        .images_per_prompt = 1,
        .width_px = f->info.default_size_px,
        .height_px = f->info.default_size_px,
        .steps = f->info.default_steps,
        .guidance_scale = f->info.default_guidance,
        .true_cfg_scale = 1.0,
        .max_sequence_length = f->info.default_sequence_length,
        .strength = 0.6,
    };
}

/* An integer field within its range. */
static bool check_range(const char *field, int64_t value, int64_t min, int64_t max,
                        struct error *err)
{
    return (value >= min && value <= max) ||
           fail_field(err, field, "%s %lld is out of range: must be from %lld to %lld", field,
                      (long long)value, (long long)min, (long long)max);
}

static bool check_scale(const char *field, double value, double max, struct error *err)
{
    return (value >= 0 && value <= max) ||
           fail_field(err, field, "%s %g is out of range: must be from 0 to %g", field, value, max);
}

static bool check_texts(const char *field, const char *const *texts, int n, struct error *err)
{
    for (int i = 0; texts != NULL && i < n; i++) {
        if (strlen(texts[i]) > FLUX_MAX_PROMPT_BYTES) {
            return fail_field(err, field, "%s is %zu bytes long: at most %d are possible", field,
                              strlen(texts[i]), FLUX_MAX_PROMPT_BYTES);
        }
    }
    return true;
}

bool flux_check_size(const struct flux_info *info, int width_px, int height_px, struct error *err)
{
    int multiple = info->size_multiple_px, largest = FLUX_MAX_SIDE_PX / multiple * multiple;
    bool is_possible = width_px >= multiple && height_px >= multiple && width_px <= largest &&
                       height_px <= largest && width_px % multiple == 0 &&
                       height_px % multiple == 0;
    return is_possible ||
           fail_field(err, "size",
                      "size %dx%d is not possible: width and height must be multiples of %d, from "
                      "%d to %d",
                      width_px, height_px, multiple, multiple, largest);
}

bool flux_check_shares(const struct flux_info *info, int width_px, int height_px, int n_text, int n,
                       struct error *err)
{
    int multiple = info->size_multiple_px;
    int64_t tokens = (int64_t)(width_px / multiple) * (height_px / multiple);
    if (n <= 1) {
        return true;
    }
    if (tokens < n) {
        return fail_field(
            err, "size",
            "size %dx%d is %lld token%s of %dx%d pixels: must be at least %d, one for "
            "each device of ulysses_degree",
            width_px, height_px, (long long)tokens, tokens == 1 ? "" : "s", multiple, multiple, n);
    }
    return check_range("max_sequence_length", n_text, n, FLUX_MAX_SEQUENCE, err);
}

bool flux_check(const struct flux *f, const struct flux_spec *s, struct error *err)
{
    if (!check_range("prompts", s->n_prompts, 1, FLUX_MAX_ROWS, err) ||
        !check_range("n", s->images_per_prompt, 1, FLUX_MAX_ROWS / s->n_prompts, err) ||
        !check_texts("prompt", s->prompts, s->n_prompts, err) ||
        !check_texts("prompt_2", s->prompts_2, s->n_prompts, err) ||
        !check_texts("negative_prompt", s->negative_prompts, s->n_prompts, err) ||
        !check_texts("negative_prompt_2", s->negative_prompts_2, s->n_prompts, err) ||
        !flux_check_size(&f->info, s->width_px, s->height_px, err) ||
        !check_range("num_inference_steps", s->steps, 1, FLUX_MAX_STEPS, err) ||
        !check_range("max_sequence_length", s->max_sequence_length, 1, FLUX_MAX_SEQUENCE, err) ||
        !check_scale("guidance_scale", s->guidance_scale, 100, err) ||
        !check_scale("true_cfg_scale", s->true_cfg_scale, 100, err) ||
        !flux_check_shares(&f->info, s->width_px, s->height_px, s->max_sequence_length,
                           f->backend->share.n, err)) {
        return false;
    }
    int rows = s->n_prompts * s->images_per_prompt;
    if (s->seeds == NULL || (s->n_seeds != 1 && s->n_seeds != rows)) {
        return fail_field(err, "seed", "%d seeds for %d images: give one, or one per image",
                          s->n_seeds, rows);
    }
    if (s->init_rgb != NULL) {
        struct sigmas sigmas = {0};
        if (!f->parts.vae.has_encoder) {
            return fail_field(err, "image", "this model has no image encoder");
        }
        if (!(s->strength >= 0 && s->strength <= 1)) {
            return fail_field(err, "strength", "strength %g must be from 0 to 1", s->strength);
        }
        bool ok = sigmas_make(&sigmas, &f->parts.config.sigmas, 1, s->steps, s->strength, err);
        sigmas_free(&sigmas);
        return ok;
    }
    return true;
}
