/* Classifier-free guidance costs a second transformer call per step; image-to-image starts from a
 * noised latent of the given picture and runs the last steps only. */
#include "flux/pipeline.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "flux/image_to_image.h"
#include "flux/latents.h"
#include "flux/step_profile.h"
#include "flux/vae_tiles.h"
#include "tensor/dtype.h"
#include "tensor/plan.h"
#include "tensor/team.h"

/* --- small helpers ----------------------------------------------------------------------------*/

static bool may_continue(const struct run *r, enum flux_stage stage, int row, int step,
                         struct error *err)
{
    const struct flux_hooks *h = r->hooks;
    return h == NULL || h->may_continue == NULL || h->may_continue(h->ctx, stage, row, step) ||
           fail(err, ERR_CANCELED, "canceled");
}

bool pipeline_agree(struct backend *b, struct run *r, bool mine, struct error *err)
{
    if (team_agree(b, mine)) {
        return true;
    }
    r->is_follower = r->is_follower || mine;
    return mine && fail(err, ERR_DEVICE, "another device of this image has stopped");
}

/* FLOPs counted so far, when b is the plan. */
static double plan_flops(struct backend *b)
{
    return backend_is_plan(b) ? ((const struct plan *)b)->flops : 0;
}

static double plan_bytes(struct backend *b)
{
    return backend_is_plan(b) ? ((const struct plan *)b)->bytes_moved : 0;
}

static double plan_streamed(struct backend *b)
{
    return backend_is_plan(b) ? ((const struct plan *)b)->streamed_moved : 0;
}

static double plan_exchanged(struct backend *b)
{
    return backend_is_plan(b) ? ((const struct plan *)b)->exchanged : 0;
}

/* Wait for the back end, and hear how the others fare. */
static bool sync(struct backend *b, struct run *r, struct error *err)
{
    bool is_well = backend_sync(b, err);
    return pipeline_agree(b, r, is_well, err);
}

/* --- text -------------------------------------------------------------------------------------*/

struct text {
    struct tensor hidden; /* [P, L, Dt] */
    struct tensor pooled; /* [P, Dc] */
};

static struct text encode(struct backend *b, struct run *r, const struct prompt_ids *ids,
                          bool is_negative)
{
    const struct parts *m = r->parts;
    int64_t n = r->spec->n_prompts;
    struct text t = {
        .hidden = scratch_take(b, b->compute, SHAPE(n, ids->t5_length, m->config.t5.width)),
        .pooled = scratch_take(b, b->compute, SHAPE(n, m->config.clip.width)),
    };
    double flops = plan_flops(b);
    clip_forward(b, &m->clip, t.pooled, ids->clip, n, ids->clip_length);
    r->plan_flops.clip = plan_flops(b) - flops;
    t5_forward(b, &m->t5, t.hidden, ids->t5);
    r->plan_flops.t5 = plan_flops(b) - flops - r->plan_flops.clip;
    if (r->dump != NULL) {
        struct tensor clip_ids = tensor_make(ids->clip, DTYPE_I32, SHAPE(n, ids->clip_length));
        struct tensor t5_ids = tensor_make(ids->t5, DTYPE_I32, SHAPE(n, ids->t5_length));
        dump_host(r->dump, is_negative ? "neg_clip_ids" : "clip_ids", clip_ids);
        dump_host(r->dump, is_negative ? "neg_t5_ids" : "t5_ids", t5_ids);
        dump_device(r->dump, b, is_negative ? "neg_clip_pooled" : "clip_pooled", t.pooled);
        dump_device(r->dump, b, is_negative ? "neg_t5_hidden" : "t5_hidden", t.hidden);
    }
    return t;
}

/* The transformer's condition for rows first .. first + n: each prompt serves images_per_prompt
 * rows in turn. */
static struct condition condition(struct backend *b, const struct run *r, struct text text,
                                  int first, int n, struct tap *tap)
{
    int64_t length = text.hidden.dims[1];
    struct tensor hidden = scratch_take(b, b->compute, SHAPE(n, length, text.hidden.dims[2]));
    struct tensor pooled = scratch_take(b, b->compute, SHAPE(n, text.pooled.dims[1]));
    for (int i = 0; i < n; i++) {
        int64_t prompt = (first + i) / r->spec->images_per_prompt;
        op_copy(b, tensor_slice(hidden, 0, i, 1), tensor_slice(text.hidden, 0, prompt, 1));
        op_copy(b, tensor_slice(pooled, 0, i, 1), tensor_slice(text.pooled, 0, prompt, 1));
    }
    return transformer_condition(b, &r->parts->transformer, hidden, pooled,
                                 (float)r->spec->guidance_scale, r->latent_rows / 2,
                                 r->latent_columns / 2, tap);
}

