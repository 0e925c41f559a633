/* The face of the pipeline: opening a model, and preparing a run on the host
 * (token ids, noise, schedule) for flux/pipeline.c. */
#include "flux/flux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "flux/model.h"
#include "flux/noise.h"
#include "flux/noise_cuda.h"

/* --- opening ----------------------------------------------------------------------------------*/

static void bind_part(struct parts *m, enum part part, struct weights *w)
{
    switch (part) {
    case CLIP:
        clip_bind(&m->clip, &m->config.clip, w);
        break;
    case T5:
        t5_bind(&m->t5, &m->config.t5, w);
        break;
    case TRANSFORMER:
        transformer_bind(&m->transformer, &m->config.transformer, w);
        break;
    case VAE: /* the decoder alone is enough for text-to-image */
        vae_bind(&m->vae, &m->config.vae, w, weights_has(w, "encoder.conv_in.weight"));
        break;
    case N_PARTS:
        break;
    }
}

static void parts_free(struct parts *m)
{
    clip_free(&m->clip);
    t5_free(&m->t5);
    transformer_free(&m->transformer);
    vae_free(&m->vae);
}

/* file: NULL for the part's folder. */
static bool open_part(struct flux *f, const char *model, enum part part, const char *file,
                      const struct flux_load *load, struct error *err)
{
    struct weights *w = &f->weights[part];
    char *path = file != NULL ? xstrdup(file) : xasprintf("%s/%s", model, part_folder(part));
    bool ok = true;
    if (load->is_dummy) {
        enum dtype dtype = flux_weight_dtype(&f->parts.config, part, load, f->backend->compute);
        weights_open_random(w, f->backend, dtype, load->seed);
    } else if (file != NULL) {
        ok = weights_open_file(w, f->backend, file, part, err);
    } else {
        ok = weights_open(w, f->backend, path, part_base(part), err);
    }
    if (ok && file != NULL && !load->is_dummy) {
        log_info("%s: from %s (%s, %s names)", part_folder(part), file, checkpoint_form(&w->file),
                 w->file.layout == LAYOUT_DIFFUSERS ? "diffusers" : "BFL");
    }
    if (ok) {
        w->quant = f->parts.config.quant[part];
        w->rounds_inputs = load->rounds_inputs && part == TRANSFORMER;
        w->home = flux_home_of(part, &load->memory);
        w->home.layer = part == T5 ? f->weights[CLIP].home.layer : 0;
        bind_part(&f->parts, part, w);
        ok = weights_finish(w, err) || error_prefix(err, "%s", path);
        f->info.n_parameters += w->n_parameters;
        f->info.weight_bytes += w->bytes;
    }
    free(path);
    return ok;
}

/* t5_length: of a synthetic tokenizer. */
static bool open_tokenizers(struct flux *f, const char *model, int64_t t5_length,
                            const struct flux_load *load, struct error *err)
{
    const struct flux_config *c = &f->parts.config;
    char *clip = xasprintf("%s/tokenizer", model), *t5 = xasprintf("%s/tokenizer_2", model);
    bool ok = load->is_dummy && !file_exists(clip)
                  ? tokenizer_open_synthetic_clip(&f->clip_tokenizer, c->clip.vocab_size,
                                                  c->clip.max_positions, err)
                  : tokenizer_open_clip(&f->clip_tokenizer, clip, err);
    ok =
        ok && (load->is_dummy && !file_exists(t5)
                   ? tokenizer_open_synthetic_t5(&f->t5_tokenizer, c->t5.vocab_size, t5_length, err)
                   : tokenizer_open_t5(&f->t5_tokenizer, t5, err));
    free(clip);
    free(t5);
    return ok;
}

static void log_choices(const struct flux_config *c, const struct part_files *files,
                        const char *model)
{
    bool has_guidance = c->transformer.has_guidance;
    if (files->unread != NULL) {
        log_info("%s: parts come from the diffusers folders or the named files, unread: %s", model,
                 files->unread);
    }
    if (c->is_other_kind) {
        log_warning("the transformer takes %s guidance, the rest of %s belongs to one that does%s: "
                    "pictures may be poor, a base of the same kind is right",
                    has_guidance ? "a" : "no", model, has_guidance ? " not" : "");
    }
}

