/* All state is in one struct under one mutex: the worker and the test both touch it. */
#include "tests/server/fake_flux.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flux/step_profile.h"

enum { MULTIPLE_PX = 16, SIZE_PX = 32 };

struct flux {
    struct flux_info info;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int n_allowed, n_steps;
    bool is_open_held;
    struct error open_error, generate_error;
} fake = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* --- control -----------------------------------------------------------------------------------*/

void fake_reset(void)
{
    pthread_mutex_lock(&fake.mutex);
    fake.n_allowed = FAKE_OPEN;
    fake.n_steps = 0;
    fake.is_open_held = false;
    fake.open_error = fake.generate_error = (struct error){0};
    pthread_mutex_unlock(&fake.mutex);
}

void fake_allow_steps(int n)
{
    pthread_mutex_lock(&fake.mutex);
    fake.n_allowed = n;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.mutex);
}

void fake_wait_for_steps(int n)
{
    pthread_mutex_lock(&fake.mutex);
    while (fake.n_steps < n)
        pthread_cond_wait(&fake.changed, &fake.mutex);
    pthread_mutex_unlock(&fake.mutex);
}

int fake_n_steps(void)
{
    pthread_mutex_lock(&fake.mutex);
    int n = fake.n_steps;
    pthread_mutex_unlock(&fake.mutex);
    return n;
}

void fake_fail_open(enum error_code code, const char *text)
{
    pthread_mutex_lock(&fake.mutex);
    fail(&fake.open_error, code, "%s", text);
    pthread_mutex_unlock(&fake.mutex);
}

void fake_fail_generate(enum error_code code, const char *text)
{
    pthread_mutex_lock(&fake.mutex);
    fail(&fake.generate_error, code, "%s", text);
    pthread_mutex_unlock(&fake.mutex);
}

static void set_open_held(bool held)
{
    pthread_mutex_lock(&fake.mutex);
    fake.is_open_held = held;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.mutex);
}

void fake_hold_open(void) { set_open_held(true); }

void fake_release_open(void) { set_open_held(false); }

static void pass_gate(void)
{
    pthread_mutex_lock(&fake.mutex);
    fake.n_steps++;
    pthread_cond_broadcast(&fake.changed);
    while (fake.n_allowed == 0)
        pthread_cond_wait(&fake.changed, &fake.mutex);
    if (fake.n_allowed > 0)
        fake.n_allowed--;
    pthread_mutex_unlock(&fake.mutex);
}

/* Move a planned failure to err. */
static bool take_error(struct error *planned, struct error *err)
{
    pthread_mutex_lock(&fake.mutex);
    struct error e = *planned;
    *planned = (struct error){0};
    pthread_mutex_unlock(&fake.mutex);
    return e.code == ERR_NONE ? true : fail(err, e.code, "%s", e.text);
}

/* --- flux.h ------------------------------------------------------------------------------------*/

void backend_close(struct backend *b) { (void)b; /* tests open none */ }

bool flux_open_as(struct flux **out, struct backend *b, const char *model,
                  const struct flux_load *load, struct error *err)
{
    (void)b, (void)model, (void)load;
    pthread_mutex_lock(&fake.mutex);
    while (fake.is_open_held)
        pthread_cond_wait(&fake.changed, &fake.mutex);
    pthread_mutex_unlock(&fake.mutex);
    if (!take_error(&fake.open_error, err))
        return false;
    *out = xcalloc(1, sizeof **out);
    (*out)->info = (struct flux_info){.has_guidance = true,
                                      .size_multiple_px = MULTIPLE_PX,
                                      .default_size_px = SIZE_PX,
                                      .default_steps = 4,
                                      .default_guidance = 3.5,
                                      .default_sequence_length = FLUX_MAX_SEQUENCE,
                                      .n_parameters = 1000};
    return true;
}

void flux_close(struct flux *f) { free(f); }

const struct flux_info *flux_info(const struct flux *f) { return &f->info; }

