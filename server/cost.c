#include "server/cost.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"

enum { CLIP, T5, TRANSFORMER, VAE };
enum { MAX_PLANS = 32 }; /* sizes that are remembered; the oldest one makes room */

struct cost {
    pthread_mutex_t mutex;
    const char *model;
    const struct flux_load *load;
    /* guarded by mutex */
    enum dtype compute;
    double peak_flops;
    bool has_failed; /* and was logged */
    struct planned {
        int width_px, height_px, steps, sequence; /* as asked: 0 is the model's own */
        struct flux_plan plan;
    } plans[MAX_PLANS];
    int n_plans; /* ever made */
};

struct cost *cost_open(const char *model, const struct flux_load *load)
{
    struct cost *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->mutex, NULL);
    c->model = model;
    c->load = load;
    return c;
}

void cost_close(struct cost *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

void cost_set_device(struct cost *c, enum dtype compute, double peak_flops)
{
    pthread_mutex_lock(&c->mutex);
    c->compute = compute;
    c->peak_flops = compute == DTYPE_F32 ? peak_flops : 0;
    pthread_mutex_unlock(&c->mutex);
}

/* Locked. NULL: the plan failed. Steps are linear, so that one is planned for any number of them.
 */
static const struct flux_plan *plan(struct cost *c, int width_px, int height_px, int steps,
                                    int sequence)
{
    for (int i = 0; i < c->n_plans && i < MAX_PLANS; i++) {
        const struct planned *p = &c->plans[i];
        if (p->width_px == width_px && p->height_px == height_px && p->steps == steps &&
            p->sequence == sequence)
            return &p->plan;
    }
    struct flux_plan_query query = {.width_px = width_px,
                                    .height_px = height_px,
                                    .steps = steps,
                                    .max_sequence_length = sequence,
                                    .batch = 1,
                                    .compute = c->compute};
    struct planned made = {
        .width_px = width_px, .height_px = height_px, .steps = steps, .sequence = sequence};
    struct error err = {0};
    if (c->load)
        query.load = *c->load;
    if (!flux_plan(c->model, &query, &made.plan, &err)) {
        if (!c->has_failed)
            log_warning("FLOPs are not told: %s", err.text);
        c->has_failed = true;
        return NULL;
    }
    struct planned *at = &c->plans[c->n_plans++ % MAX_PLANS];
    *at = made;
    return &at->plan;
}

double cost_flops(struct cost *c, const struct flux_spec *spec, const struct flux_result *result)
{
    double n_guided = spec->negative_prompts && spec->true_cfg_scale > 1 ? 2 : 1, flops = NAN;
    pthread_mutex_lock(&c->mutex);
    const struct flux_plan *p =
        plan(c, spec->width_px, spec->height_px, 1, spec->max_sequence_length);
    if (p) {
        double text = (p->parts[CLIP].flops + p->parts[T5].flops) * spec->n_prompts * n_guided;
        double step = p->parts[TRANSFORMER].flops * n_guided;
        flops = text + (step * result->steps_run + p->parts[VAE].flops) * result->n_images;
    }
    pthread_mutex_unlock(&c->mutex);
    return flops;
}

/* f32 weights are rounded when activations are bf16. */
static double kept_bytes(const struct flux_plan_part *part, enum dtype compute)
{
    bool is_narrowed = part->dtype == DTYPE_F32 && compute == DTYPE_BF16;
    return (double)part->weight_bytes / (is_narrowed ? 2 : 1);
}

void cost_put_model(struct cost *c, struct json *model)
{
    pthread_mutex_lock(&c->mutex);
    const struct flux_plan *p = plan(c, 0, 0, 0, 0);
    if (p) {
        json_set(model, "dtype", json_new_string(c->compute == DTYPE_BF16 ? "bf16" : "f32"));
        json_set(model, "parameters", json_new_int(p->n_parameters));
        json_set(model, "weight_bytes", json_new_int((int64_t)p->weight_bytes));
        json_set(model, "step_weight_bytes",
                 json_new_int((int64_t)kept_bytes(&p->parts[TRANSFORMER], c->compute)));
        json_set(model, "default_width", json_new_int(p->width_px));
        json_set(model, "default_height", json_new_int(p->height_px));
        json_set(model, "default_steps", json_new_int(p->steps));
        json_set(model, "flops_per_step", json_new_double(p->flops_per_step));
        json_set(model, "flops_per_image", json_new_double(p->flops_per_image));
    }
    if (c->peak_flops > 0)
        json_set(model, "device_peak_flops", json_new_double(c->peak_flops));
    pthread_mutex_unlock(&c->mutex);
}