/* Said before anything is loaded. */
static bool check_quant(const struct flux *f, struct error *err)
{
    const struct backend *b = f->backend;
    for (int part = 0; part < N_PARTS && !b->takes_quantised; part++) {
        enum quant quant = f->parts.config.quant[part];
        if (quant != QUANT_NONE) {
            return fail_field(err, "quantization",
                              "quantization %s: the %s back end computes with f32 and bf16 weights "
                              "alone; --backend cpu takes quantised ones",
                              dtype_name(quant_dtype(quant)), b->name);
        }
    }
    return true;
}

/* Likewise. */
static bool check_rounding(const struct flux *f, const struct flux_load *load, struct error *err)
{
    const struct backend *b = f->backend;
    enum quant quant = f->parts.config.quant[TRANSFORMER];
    if (!load->rounds_inputs) {
        return true;
    }
    if (quant != QUANT_INT8 && quant != QUANT_FP8) {
        return fail_field(
            err, "quantize_activations",
            "quantize_activations: the transformer's matrices are %s, must be int8 or "
            "fp8 (--quantization)",
            quant == QUANT_NONE ? "not quantised" : dtype_name(quant_dtype(quant)));
    }
    if (quant == QUANT_FP8 ? b->multiplies_fp8 : b->multiplies_int8) {
        return true;
    }
    return fail_field(err, "quantize_activations",
                      "quantize_activations: %s does not multiply %s%s", b->device,
                      dtype_name(quant_dtype(quant)),
                      b->multiplies_int8 ? "; int8 is possible (--quantization int8)" : "");
}

bool flux_open_alone(struct flux **out, struct backend *b, const char *model,
                     const struct flux_load *load, struct error *err)
{
    int64_t t5_length = 0;
    *out = NULL;
    struct flux *f = xcalloc(1, sizeof *f);
    f->backend = b;
    struct part_files files;
    bool ok =
        flux_config_of(&f->parts.config, &t5_length, &files, model, load->is_dummy, load, err) &&
        check_quant(f, err) && check_rounding(f, load, err) &&
        flux_check_heads(&f->parts.config, b->share.n, err) &&
        open_tokenizers(f, model, t5_length, load, err);
    if (ok) {
        log_choices(&f->parts.config, &files, model);
    }
    if (ok) {
        f->info = flux_info_of(&f->parts.config, tokenizer_max_length(f->t5_tokenizer));
    }
    for (int part = 0; ok && part < N_PARTS; part++) {
        ok = open_part(f, model, (enum part)part, files.file[part], load, err);
    }
    part_files_free(&files);
    if (!ok) {
        flux_close(f);
        return false;
    }
    *out = f;
    return true;
}

bool flux_open(struct flux **out, struct backend *b, const char *model_dir, struct error *err)
{
    return flux_open_as(out, b, model_dir, NULL, err);
}

void flux_close(struct flux *f)
{
    if (f == NULL) {
        return;
    }
    for (int rank = 1; rank < SHARE_MAX; rank++) {
        flux_close(f->mates[rank]);
    }
    parts_free(&f->parts);
    for (int part = 0; part < N_PARTS; part++) {
        weights_close(&f->weights[part]);
    }
    tokenizer_close(f->clip_tokenizer);
    tokenizer_close(f->t5_tokenizer);
    free(f);
}

const struct flux_info *flux_info(const struct flux *f) { return &f->info; }

/* --- preparing a run --------------------------------------------------------------------------*/

/* Encode texts to fixed-length rows of ids; returns the array, or NULL when an id does not fit the
 * model. Adds what was cut to warning, and the tokens before padding to *n_tokens. */
