/* The generate command: the pipeline without HTTP. Prompts are rows of one batch, as in diffusers;
 * pictures go to files, their names to stdout, times to stderr. Ctrl-C cancels at the next step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/args.h"
#include "base/log.h"
#include "image/image.h"
#include "server/backends.h"
#include "server/commands.h"
#include "server/find_model.h"
#include "server/flops_report.h"
#include "server/generate_options.h"
#include "server/interrupt.h"

enum { MAX_INPUT_SIDE_PX = 16384 };

/* Everything that a run owns. */
struct run {
    struct generate_options options;
    struct buf model_dir;
    struct image init;
    struct backend *backend;
    struct flux *model;
    struct flux_dump *dump;
    struct flux_result result;
    uint64_t seeds[FLUX_MAX_ROWS];
    const char *texts[3][FLUX_MAX_ROWS]; /* prompt_2, negative, negative_2: one per prompt */
    struct interrupt *interrupt;
    double cpu_s; /* processor time of the pipeline */
};

/* --- the wish ----------------------------------------------------------------------------------*/

/* One text per prompt: as many as there are prompts, or one for all. NULL when none was given. */
static bool spread(const char *name, const struct arg_list *given, size_t n_prompts,
                   const char **texts, const char *const **out, struct error *err)
{
    *out = NULL;
    if (given->n_items == 0)
        return true;
    if (given->n_items != 1 && given->n_items != n_prompts) {
        return fail_field(err, name,
                          "%s: given %zu times, must be once or as often as --prompt, %zu", name,
                          given->n_items, n_prompts);
    }
    for (size_t i = 0; i < n_prompts; i++)
        texts[i] = given->items[given->n_items == 1 ? 0 : i];
    *out = texts;
    return true;
}

static bool set_texts(struct run *r, struct flux_spec *spec, struct error *err)
{
    const struct generate_options *o = &r->options;
    size_t n = o->prompts.n_items;
    spec->prompts = o->prompts.items;
    spec->n_prompts = (int)n;
    return spread("--prompt-2", &o->prompts_2, n, r->texts[0], &spec->prompts_2, err) &&
           spread("--negative-prompt", &o->negatives, n, r->texts[1], &spec->negative_prompts,
                  err) &&
           spread("--negative-prompt-2", &o->negatives_2, n, r->texts[2], &spec->negative_prompts_2,
                  err);
}