/* --- denoising --------------------------------------------------------------------------------*/

/* What the loop starts from, for a group of rows: [n, S, 4 C] in scratch, of which a rank works on
 * its span. init is the latent of
 * the given picture, or NULL. */
static struct tensor initial_latents(struct backend *b, const struct run *r, int first, int n,
                                     const float *init)
{
    int64_t channels = r->parts->config.vae.latent_channels;
    int64_t area = r->latent_rows * r->latent_columns, size = channels * area;
    struct shape shape = SHAPE(n, area / 4, 4 * channels);
    if (r->noise == NULL) {
        return upload_new(b, NULL, shape);
    }
    enum dtype t = b->compute;
    float sigma = dtype_round(t, r->sigmas.at[0]), rest = dtype_round(t, 1.0f - sigma);
    float *start = xmalloc((size_t)(n * size) * sizeof *start);
    float *packed = xmalloc((size_t)(n * size) * sizeof *packed);
    for (int64_t i = 0; i < n * size; i++) {
        start[i] = dtype_round(t, r->noise[first * size + i]);
        if (init != NULL) {
            start[i] = dtype_round(t, dtype_round(t, sigma * start[i]) +
                                          dtype_round(t, rest * init[i % size]));
        }
    }
    for (int i = 0; i < n; i++) {
        latents_pack(packed + i * size, start + i * size, channels, r->latent_rows,
                     r->latent_columns);
    }
    struct tensor latents = upload_new(b, packed, shape);
    if (r->dump != NULL) {
        struct shape map = SHAPE(n, channels, r->latent_rows, r->latent_columns);
        dump_floats(r->dump, "latents_initial", t, start, map);
        dump_device(r->dump, b, "latents_initial_packed", latents);
        if (init != NULL) {
            dump_floats(r->dump, "init_noise", t, r->noise + first * size, map);
        }
    }
    free(start);
    free(packed);
    return latents;
}

/* One step: latents += (next sigma - sigma) velocity. */
static void step(struct backend *b, const struct run *r, int i, struct tensor latents,
                 const struct condition *positive, const struct condition *negative,
                 struct tap *tap)
{
    const struct transformer *m = &r->parts->transformer;
    size_t mark = scratch_mark(b);
    float time = sigmas_model_time(&r->sigmas, &r->parts->config.sigmas, i, b->compute);
    struct shape shape = SHAPE(latents.dims[0], latents.dims[1], latents.dims[2]);
    struct tensor velocity = scratch_take(b, b->compute, shape);
    transformer_forward(b, m, velocity, latents, time, positive, i == 0 ? tap : NULL);
    if (r->dump != NULL) {
        dump_stack(r->dump, b, "noise_pred", velocity);
    }
    if (negative != NULL) {
        struct tensor base = scratch_take(b, b->compute, shape);
        transformer_forward(b, m, base, latents, time, negative, NULL);
        if (r->dump != NULL) {
            dump_stack(r->dump, b, "neg_noise_pred", base);
        }
        op_axpy(b, velocity, -1.0f, base);
        op_axpy(b, base, (float)r->spec->true_cfg_scale, velocity);
        velocity = base;
        if (r->dump != NULL) {
            dump_stack(r->dump, b, "cfg_noise_pred", velocity);
        }
    }
    op_axpy(b, latents, r->sigmas.at[i + 1] - r->sigmas.at[i], velocity);
    if (r->dump != NULL) {
        dump_stack(r->dump, b, "latents_steps", latents);
    }
    scratch_release(b, mark);
}

static bool denoise(struct backend *b, struct run *r, int first, struct tensor latents,
                    const struct condition *positive, const struct condition *negative,
                    struct tap *tap, struct error *err)
{
    int n_steps = backend_is_plan(b) ? 1 : r->sigmas.n_steps; /* all steps are alike */
    struct step_profile *profile = r->hooks != NULL && first == 0 ? r->hooks->profile : NULL;
    bool ok = true;
    for (int i = 0; ok && i < n_steps; i++) {
        ok = may_continue(r, FLUX_STAGE_STEP, first, i, err);
        ok = pipeline_agree(b, r, ok, err);
        if (!ok) {
            break;
        }
        step_profile_before(profile, b, i);
        int64_t start_ns = clock_now_ns();
        double flops = plan_flops(b), bytes = plan_bytes(b), streamed = plan_streamed(b);
        double exchanged = plan_exchanged(b);
        backend_range_begin(b, "step", i);
        step(b, r, i, latents, positive, negative, tap);
        ok = sync(b, r, err) || error_prefix(err, "step %d", i);
        backend_range_end(b);
        r->plan_flops.step = plan_flops(b) - flops;
        r->plan_bytes_per_step = plan_bytes(b) - bytes;
        r->plan_streamed_per_step = plan_streamed(b) - streamed;
        r->plan_exchanged_per_step = plan_exchanged(b) - exchanged;
        if (r->result != NULL) {
            r->result->step_s[r->result->n_step_times++] = clock_seconds(clock_now_ns() - start_ns);
        }
    }
    step_profile_stop(profile);
    return ok;
}