static int32_t *encode_texts(const struct tokenizer *t, const char *const *texts, int n,
                             int64_t length, int64_t vocab_size, const char *encoder,
                             struct flux_result *result, int64_t *n_tokens, struct error *err)
{
    int32_t *ids = xcalloc((size_t)(n * length), sizeof *ids);
    for (int row = 0; row < n; row++) {
        struct token_ids list = {0};
        tokenizer_encode(t, texts[row], strlen(texts[row]), &list);
        size_t before = list.n_ids;
        size_t cut = token_ids_fit(&list, t, (size_t)length);
        *n_tokens += (int64_t)(before - cut);
        if (cut > 0 && result->warning[0] == '\0') {
            snprintf(result->warning, sizeof result->warning,
                     "prompt cut to %lld %s tokens, %zu more were given", (long long)length,
                     encoder, cut);
        }
        for (int64_t i = 0; i < length; i++) {
            if (list.ids[i] < 0 || list.ids[i] >= vocab_size) {
                (void)fail(err, ERR_INVALID,
                           "%s token %d is outside of the model's vocabulary of "
                           "%lld: tokenizer and text encoder do not belong together",
                           encoder, list.ids[i], (long long)vocab_size);
            }
            ids[row * length + i] = list.ids[i];
        }
        token_ids_free(&list);
    }
    if (err->code != ERR_NONE) {
        free(ids);
        return NULL;
    }
    return ids;
}

static bool encode_prompts(const struct flux *f, const struct flux_spec *s,
                           const char *const *prompts, const char *const *prompts_2,
                           struct prompt_ids *out, struct flux_result *result, struct error *err)
{
    const struct flux_config *c = &f->parts.config;
    int64_t clip_length = tokenizer_max_length(f->clip_tokenizer), ignored = 0;
    if (clip_length <= 0 || clip_length > c->clip.max_positions) {
        clip_length = c->clip.max_positions;
    }
    *out = (struct prompt_ids){.clip_length = clip_length, .t5_length = s->max_sequence_length};
    out->clip = encode_texts(f->clip_tokenizer, prompts, s->n_prompts, clip_length,
                             c->clip.vocab_size, "CLIP", result, &ignored, err);
    out->t5 = out->clip == NULL
                  ? NULL
                  : encode_texts(f->t5_tokenizer, prompts_2 != NULL ? prompts_2 : prompts,
                                 s->n_prompts, out->t5_length, c->t5.vocab_size, "T5", result,
                                 &result->prompt_tokens, err);
    return out->t5 != NULL;
}

/* Of the device that the spec names. */
struct generator {
    bool is_cuda;
    struct noise cpu;
    struct noise_cuda cuda;
};

static void generator_seed(struct generator *g, const struct flux *f, const struct flux_spec *s,
                           int i)
{
    int blocks = f->backend->generator_blocks;
    g->is_cuda = s->draws_as_cuda;
    noise_seed(&g->cpu, s->seeds[i]);
    g->cuda = (struct noise_cuda){.seed = s->seeds[i],
                                  .most_blocks = blocks > 0 ? blocks : NOISE_CUDA_BLOCKS};
}

static void generator_draw(struct generator *g, float *out, size_t count)
{
    if (g->is_cuda)
        noise_cuda_draw(&g->cuda, out, count);
    else
        noise_draw(&g->cpu, out, count);
}

/* Draw all noise of the run: for image-to-image first the encoder's, from the first generator. */
static void draw_noise(const struct flux *f, const struct flux_spec *s, const struct run *r,
                       float *noise, float *noise_vae)
{
    size_t size =
        (size_t)(f->parts.config.vae.latent_channels * r->latent_rows * r->latent_columns);
    struct generator generator;
    generator_seed(&generator, f, s, 0);
    if (s->init_rgb != NULL) {
        generator_draw(&generator, noise_vae, size);
    }
    if (s->n_seeds == 1) {
        generator_draw(&generator, noise, size * (size_t)r->n_rows);
        return;
    }
    for (int row = 0; row < r->n_rows; row++) {
        if (row > 0) {
            generator_seed(&generator, f, s, row);
        }
        generator_draw(&generator, noise + (size_t)row * size, size);
    }
}

static void plan_rows(struct run *r, const struct flux_spec *s, const struct flux_config *c)
{
    r->n_rows = s->n_prompts * s->images_per_prompt;
    r->group_rows = s->max_batch > 0 && s->max_batch < r->n_rows ? s->max_batch : r->n_rows;
    r->latent_rows = s->height_px / flux_config_latent_px(c);
    r->latent_columns = s->width_px / flux_config_latent_px(c);
}