/* "7": one generator for all rows. "9,0,5": one each. Without: a random one, which is told. */
static bool set_seeds(struct run *r, struct flux_spec *spec, struct error *err)
{
    const char *text = r->options.seed;
    uint32_t random;
    spec->seeds = r->seeds;
    spec->n_seeds = 1;
    spec->draws_as_cuda = r->options.generator_device == 1; /* cpu|cuda */
    if (!text) {
        while (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {}
        r->seeds[0] = random;
        fprintf(stderr, "seed %lu\n", (unsigned long)random);
        return true;
    }
    if (!generate_options_seeds(text, r->seeds, &spec->n_seeds, err))
        return false;
    int rows = spec->n_prompts * spec->images_per_prompt;
    if (spec->n_seeds != 1 && spec->n_seeds != rows) {
        return fail_field(err, "--seed", "--seed '%s': %d seeds for %d images, must be 1 or %d",
                          text, spec->n_seeds, rows, rows);
    }
    return true;
}

static bool read_init(struct run *r, struct error *err)
{
    struct buf file = {0};
    bool ok = file_read(&file, r->options.image, err) &&
              image_decode(&r->init, file.data, file.size, MAX_INPUT_SIDE_PX, err);
    buf_free(&file);
    return ok ? true : error_prefix(err, "--image %s", r->options.image);
}

/* Image-to-image: the size is the input's unless given, and then it has to be the same. */
static bool set_init(struct run *r, struct flux_spec *spec, struct error *err)
{
    const struct generate_options *o = &r->options;
    if (!o->image)
        return true;
    if (!read_init(r, err))
        return false;
    spec->init_rgb = r->init.rgb;
    spec->strength = o->strength >= 0 ? o->strength : GENERATE_DEFAULT_STRENGTH;
    int width = o->width_px > 0 ? (int)o->width_px : r->init.width_px;
    int height = o->height_px > 0 ? (int)o->height_px : r->init.height_px;
    if (width != r->init.width_px || height != r->init.height_px) {
        return fail_field(err, "--image",
                          "--image %s is %dx%d: must have the size asked for, %dx%d", o->image,
                          r->init.width_px, r->init.height_px, width, height);
    }
    spec->width_px = width;
    spec->height_px = height;
    return true;
}

static bool make_spec(struct run *r, struct flux_spec *spec, struct error *err)
{
    const struct generate_options *o = &r->options;
    *spec = flux_spec_default(r->model);
    spec->images_per_prompt = (int)o->n;
    spec->max_batch = 0; /* all rows together, as diffusers does */
    if (o->width_px > 0)
        spec->width_px = (int)o->width_px;
    if (o->height_px > 0)
        spec->height_px = (int)o->height_px;
    if (o->steps > 0)
        spec->steps = (int)o->steps;
    if (o->guidance_scale >= 0)
        spec->guidance_scale = o->guidance_scale;
    if (o->true_cfg_scale >= 0)
        spec->true_cfg_scale = o->true_cfg_scale;
    if (o->max_sequence_length > 0)
        spec->max_sequence_length = (int)o->max_sequence_length;
    if (o->profile_steps && o->profile.first >= spec->steps) {
        return fail_field(err, "--profile-steps",
                          "--profile-steps %s: of %d steps, the first must be 0 to %d",
                          o->profile_steps, spec->steps, spec->steps - 1);
    }
    return set_texts(r, spec, err) && set_seeds(r, spec, err) && set_init(r, spec, err) &&
           flux_check(r->model, spec, err);
}

/* --- running -----------------------------------------------------------------------------------*/

static bool may_continue(void *ctx, enum flux_stage stage, int row, int step)
{
    const struct run *r = ctx;
    (void)stage, (void)row, (void)step;
    return !interrupt_came(r->interrupt);
}

static bool compute(struct run *r, const struct flux_spec *spec, struct error *err)
{
    struct flux_hooks hooks = {.ctx = r,
                               .may_continue = may_continue,
                               .profile = r->options.profile_steps ? &r->options.profile : NULL};
    if (r->options.dump_path)
        hooks.dump = r->dump = flux_dump_new();
    double start_s = flops_report_cpu_s();
    bool ok = flux_generate(r->model, spec, &hooks, &r->result, err);
    r->cpu_s = flops_report_cpu_s() - start_s;
    return ok;
}

static bool write_images(const struct run *r, enum image_format format, struct error *err)
{
    const struct flux_result *result = &r->result;
    size_t image_bytes = (size_t)result->width_px * (size_t)result->height_px * 3;
    bool ok = true;
    for (int i = 0; i < result->n_images && ok; i++) {
        const struct image image = {result->width_px, result->height_px,
                                    result->rgb + (size_t)i * image_bytes};
        struct buf file = {0}, path = {0};
        generate_options_path(&path, r->options.output, result->n_images > 1 ? i : -1);
        ok = image_encode(&file, &image, format, (int)r->options.quality, err) &&
             file_write(path.data, file.data, file.size, err);
        if (ok)
            puts(path.data);
        buf_free(&file);
        buf_free(&path);
    }
    return ok;
}

static void print_times(const struct flux_result *result)
{
    double denoise_s = 0;
    for (int i = 0; i < result->n_step_times; i++)
        denoise_s += result->step_s[i];
    fprintf(stderr, "%d image%s of %dx%d: text %.3f s, %d steps %.3f s, vae %.3f s, all %.3f s\n",
            result->n_images, result->n_images == 1 ? "" : "s", result->width_px, result->height_px,
            result->text_s, result->steps_run, denoise_s, result->vae_s, result->total_s);
    if (*result->warning)
        log_warning("%s", result->warning);
}

static void print_profile(const struct run *r)
{
    struct buf text = {0};
    if (!r->options.profile_steps)
        return;
    step_profile_print(&r->options.profile, &r->result, &text);
    if (text.size > 0)
        fputs(text.data, stderr);
    else
        log_warning("--profile-steps %s: nothing to see, %d steps were done",
                    r->options.profile_steps, r->result.steps_run);
    buf_free(&text);
}

static bool generate(struct run *r, struct error *err)
{
    struct flux_spec spec;
    const struct flux_load *load = &r->options.load;
    enum image_format format = IMAGE_UNKNOWN;
    load_options_warn(load);
    if (!generate_options_format(r->options.output, &format, err) ||
        !backends_check_devices(&r->options.backend, 0, err) ||
        !find_model(&r->model_dir, r->options.model_path, load_options_content(load), err) ||
        !backends_open(&r->backend, &r->options.backend, err))
        return false;
    load_options_warn_backend(&r->options.load_wish, r->backend->name);
    if (!flux_open_as(&r->model, r->backend, r->model_dir.data, load, err))
        return false;
    interrupt_defer(r->interrupt);
    if (!make_spec(r, &spec, err) || !compute(r, &spec, err) || !write_images(r, format, err))
        return false;
    print_times(&r->result);
    print_profile(r);
    if (r->options.wants_flops &&
        !flops_report(r->model_dir.data, load, &spec, &r->result, r->backend, r->cpu_s, err))
        return false;
    return !r->dump || flux_dump_write(r->dump, r->options.dump_path, err);
}

int command_generate(int argc, char **argv, int first)
{
    struct run r = {0};
    struct error err = {0};
    bool ok = generate_options_parse(&r.options, argc, argv, first, &err);
    if (ok && r.options.wants_help) {
        generate_options_help();
    } else if (ok) {
        log_set_level((enum log_level)r.options.log_level);
        r.interrupt = interrupt_open();
        ok = generate(&r, &err);
        interrupt_close(r.interrupt);
    }
    if (!ok)
        fprintf(stderr, "fluxserve generate: error: %s\n", err.text);
    flux_result_free(&r.result);
    flux_dump_free(r.dump);
    flux_close(r.model);
    backend_close(r.backend);
    image_free(&r.init);
    buf_free(&r.model_dir);
    generate_options_free(&r.options);
    return ok ? 0 : error_exit_code(err.code);
}