/* --- decoding ---------------------------------------------------------------------------------*/

/* Channels last [1, Y, X, C] as a picture [C, Y, X]. */
static struct tensor channels_first(struct tensor map)
{
    return tensor_swap(tensor_swap(tensor_at(map, 0, 0), 0, 2), 1, 2);
}

/* Decode the latents [S, 4 C] of one row to 8-bit pixels. */
static bool decode(struct backend *b, struct run *r, int row, struct tensor latents,
                   struct error *err)
{
    const struct vae_config *c = &r->parts->config.vae;
    size_t mark = scratch_mark(b);
    double flops = plan_flops(b);
    int64_t height = r->spec->height_px, width = r->spec->width_px;
    backend_range_begin(b, "decode", row);
    struct tensor map = scratch_take(
        b, b->compute, SHAPE(1, r->latent_rows, r->latent_columns, c->latent_channels));
    struct tensor image = scratch_take(b, b->compute, SHAPE(1, height, width, 3));
    struct tensor rgb = scratch_take(b, DTYPE_U8, SHAPE(height, width, 3));

    latents_to_map(b, tensor_at(map, 0, 0), latents);
    if (r->dump != NULL) {
        dump_stack(r->dump, b, "latents_final", channels_first(map));
    }
    op_affine(b, map, map, 1.0f / c->scaling_factor, c->shift_factor);
    vae_tiles_decode(b, &r->parts->vae, image, map);
    op_to_rgb8(b, rgb, tensor_at(image, 0, 0));
    if (r->dump != NULL) {
        dump_stack(r->dump, b, "vae_input", channels_first(map));
        dump_stack(r->dump, b, "image_decoded", channels_first(image));
        dump_stack(r->dump, b, "image_uint8", rgb);
    }
    bool ok = true;
    if (r->result != NULL) {
        uint8_t *out = r->result->rgb + (size_t)row * (size_t)(height * width * 3);
        ok = backend_download(b, out, rgb, err);
    }
    backend_range_end(b);
    r->plan_flops.vae = plan_flops(b) - flops;
    scratch_release(b, mark);
    return ok;
}

/* --- the run ----------------------------------------------------------------------------------*/

static void dump_schedule(const struct run *r, enum dtype compute)
{
    const struct sigmas *s = &r->sigmas;
    float thousand = (float)r->parts->config.sigmas.n_train_timesteps;
    float *times = xcalloc((size_t)s->n_all, sizeof *times);
    for (int i = 0; i < s->n_all; i++) {
        times[i] = s->all[i] * thousand;
    }
    dump_double(r->dump, "mu", s->mu);
    dump_floats(r->dump, "sigmas_all", DTYPE_F32, s->all, SHAPE(s->n_all + 1));
    dump_floats(r->dump, "timesteps_all", DTYPE_F32, times, SHAPE(s->n_all));
    dump_floats(r->dump, "sigmas", DTYPE_F32, s->at, SHAPE(s->n_steps + 1));
    dump_floats(r->dump, "timesteps", DTYPE_F32, times + (s->n_all - s->n_steps),
                SHAPE(s->n_steps));
    for (int i = 0; i < s->n_steps; i++) {
        times[i] = sigmas_model_time(s, &r->parts->config.sigmas, i, compute);
    }
    dump_floats(r->dump, "model_timestep", compute, times, SHAPE(s->n_steps));
    free(times);
}

/* NaN or infinity anywhere in the model ends up here, since every later sum takes it in. */
static bool check_finite(struct backend *b, const struct run *r, int first, struct tensor latents,
                         struct error *err)
{
    int64_t n = tensor_elements(latents), row = n / latents.dims[0];
    if (r->result == NULL) {
        return true;
    }
    void *host = xmalloc(tensor_bytes(latents));
    bool ok = backend_download(b, host, latents, err);
    for (int64_t i = 0; ok && i < n; i++) {
        ok = isfinite(dtype_load(host, latents.dtype, i)) ||
             fail(err, ERR_INTERNAL,
                  "image %lld: the denoised latents are not finite: damaged weights, or values "
                  "beyond the type that they are stored in",
                  first + (long long)(i / row));
    }
    free(host);
    return ok;
}

