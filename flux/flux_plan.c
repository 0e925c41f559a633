/* What a model would need on any device: the configs are bound to shapes without values, and the
 * pipeline itself runs over the counting back end. */
#include <stdio.h>

#include "flux/flux.h"
#include "flux/pipeline.h"
#include "tensor/plan.h"

enum { CLIP, T5, TRANSFORMER, VAE };

static void count_part(struct flux_plan_part *part, const char *name, const struct weights *w)
{
    *part = (struct flux_plan_part){
        .name = name, .n_parameters = w->n_parameters, .weight_bytes = w->bytes};
}

/* Bind one part to shapes and note its size. */
#define BIND_PART(index, name, call)                                    \
    do {                                                                \
        struct weights w;                                               \
        weights_open_shapes(&w, &p->backend, m->config.weights[index]); \
        call;                                                           \
        count_part(&plan->parts[index], name, &w);                      \
        weights_close(&w);                                              \
    } while (0)

static void bind_shapes(struct parts *m, struct plan *p, struct flux_plan *plan)
{
    BIND_PART(CLIP, "text_encoder", clip_bind(&m->clip, &m->config.clip, &w));
    BIND_PART(T5, "text_encoder_2", t5_bind(&m->t5, &m->config.t5, &w));
    BIND_PART(TRANSFORMER, "transformer",
              transformer_bind(&m->transformer, &m->config.transformer, &w));
    BIND_PART(VAE, "vae", vae_bind(&m->vae, &m->config.vae, &w, true));
}

static bool check_query(const struct flux_plan_query *q, const struct flux_config *c,
                        struct error *err)
{
    int64_t multiple = flux_config_token_px(c);
    if (q->width_px < multiple || q->height_px < multiple || q->width_px > FLUX_MAX_SIDE_PX ||
        q->height_px > FLUX_MAX_SIDE_PX || q->width_px % multiple != 0 ||
        q->height_px % multiple != 0) {
        return fail_field(err, "size",
                          "size %dx%d is not possible: width and height must be "
                          "multiples of %lld up to %d",
                          q->width_px, q->height_px, (long long)multiple, FLUX_MAX_SIDE_PX);
    }
    if (q->steps < 1 || q->steps > FLUX_MAX_STEPS) {
        return fail_field(err, "steps", "steps %d must be from 1 to %d", q->steps, FLUX_MAX_STEPS);
    }
    if (q->batch < 1 || q->batch > FLUX_MAX_ROWS) {
        return fail_field(err, "batch", "batch %d must be from 1 to %d", q->batch, FLUX_MAX_ROWS);
    }
    return (q->max_sequence_length >= 1 && q->max_sequence_length <= FLUX_MAX_SEQUENCE) ||
           fail_field(err, "max_sequence_length", "max_sequence_length %d must be from 1 to %d",
                      q->max_sequence_length, FLUX_MAX_SEQUENCE);
}

/* The model's own choice wherever the query says 0. */
static struct flux_plan_query with_defaults(struct flux_plan_query q, const struct flux_config *c)
{
    enum { DEFAULT_SIZE_PX = 1024, DEV_STEPS = 28, SCHNELL_STEPS = 4 };
    int size = c->vae.sample_size < DEFAULT_SIZE_PX ? (int)c->vae.sample_size : DEFAULT_SIZE_PX;
    q.width_px = q.width_px == 0 ? size : q.width_px;
    q.height_px = q.height_px == 0 ? size : q.height_px;
    q.steps = q.steps != 0 ? q.steps : c->transformer.has_guidance ? DEV_STEPS : SCHNELL_STEPS;
    q.batch = q.batch == 0 ? 1 : q.batch;
    q.max_sequence_length = q.max_sequence_length == 0 ? FLUX_MAX_SEQUENCE : q.max_sequence_length;
    return q;
}

bool flux_plan(const char *model_dir, const struct flux_plan_query *query, struct flux_plan *plan,
               struct error *err)
{
    struct parts m = {0};
    *plan = (struct flux_plan){0};
    if (!flux_config_read(&m.config, model_dir, err)) {
        return false;
    }
    struct flux_plan_query q = with_defaults(*query, &m.config);
    if (!check_query(&q, &m.config, err)) {
        return false;
    }
    struct plan p;
    plan_init(&p, q.compute);
    bind_shapes(&m, &p, plan);

    struct flux_spec spec = {.n_prompts = 1,
                             .images_per_prompt = q.batch,
                             .width_px = q.width_px,
                             .height_px = q.height_px,
                             .steps = q.steps,
                             .true_cfg_scale = q.with_cfg ? 2.0 : 1.0};
    int64_t latent_px = flux_config_latent_px(&m.config);
    struct prompt_ids lengths = {.clip_length = m.config.clip.max_positions,
                                 .t5_length = q.max_sequence_length};
    struct run r = {.parts = &m,
                    .spec = &spec,
                    .ids = lengths,
                    .negative_ids = lengths,
                    .has_cfg = q.with_cfg,
                    .n_rows = q.batch,
                    .group_rows = q.batch,
                    .latent_rows = q.height_px / latent_px,
                    .latent_columns = q.width_px / latent_px};
    bool ok = sigmas_make(&r.sigmas, &m.config.sigmas, 1, q.steps, 1.0, err) &&
              pipeline_run(&p.backend, &r, err);
    sigmas_free(&r.sigmas);

    plan->parts[CLIP].flops = r.plan_flops.clip;
    plan->parts[T5].flops = r.plan_flops.t5;
    plan->parts[TRANSFORMER].flops = r.plan_flops.step / (q.with_cfg ? 2 : 1);
    plan->parts[VAE].flops = r.plan_flops.vae;
    plan->steps = q.steps;
    plan->flops_per_step = r.plan_flops.step;
    double text = (r.plan_flops.clip + r.plan_flops.t5) * (q.with_cfg ? 2 : 1);
    plan->flops_per_image = (text + r.plan_flops.step * q.steps) / q.batch + r.plan_flops.vae;
    plan->scratch_bytes = p.backend.scratch.peak;
    plan->bytes_moved_per_step = r.plan_bytes_per_step;
    for (int i = 0; i < 4; i++) {
        plan->n_parameters += plan->parts[i].n_parameters;
        plan->weight_bytes += plan->parts[i].weight_bytes;
    }
    clip_free(&m.clip);
    t5_free(&m.t5);
    transformer_free(&m.transformer);
    vae_free(&m.vae);
    return ok;
}
