/* The quantize command: a model folder to a smaller one, and how much was lost. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/log.h"
#include "flux/quantise_folder.h"
#include "server/backends.h"
#include "server/commands.h"
#include "server/find_model.h"
#include "server/images_api.h"
#include "server/interrupt.h"
#include "server/load_options.h"

struct config {
    int quantization;
    const char *check_prompt, *size;
    int64_t steps, threads;
    bool wants_help;
};

#define AT(member) offsetof(struct config, member)

static const struct option OPTIONS[] = {
    {"--quantization", NULL, NULL, ARG_CHOICE, AT(quantization), .choices = QUANTIZATIONS,
     .help = "int8, fp8 (e4m3), both with a scale per output, or q4: 4 bits with a scale per 64 "
             "inputs. Required"},
    {"--check-prompt", NULL, "TEXT", ARG_STRING, AT(check_prompt),
     .help = "make a picture with both models (seed 0) and print how far they are apart; takes the "
             "memory of the larger one"},
    {"--size", NULL, "WxH", ARG_STRING, AT(size),
     .help = "size of that picture (default: the model's)"},
    {"--steps", "--num-inference-steps", "N", ARG_INT, AT(steps), 1, FLUX_MAX_STEPS,
     .help = "its denoising steps (default: the model's)"},
    {"--threads", NULL, "N", ARG_INT, AT(threads), 0, 1024,
     .help = "CPU threads, 0 for all cores (default 0)"},
    {"--help", "-h", NULL, ARG_FLAG, AT(wants_help), .help = "print this text and exit"},
};

enum { N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0] };

static bool may_continue(void *ctx) { return !interrupt_came(ctx); }

/* --- output ------------------------------------------------------------------------------------*/

static void print_report(const struct quantise_report *r)
{
    struct quantise_error all = {0};
    printf("%-48s%8s%10s%10s  %s\n", "matrices", "layers", "error", "worst", "in");
    for (size_t i = 0; i < r->n_kinds; i++) {
        const struct quantise_kind *k = &r->kinds[i];
        all.error_2 += k->sum.error_2;
        all.power += k->sum.power;
        printf("%-48s%8d%8.3f %%%8.3f %%  %s\n", k->name, k->n_layers,
               100 * quantise_relative(k->sum), 100 * k->worst, k->worst_name);
    }
    printf("%-48s%8s%8.3f %%\n", "all", "", 100 * quantise_relative(all));
    printf("weights of transformer and text_encoder_2: %.2f MiB, were %.2f MiB\n",
           (double)r->bytes_after / 0x1p20, (double)r->bytes_before / 0x1p20);
}

/* --- the check ---------------------------------------------------------------------------------*/

static bool may_draw(void *ctx, enum flux_stage stage, int row, int step)
{
    (void)stage, (void)row, (void)step;
    return may_continue(ctx);
}

static bool draw(const struct config *c, const char *model, struct backend *b,
                 struct interrupt *interrupt, struct flux_result *result, struct error *err)
{
    struct flux *f = NULL;
    const struct flux_hooks hooks = {.ctx = interrupt, .may_continue = may_draw};
    static const uint64_t SEED = 0;
    bool ok = flux_open(&f, b, model, err);
    if (ok) {
        struct flux_spec spec = flux_spec_default(f);
        spec.prompts = &c->check_prompt;
        spec.n_prompts = 1;
        spec.seeds = &SEED;
        spec.n_seeds = 1;
        spec.steps = c->steps > 0 ? (int)c->steps : spec.steps;
        ok = !c->size || images_parse_size(c->size, &spec.width_px, &spec.height_px) ||
             fail_field(err, "--size", "--size is '%s': must be WIDTHxHEIGHT, as in 512x512",
                        c->size);
        ok = ok && flux_generate(f, &spec, &hooks, result, err);
    }
    flux_close(f);
    return ok || error_prefix(err, "%s", model);
}

/* Peak signal to noise ratio of 8-bit values in dB; infinite when they are equal. */
static double psnr_db(const uint8_t *a, const uint8_t *b, size_t n)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    return 10 * log10(255.0 * 255.0 * (double)n / squares);
}

/* One after the other, each on a back end of its own: weights are freed when it closes. */
static bool check(const struct config *c, const struct backends_wish *wish, const char *from,
                  const char *to, struct interrupt *interrupt, struct error *err)
{
    const char *const models[2] = {from, to};
    struct flux_result results[2] = {{0}, {0}};
    bool ok = true;
    for (int i = 0; i < 2 && ok; i++) {
        struct backend *b = NULL;
        ok = backends_open(&b, wish, err) && draw(c, models[i], b, interrupt, &results[i], err);
        backend_close(b);
    }
    if (ok) {
        size_t n = (size_t)results[0].width_px * (size_t)results[0].height_px * 3;
        printf("PSNR of a picture of %dx%d in %d steps: %.2f dB\n", results[0].width_px,
               results[0].height_px, results[0].steps_run,
               psnr_db(results[0].rgb, results[1].rgb, n));
    }
    flux_result_free(&results[0]);
    flux_result_free(&results[1]);
    return ok;
}

/* --- the command -------------------------------------------------------------------------------*/

static bool quantize(const struct config *c, const char *from, const char *to,
                     struct interrupt *interrupt, struct error *err)
{
    const struct backends_wish wish = {.kind = BACKENDS_CPU, .threads = c->threads};
    struct buf model = {0};
    struct quantise_report report = {0};
    struct quantise_folder q = {.to = to,
                                .quant = (enum quant)c->quantization,
                                .may_continue = may_continue,
                                .ctx = interrupt};
    bool ok = find_model(&model, from, MODEL_ALL, err) && backends_open(&q.backend, &wish, err);
    q.from = model.data;
    interrupt_defer(interrupt);
    ok = ok && quantise_folder(&q, &report, err);
    backend_close(q.backend);
    if (ok)
        print_report(&report);
    ok = ok && (!c->check_prompt || check(c, &wish, q.from, to, interrupt, err));
    quantise_report_free(&report);
    buf_free(&model);
    return ok;
}

static bool check_words(const struct config *c, const struct arg_list *words, struct error *err)
{
    if (words->n_items != 2)
        return fail(err, ERR_INVALID, "%zu folders given: must be two, IN and OUT", words->n_items);
    if (c->quantization == QUANT_NONE)
        return fail_field(err, "--quantization",
                          "--quantization is missing: must be int8, fp8 or q4");
    return true;
}

int command_quantize(int argc, char **argv, int first)
{
    struct config c = {0};
    struct arg_list words = {0};
    struct error err = {0};
    bool ok = args_parse(OPTIONS, N_OPTIONS, argc, argv, first, &c, &words, NULL, &err);
    if (ok && c.wants_help) {
        args_help("fluxserve quantize IN OUT --quantization SCHEME [OPTIONS]",
                  "Write the model IN, a folder or owner/name of a hub, to the new folder OUT with "
                  "the matrices of the transformer and of T5 quantised, and print their errors.",
                  OPTIONS, N_OPTIONS);
    } else if (ok && check_words(&c, &words, &err)) {
        log_set_level(LOG_WARNING);
        struct interrupt *interrupt = interrupt_open();
        ok = quantize(&c, words.items[0], words.items[1], interrupt, &err);
        interrupt_close(interrupt);
    } else {
        ok = false;
    }
    args_free(&words);
    if (ok)
        return 0;
    fprintf(stderr, "fluxserve quantize: error: %s\n", err.text);
    return error_exit_code(err.code);
}