/* Rows first .. first + n from noise to pixels. */
static bool run_group(struct backend *b, struct run *r, struct text positive, struct text negative,
                      const float *init, int first, int n, struct error *err)
{
    size_t mark = scratch_mark(b);
    struct dump_tap dump_taps = dump_tap(r->dump, b);
    struct tap *tap = r->dump == NULL ? NULL : &dump_taps.tap;
    struct tensor latents = initial_latents(b, r, first, n, init); /* [n, S, 4 C] */

    size_t before_steps = scratch_mark(b);
    backend_range_begin(b, "condition", -1);
    struct condition with = condition(b, r, positive, first, n, tap), without = {0};
    if (r->has_cfg) {
        without = condition(b, r, negative, first, n, NULL);
    }
    backend_range_end(b);
    struct span own = span_own(b, latents.dims[1]);
    bool ok = denoise(b, r, first, tensor_slice(latents, 1, own.start, own.count), &with,
                      r->has_cfg ? &without : NULL, tap, err);
    scratch_release(b, before_steps);
    if (ok && b->share.n > 1) {
        ulysses_gather(b, latents, &with.shares);
        ok = sync(b, r, err) || error_prefix(err, "gathering the image");
    }
    if (ok && b->share.rank > 0) { /* rank 0 has all that is left to do */
        n = 0;
    }
    if (ok && r->dump != NULL) {
        dump_device(r->dump, b, "latents_final_packed", latents);
    }
    ok = ok && check_finite(b, r, first, latents, err);

    int64_t start_ns = clock_now_ns();
    for (int i = 0; ok && i < n; i++) {
        ok = may_continue(r, FLUX_STAGE_VAE, first + i, 0, err) &&
             (decode(b, r, first + i, tensor_at(latents, 0, i), err) ||
              error_prefix(err, "decoding image %d", first + i));
    }
    if (r->result != NULL) {
        r->result->vae_s += clock_seconds(clock_now_ns() - start_ns);
    }
    scratch_release(b, mark);
    return ok;
}

bool pipeline_run(struct backend *b, struct run *run, struct error *err)
{
    struct run *r = run;
    bool may = may_continue(r, FLUX_STAGE_TEXT, 0, 0, err);
    if (!pipeline_agree(b, r, may, err)) {
        return false;
    }
    size_t mark = scratch_mark(b);
    int64_t start_ns = clock_now_ns();
    backend_range_begin(b, "text", -1);
    struct text positive = encode(b, r, &r->ids, false), negative = {0};
    if (r->has_cfg) {
        negative = encode(b, r, &r->negative_ids, true);
    }
    backend_range_end(b);
    bool ok = sync(b, r, err) || error_prefix(err, "text encoding");
    if (r->result != NULL) {
        r->result->text_s = clock_seconds(clock_now_ns() - start_ns);
    }
    if (r->dump != NULL) {
        dump_schedule(r, b->compute);
    }

    float *init = NULL;
    if (ok && r->spec->init_rgb != NULL) {
        init = xcalloc(
            (size_t)(r->parts->config.vae.latent_channels * r->latent_rows * r->latent_columns),
            sizeof *init);
        ok = init_latent(b, r, init, err);
        ok = pipeline_agree(b, r, ok, err) || error_prefix(err, "encoding the given image");
    }
    for (int first = 0; ok && first < r->n_rows; first += r->group_rows) {
        int rest = r->n_rows - first;
        ok = run_group(b, r, positive, negative, init, first,
                       rest < r->group_rows ? rest : r->group_rows, err);
        ok = pipeline_agree(b, r, ok, err);
    }
    free(init);
    scratch_release(b, mark);
    if (ok && r->dump != NULL) {
        dump_image_float(r->dump);
    }
    return ok;
}

size_t pipeline_scratch_bytes(const struct run *run, const struct backend *b)
{
    struct run dry = *run;
    dry.hooks = NULL;
    dry.dump = NULL;
    dry.result = NULL;
    dry.noise = dry.init_noise_vae = NULL;
    dry.ids.clip = dry.ids.t5 = dry.negative_ids.clip = dry.negative_ids.t5 = NULL;
    dry.n_rows = dry.group_rows; /* later groups repeat the first */
    struct plan plan;
    plan_init(&plan, b->compute);
    plan.backend.share = b->share;
    (void)pipeline_run(&plan.backend, &dry, NULL);
    return plan.backend.scratch.peak;
}