struct flux_spec flux_spec_default(const struct flux *f)
{
    return (struct flux_spec){.images_per_prompt = 1,
                              .width_px = f->info.default_size_px,
                              .height_px = f->info.default_size_px,
                              .steps = f->info.default_steps,
                              .guidance_scale = f->info.default_guidance,
                              .true_cfg_scale = 1,
                              .max_sequence_length = f->info.default_sequence_length,
                              .strength = 0.6};
}

bool flux_check(const struct flux *f, const struct flux_spec *spec, struct error *err)
{
    int multiple = f->info.size_multiple_px;
    if (spec->width_px % multiple || spec->height_px % multiple) {
        return fail_field(err, "size", "size %dx%d: sides must be multiples of %d", spec->width_px,
                          spec->height_px, multiple);
    }
    return true;
}

bool flux_plan(const char *model, const struct flux_plan_query *q, struct flux_plan *plan,
               struct error *err)
{
    (void)model, (void)err;
    double pixels = q->width_px ? q->width_px * q->height_px : SIZE_PX * SIZE_PX;
    *plan = (struct flux_plan){.parts = {{.flops = 1},
                                         {.flops = 10},
                                         {.flops = pixels, .weight_bytes = 800, .dtype = DTYPE_F32},
                                         {.flops = 1e6}},
                               .width_px = SIZE_PX,
                               .height_px = SIZE_PX,
                               .steps = 4,
                               .flops_per_step = pixels,
                               .flops_per_image = 5,
                               .n_parameters = 1000,
                               .weight_bytes = 4000};
    return true;
}

static bool go_on(const struct flux_hooks *hooks, enum flux_stage stage, int row, int step,
                  struct error *err)
{
    if (hooks && hooks->may_continue && !hooks->may_continue(hooks->ctx, stage, row, step))
        return fail(err, ERR_CANCELED, "canceled");
    return true;
}

static bool denoise(const struct flux_spec *spec, const struct flux_hooks *hooks, int row,
                    struct error *err)
{
    for (int step = 0; step < spec->steps; step++) {
        if (!go_on(hooks, FLUX_STAGE_STEP, row, step, err))
            return false;
        pass_gate();
    }
    return go_on(hooks, FLUX_STAGE_VAE, row, 0, err);
}

bool flux_generate(struct flux *f, const struct flux_spec *spec, const struct flux_hooks *hooks,
                   struct flux_result *result, struct error *err)
{
    (void)f;
    int rows = spec->n_prompts * spec->images_per_prompt;
    size_t image_bytes = (size_t)spec->width_px * (size_t)spec->height_px * 3;
    if (!take_error(&fake.generate_error, err) || !go_on(hooks, FLUX_STAGE_TEXT, 0, 0, err))
        return false;
    uint8_t *rgb = xmalloc(image_bytes * (size_t)rows);
    for (int row = 0; row < rows; row++) {
        uint64_t seed = spec->seeds[spec->n_seeds == 1 ? 0 : row];
        if (!denoise(spec, hooks, row, err)) {
            free(rgb);
            return false;
        }
        memset(rgb + image_bytes * (size_t)row, (int)(seed & 255), image_bytes);
    }
    *result = (struct flux_result){.n_images = rows,
                                   .width_px = spec->width_px,
                                   .height_px = spec->height_px,
                                   .rgb = rgb,
                                   .prompt_tokens = (int64_t)strlen(spec->prompts[0]),
                                   .steps_run = spec->steps,
                                   .n_step_times = spec->steps * rows,
                                   .text_s = 0.25,
                                   .vae_s = 0.125,
                                   .total_s = 2};
    result->step_s = xcalloc((size_t)result->n_step_times, sizeof *result->step_s);
    for (int i = 0; i < result->n_step_times; i++)
        result->step_s[i] = 0.5;
    return true;
}

void flux_result_free(struct flux_result *result)
{
    free(result->rgb);
    free(result->step_s);
    *result = (struct flux_result){0};
}

/* Nobody asks for a profile here. */
void step_profile_print(const struct step_profile *p, const struct flux_result *result,
                        struct buf *out)
{
    (void)p, (void)result, (void)out;
}

void step_profile_free(struct step_profile *p) { (void)p; }