/* Step memory; when it can't be had, name tiles with which half of it would do. */
static bool reserve(const struct flux *f, const struct run *r, size_t bytes, struct error *err)
{
    static const int64_t TILES_PX[] = {1024, 512, 256};
    if (scratch_reserve(f->backend, bytes, err)) {
        return true;
    }
    struct parts tiled = f->parts; /* what it points to stays f's */
    struct run dry = *r;
    int64_t *tile_px = &tiled.vae.config.tile_px, was = *tile_px;
    dry.parts = &tiled;
    for (size_t i = 0; i < sizeof TILES_PX / sizeof TILES_PX[0]; i++) {
        bool is_possible = TILES_PX[i] % (4 * flux_config_latent_px(&f->parts.config)) == 0;
        if (!is_possible || (was > 0 && TILES_PX[i] >= was)) {
            continue;
        }
        *tile_px = TILES_PX[i];
        size_t less = pipeline_scratch_bytes(&dry, f->backend);
        if (less <= bytes / 2) {
            return error_prefix(err, "%dx%d (with --vae-tile-size %lld %.1f MiB would be enough)",
                                r->spec->width_px, r->spec->height_px, (long long)*tile_px,
                                (double)less / 0x1p20);
        }
    }
    return error_prefix(err, "%dx%d", r->spec->width_px, r->spec->height_px);
}

static void ids_free(struct prompt_ids *ids)
{
    free(ids->clip);
    free(ids->t5);
}

bool flux_generate_alone(struct flux *f, const struct flux_spec *spec,
                         const struct flux_hooks *hooks, struct flux_result *result,
                         bool *is_follower, struct error *err)
{
    bool is_first = f->backend->share.rank == 0;
    int64_t start_ns = clock_now_ns();
    const struct flux_config *c = &f->parts.config;
    struct run r = {.parts = &f->parts,
                    .spec = spec,
                    .hooks = hooks,
                    .dump = hooks != NULL ? hooks->dump : NULL,
                    .has_cfg = spec->negative_prompts != NULL && spec->true_cfg_scale > 1,
                    .result = is_first ? result : NULL};
    plan_rows(&r, spec, c);
    size_t latent = (size_t)(c->vae.latent_channels * r.latent_rows * r.latent_columns);
    size_t groups = (size_t)((r.n_rows + r.group_rows - 1) / r.group_rows);
    float *noise = xmalloc((size_t)(r.n_rows + 1) * latent * sizeof *noise);
    float *noise_vae = noise + (size_t)r.n_rows * latent;

    bool ok =
        sigmas_make(&r.sigmas, &c->sigmas, r.latent_rows * r.latent_columns / 4, spec->steps,
                    spec->init_rgb != NULL ? spec->strength : 1.0, err) &&
        encode_prompts(f, spec, spec->prompts, spec->prompts_2, &r.ids, result, err) &&
        (!r.has_cfg || encode_prompts(f, spec, spec->negative_prompts, spec->negative_prompts_2,
                                      &r.negative_ids, result, err));
    if (ok) {
        result->n_images = r.n_rows;
        result->width_px = spec->width_px;
        result->height_px = spec->height_px;
        result->steps_run = r.sigmas.n_steps;
        result->rgb =
            xmalloc((size_t)r.n_rows * (size_t)spec->width_px * (size_t)spec->height_px * 3);
        result->step_s = xcalloc(groups * (size_t)r.sigmas.n_steps, sizeof *result->step_s);
        result->scratch_bytes = pipeline_scratch_bytes(&r, f->backend);
        ok = reserve(f, &r, result->scratch_bytes, err);
    }
    ok = pipeline_agree(f->backend, &r, ok, err);
    if (ok) {
        draw_noise(f, spec, &r, noise, noise_vae);
        r.noise = noise;
        r.init_noise_vae = noise_vae;
        ok = pipeline_run(f->backend, &r, err);
    }
    f->backend->scratch.used = 0; /* whatever a failed run had taken */
    *is_follower = r.is_follower;
    result->total_s = clock_seconds(clock_now_ns() - start_ns);
    if (!ok) {
        flux_result_free(result);
    }
    sigmas_free(&r.sigmas);
    ids_free(&r.ids);
    ids_free(&r.negative_ids);
    free(noise);
    return ok;
}

void flux_result_free(struct flux_result *result)
{
    free(result->rgb);
    free(result->step_s);
    *result = (struct flux_result){0};
}
