/* What a model would need on any device: the configs are bound to shapes without values, and the
 * pipeline itself runs over the counting back end. */
#include "flux/model.h"
#include "tensor/plan.h"

static void count_part(struct flux_plan_part *part, const char *name, const struct weights *w,
                       const struct plan *p)
{
    *part = (struct flux_plan_part){.name = name,
                                    .n_parameters = w->n_parameters,
                                    .weight_bytes = w->bytes,
                                    .quantised_bytes = w->quantised_bytes,
                                    .dtype = w->dtype,
                                    .quant = w->quant,
                                    .streamed_bytes = p->streamed_bytes,
                                    .layer_bytes = p->layer_bytes};
}

/* Bind one part to shapes and note its size. */
#define BIND_PART(index, name, call)                                                         \
    do {                                                                                     \
        struct weights w;                                                                    \
        p->streamed_bytes = p->layer_bytes = 0;                                              \
        weights_open_shapes(&w, &p->backend,                                                 \
                            flux_weight_dtype(&m->config, index, load, p->backend.compute)); \
        w.quant = m->config.quant[index];                                                    \
        w.home = flux_home_of(index, &load->memory);                                         \
        call;                                                                                \
        count_part(&plan->parts[index], name, &w, p);                                        \
        weights_close(&w);                                                                   \
    } while (0)

static void bind_shapes(struct parts *m, struct plan *p, const struct flux_load *load,
                        struct flux_plan *plan)
{
    BIND_PART(CLIP, "text_encoder", clip_bind(&m->clip, &m->config.clip, &w));
    BIND_PART(T5, "text_encoder_2", t5_bind(&m->t5, &m->config.t5, &w));
    BIND_PART(TRANSFORMER, "transformer",
              transformer_bind(&m->transformer, &m->config.transformer, &w));
    BIND_PART(VAE, "vae", vae_bind(&m->vae, &m->config.vae, &w, true));
}

/* The model's own choice wherever the query says 0. */
static struct flux_plan_query with_defaults(struct flux_plan_query q, const struct flux_info *info)
{
    q.width_px = q.width_px == 0 ? info->default_size_px : q.width_px;
    q.height_px = q.height_px == 0 ? info->default_size_px : q.height_px;
    q.steps = q.steps == 0 ? info->default_steps : q.steps;
    q.batch = q.batch == 0 ? 1 : q.batch;
    if (q.max_sequence_length == 0) {
        q.max_sequence_length = info->default_sequence_length;
    }
    return q;
}

static bool check_query(const struct flux_plan_query *q, const struct flux_info *info,
                        struct error *err)
{
    const struct {
        const char *field;
        int value, max;
    } ranges[] = {{"steps", q->steps, FLUX_MAX_STEPS},
                  {"batch", q->batch, FLUX_MAX_ROWS},
                  {"max_sequence_length", q->max_sequence_length, FLUX_MAX_SEQUENCE}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (ranges[i].value < 1 || ranges[i].value > ranges[i].max) {
            return fail_field(err, ranges[i].field, "%s %d must be from 1 to %d", ranges[i].field,
                              ranges[i].value, ranges[i].max);
        }
    }
    return flux_check_size(info, q->width_px, q->height_px, err) &&
           flux_check_shares(info, q->width_px, q->height_px, q->max_sequence_length, q->n_devices,
                             err);
}

bool flux_plan(const char *model, const struct flux_plan_query *query, struct flux_plan *plan,
               struct error *err)
{
    struct parts m = {0};
    *plan = (struct flux_plan){0};
    int64_t t5_length;
    struct part_files files;
    bool is_known = flux_config_of(&m.config, &t5_length, &files, model, true, &query->load, err);
    part_files_free(&files);
    if (!is_known) {
        return false;
    }
    struct flux_info info = flux_info_of(&m.config, t5_length);
    struct flux_plan_query q = with_defaults(*query, &info);
    if (!check_query(&q, &info, err) || !flux_check_heads(&m.config, q.n_devices, err)) {
        return false;
    }
    struct plan p;
    plan_init(&p, q.compute);
    p.backend.share = (struct share){.n = q.n_devices};
    bind_shapes(&m, &p, &query->load, plan);

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
    plan->n_double = m.config.transformer.n_double;
    plan->n_single = m.config.transformer.n_single;
    plan->vae_tile_px = (int)m.config.vae.tile_px;
    plan->width_px = q.width_px;
    plan->height_px = q.height_px;
    plan->steps = q.steps;
    plan->flops_per_step = r.plan_flops.step;
    double text = (r.plan_flops.clip + r.plan_flops.t5) * (q.with_cfg ? 2 : 1);
    plan->flops_per_image = (text + r.plan_flops.step * q.steps) / q.batch + r.plan_flops.vae;
    plan->scratch_bytes = p.backend.scratch.peak;
    plan->bytes_moved_per_step = r.plan_bytes_per_step;
    plan->exchanged_bytes_per_step = r.plan_exchanged_per_step;
    plan->streamed_bytes_per_step = r.plan_streamed_per_step;
    plan->streamed_bytes_per_run =
        p.streamed_moved + r.plan_streamed_per_step * (q.steps - 1); /* one step was run */
    for (int i = 0; i < 4; i++) {
        enum { BUFFERS = 2 };
        size_t buffers = BUFFERS * plan->parts[i].layer_bytes;
        plan->streamed_bytes += plan->parts[i].streamed_bytes;
        plan->stream_buffer_bytes =
            buffers > plan->stream_buffer_bytes ? buffers : plan->stream_buffer_bytes;
        plan->n_parameters += plan->parts[i].n_parameters;
        plan->weight_bytes += plan->parts[i].weight_bytes;
    }
    clip_free(&m.clip);
    t5_free(&m.t5);
    transformer_free(&m.transformer);
    vae_free(&m.vae);
    return ok;
}
