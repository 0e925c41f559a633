/* Runs the pipeline on every case of a goldens folder and compares each tensor and picture.
 *
 *     golden_cases MODELS_DIR GOLDENS_DIR [ulysses=N] [stream=WHAT] [quantization=SCHEME]
 *                  [inputs=rounded] [CASE...]
 *
 * WHAT: of "text", "transformer" and "pinned" those that hold, joined by commas (struct
 * flux_memory). N back ends make each picture together; tensors are not compared then, as no rank
 * has them whole. cases.json gives the wish and the tolerances, CASE.safetensors the tensors of the
 * reference. Cases whose model is not in MODELS_DIR are skipped and counted. One line per case;
 * every comparison that fails is listed with its error and bound. With a scheme the weights are
 * quantised, and what depends on them has the bounds of QUANTISED. */
#include "tests/golden/backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "flux/flux.h"
#include "flux/safetensors.h"
#include "image/image.h"
#include "tensor/dtype.h"

enum { MAX_TEXTS = 8, MAX_SEEDS = 8, MAX_IMAGE_SIDE = 4096 };

struct bound {
    double max_abs, rel_rms, frac_diff, mean_abs; /* negative: none */
};

/* --- comparing --------------------------------------------------------------------------------*/

/* Tensors without a tolerance of their own: whose they take, and how much larger it may be. */
static const struct {
    const char *name, *like;
    double factor;
} ALIASES[] = {
    {"latents_initial", "latents_initial_packed", 1},
    {"init_noise", "latents_initial_packed", 1},
    {"init_noise_vae", "latents_initial_packed", 1},
    {"init_image_float", "latents_initial_packed", 1},
    {"latents_final", "latents_final_packed", 1},
    {"vae_input", "latents_final_packed", 4}, /* divided by a scaling factor of about 0.36 */
    {"image_float", "image_decoded", 1},
    {"neg_t5_hidden", "t5_hidden", 1},
    {"neg_clip_pooled", "clip_pooled", 1},
    {"neg_noise_pred", "noise_pred", 1},
    {"cfg_noise_pred", "noise_pred", 4},
};

static bool read_bound(const struct json *tolerances, const char *name, struct bound *bound)
{
    const struct json *t = json_get(tolerances, name);
    *bound = (struct bound){-1, -1, -1, -1};
    if (t == NULL) {
        return false;
    }
    struct error err = {0};
    (void)json_read_double(t, "max_abs", 0, 1e9, &bound->max_abs, &err);
    (void)json_read_double(t, "max_diff", 0, 1e9, &bound->max_abs, &err);
    (void)json_read_double(t, "rel_rms", 0, 1e9, &bound->rel_rms, &err);
    (void)json_read_double(t, "frac_diff", 0, 1, &bound->frac_diff, &err);
    (void)json_read_double(t, "mean_abs_diff", 0, 255, &bound->mean_abs, &err);
    return true;
}

static struct bound bound_for(const struct json *tolerances, const char *name, enum dtype dtype)
{
    struct bound bound;
    if (read_bound(tolerances, name, &bound)) {
        return bound;
    }
    for (size_t i = 0; i < sizeof ALIASES / sizeof ALIASES[0]; i++) {
        if (strcmp(ALIASES[i].name, name) == 0 && read_bound(tolerances, ALIASES[i].like, &bound)) {
            bound.max_abs *= ALIASES[i].factor;
            bound.rel_rms *= ALIASES[i].factor;
            return bound;
        }
    }
    /* Schedules are computed in float by the same formula; ids are exact. */
    return dtype == DTYPE_I32 || dtype == DTYPE_U8 ? (struct bound){0, -1, -1, -1}
                                                   : (struct bound){-1, 1e-6, -1, -1};
}

/* Of quantised weights: the relative error of every tensor that depends on them, and the mean
 * difference of 8-bit pixels. The models here have random weights, whose pictures are noise, and
 * follow an error further than trained ones do. */
static const struct bound QUANTISED[] = {
    [QUANT_INT8] = {-1, 0.06, -1, 2},
    [QUANT_FP8] = {-1, 0.2, -1, 7},
    [QUANT_Q4] = {-1, 0.48, -1, 18},
};

static bool depends_on_matrices(const char *name)
{
    static const char *const STARTS[] = {"t5_hidden",     "neg_t5_hidden",  "dbg.context_embed",
                                         "dbg.double0",   "dbg.single0",    "dbg.norm_out",
                                         "noise_pred",    "neg_noise_pred", "cfg_noise_pred",
                                         "latents_steps", "latents_final",  "vae_input",
                                         "image"};
    for (size_t i = 0; i < sizeof STARTS / sizeof STARTS[0]; i++) {
        if (strncmp(name, STARTS[i], strlen(STARTS[i])) == 0) {
            return true;
        }
    }
    return false;
}

static struct bound bound_quantised(const struct json *tolerances, const char *name,
                                    enum dtype dtype, enum quant quant)
{
    if (quant == QUANT_NONE || !depends_on_matrices(name)) {
        return bound_for(tolerances, name, dtype);
    }
    struct bound bound = QUANTISED[quant];
    if (dtype == DTYPE_U8) {
        bound.rel_rms = -1;
    } else {
        bound.mean_abs = -1;
    }
    return bound;
}

static double element(struct tensor t, int64_t i)
{
    switch (t.dtype) {
    case DTYPE_I32:
        return ((const int32_t *)t.data)[i];
    case DTYPE_U8:
        return ((const uint8_t *)t.data)[i];
    default:
        return (double)dtype_load(t.data, t.dtype, i);
    }
}

/* True when got is within bound of want; else one line says how far it is. */
static bool compare(const char *name, struct tensor got, struct tensor want, struct bound bound)
{
    if (!tensor_same_shape(got, want)) {
        printf("    %s: another shape\n", name);
        return false;
    }
    int64_t n = tensor_elements(want), differing = 0;
    double largest = 0, squares = 0, reference = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double diff = fabs(element(got, i) - element(want, i));
        largest = diff > largest || isnan(diff) ? diff : largest;
        squares += diff * diff;
        reference += element(want, i) * element(want, i);
        sum += diff;
        differing += diff != 0;
    }
    double rel_rms = sqrt(squares / (reference > 0 ? reference : 1));
    double fraction = n > 0 ? (double)differing / (double)n : 0, mean = n > 0 ? sum / (double)n : 0;
    bool ok = (bound.max_abs < 0 || largest <= bound.max_abs) &&
              (bound.rel_rms < 0 || rel_rms <= bound.rel_rms) &&
              (bound.frac_diff < 0 || fraction <= bound.frac_diff) &&
              (bound.mean_abs < 0 || mean <= bound.mean_abs) && !isnan(largest);
    if (!ok || getenv("GOLDEN_VERBOSE") != NULL) {
        printf("    %-22s max %.3g of %.3g  rms %.3g of %.3g  differing %.3g of %.3g  mean %.3g of "
               "%.3g%s\n",
               name, largest, bound.max_abs, rel_rms, bound.rel_rms, fraction, bound.frac_diff,
               mean, bound.mean_abs, ok ? "" : "  FAILED");
    }
    return ok;
}

/* Compare every tensor of the golden file with the dump; returns the number of failures. */
static int compare_files(const char *dump_path, const char *golden_path,
                         const struct json *tolerances, enum quant quant)
{
    struct safetensors *dump = NULL, *golden = NULL;
    struct error err = {0};
    int failures = 0;
    if (!safetensors_open_file(&dump, dump_path, &err) ||
        !safetensors_open_file(&golden, golden_path, &err)) {
        printf("    %s\n", err.text);
        failures++;
    }
    for (size_t i = 0; dump != NULL && golden != NULL && i < safetensors_count(golden); i++) {
        const char *name = safetensors_name(golden, i);
        if (strncmp(name, "f32ref.", 7) == 0 || strcmp(name, "mu") == 0) {
            continue; /* another run; a double, compared by its effect on sigmas */
        }
        struct tensor got, want;
        struct error missing = {0};
        if (!safetensors_find(golden, name, &want, &missing) ||
            !safetensors_find(dump, name, &got, &missing)) {
            printf("    %s\n", missing.text);
            failures++;
        } else {
            failures +=
                !compare(name, got, want, bound_quantised(tolerances, name, want.dtype, quant));
        }
    }
    safetensors_close(dump);
    safetensors_close(golden);
    return failures;
}

/* The stored PNGs must be the pictures, byte tolerance included. */
static int compare_pictures(const char *dir, const struct json *pngs,
                            const struct flux_result *result, struct bound bound)
{
    int failures = 0, index = 0;
    size_t bytes = (size_t)result->width_px * (size_t)result->height_px * 3;
    for (const struct json *png = json_first(pngs); png != NULL; png = json_next(png), index++) {
        char *path = xasprintf("%s/%s", dir, json_string(png));
        struct buf file = {0};
        struct image image = {0};
        struct error err = {0};
        struct shape shape = SHAPE(result->height_px, result->width_px, 3);
        if (index >= result->n_images || !file_read(&file, path, &err) ||
            !image_decode(&image, file.data, file.size, MAX_IMAGE_SIDE, &err)) {
            printf("    %s: %s\n", path, err.text);
            failures++;
        } else {
            failures += !compare(json_string(png),
                                 tensor_make(result->rgb + (size_t)index * bytes, DTYPE_U8, shape),
                                 tensor_make(image.rgb, DTYPE_U8, shape), bound);
        }
        image_free(&image);
        buf_free(&file);
        free(path);
    }
    return failures + (index != result->n_images);
}

/* --- one case ---------------------------------------------------------------------------------*/

/* A field that is null, one text, or a list of texts. */
static int read_texts(const struct json *node, const char **texts)
{
    if (node == NULL || json_type(node) == JSON_NULL) {
        return 0;
    }
    if (json_type(node) == JSON_STRING) {
        texts[0] = json_string(node);
        return 1;
    }
    int n = 0;
    for (const struct json *item = json_first(node); item != NULL; item = json_next(item)) {
        texts[n++] = json_string(item);
    }
    return n;
}

struct wish {
    const char *prompts[MAX_TEXTS], *prompts_2[MAX_TEXTS], *negatives[MAX_TEXTS];
    uint64_t seeds[MAX_SEEDS];
    struct image init;
    struct flux_spec spec;
};

static bool read_wish(struct wish *w, const struct json *c, const struct flux *f, const char *dir,
                      struct error *err)
{
    int64_t width = 0, height = 0, steps = 0, n = 1, length = 0;
    *w = (struct wish){.spec = flux_spec_default(f)};
    struct flux_spec *s = &w->spec;
    if (!json_read_int(c, "width", 1, 8192, &width, err) ||
        !json_read_int(c, "height", 1, 8192, &height, err) ||
        !json_read_int(c, "num_inference_steps", 1, 1000, &steps, err) ||
        !json_read_int(c, "num_images_per_prompt", 1, 64, &n, err) ||
        !json_read_int(c, "max_sequence_length", 1, 512, &length, err) ||
        !json_read_double(c, "guidance_scale", 0, 100, &s->guidance_scale, err) ||
        !json_read_double(c, "true_cfg_scale", 0, 100, &s->true_cfg_scale, err) ||
        !json_read_double(c, "strength", 0, 1, &s->strength, err)) {
        return false;
    }
    s->width_px = (int)width, s->height_px = (int)height, s->steps = (int)steps;
    s->images_per_prompt = (int)n, s->max_sequence_length = (int)length;
    s->prompts = w->prompts;
    s->n_prompts = read_texts(json_get(c, "prompt"), w->prompts);
    s->prompts_2 = read_texts(json_get(c, "prompt_2"), w->prompts_2) > 0 ? w->prompts_2 : NULL;
    s->negative_prompts =
        read_texts(json_get(c, "negative_prompt"), w->negatives) > 0 ? w->negatives : NULL;
    for (int i = 1; s->negative_prompts != NULL && i < s->n_prompts; i++) {
        w->negatives[i] = w->negatives[i] != NULL ? w->negatives[i] : w->negatives[0];
    }
    const struct json *seed = json_get(c, "seed");
    bool is_list = json_type(seed) == JSON_ARRAY;
    for (const struct json *item = is_list ? json_first(seed) : seed; item != NULL;
         item = is_list ? json_next(item) : NULL) {
        w->seeds[s->n_seeds++] = (uint64_t)json_number(item);
    }
    s->seeds = w->seeds;
    const char *init = NULL;
    if (!json_read_string(c, "init_image", &init, err) || init == NULL) {
        return err->code == ERR_NONE;
    }
    char *path = xasprintf("%s/%s", dir, init);
    struct buf file = {0};
    bool ok = file_read(&file, path, err) &&
              image_decode(&w->init, file.data, file.size, MAX_IMAGE_SIDE, err);
    s->init_rgb = w->init.rgb;
    buf_free(&file);
    free(path);
    return ok;
}

static bool is_bf16(const struct json *c)
{
    return strcmp(json_string(json_get(c, "compute_dtype")), "bfloat16") == 0;
}

/* Number of failures. */
static int run_case(const struct json *c, const char *model_dir, const char *dir,
                    struct flux_load load, int n_ranks)
{
    struct backend *b = NULL;
    struct flux *f = NULL;
    struct wish w = {0};
    struct flux_result result = {0};
    struct flux_dump *dump = flux_dump_new();
    bool is_alone = n_ranks == 1;
    struct flux_hooks hooks = {.dump = is_alone ? dump : NULL};
    struct error err = {0};
    const struct json *tolerances = json_get(c, "tolerance");
    char *dump_path = xasprintf("/tmp/golden_%d.safetensors", (int)getpid());
    char *golden_path = xasprintf("%s/%s", dir, json_string(json_get(c, "tensors")));
    int failures = 0;
    if (golden_open(&b, is_bf16(c) ? DTYPE_BF16 : DTYPE_F32, n_ranks, &err) &&
        json_read_int(c, "vae_tile_size", 0, 8192, &load.memory.vae_tile_px, &err) &&
        flux_open_as(&f, b, model_dir, &load, &err) && read_wish(&w, c, f, dir, &err) &&
        flux_generate(f, &w.spec, &hooks, &result, &err) &&
        (!is_alone || flux_dump_write(dump, dump_path, &err))) {
        failures += is_alone ? compare_files(dump_path, golden_path, tolerances, load.quant) : 0;
        failures +=
            compare_pictures(dir, json_get(c, "png"), &result,
                             bound_quantised(tolerances, "image_uint8", DTYPE_U8, load.quant));
        if (result.scratch_bytes != b->scratch.peak) {
            printf("    planned %zu bytes of step memory, used %zu\n", result.scratch_bytes,
                   b->scratch.peak);
            failures++;
        }
    } else {
        printf("    %s\n", err.text);
        failures++;
    }
    failures += golden_complaints();
    unlink(dump_path);
    image_free(&w.init);
    flux_result_free(&result);
    flux_dump_free(dump);
    flux_close(f);
    backend_close(b);
    free(dump_path);
    free(golden_path);
    return failures;
}

static bool is_wanted(const char *id, int first, int argc, char **argv)
{
    for (int i = first; i < argc; i++) {
        if (strcmp(argv[i], id) == 0) {
            return true;
        }
    }
    return argc <= first;
}

static struct flux_memory read_memory(const char *what)
{
    return (struct flux_memory){.streams_text_encoders = strstr(what, "text") != NULL,
                                .streams_transformer = strstr(what, "transformer") != NULL,
                                .is_pinned = strstr(what, "pinned") != NULL};
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: golden_cases MODELS_DIR GOLDENS_DIR [ulysses=N] [stream=WHAT] "
                        "[quantization=SCHEME] [inputs=rounded] [CASE...]\n");
        return 2;
    }
    struct error err = {0};
    char *path = xasprintf("%s/cases.json", argv[2]);
    struct json *cases = json_read_file(path, &err);
    free(path);
    if (cases == NULL) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int passed = 0, failed = 0, skipped = 0, first = 3, n_ranks = 1;
    struct flux_load load = {0};
    if (argc > first && strncmp(argv[first], "ulysses=", 8) == 0) {
        n_ranks = (int)strtol(argv[first++] + 8, NULL, 10);
    }
    if (argc > first && strncmp(argv[first], "stream=", 7) == 0) {
        load.memory = read_memory(argv[first++]);
    }
    if (argc > first && strncmp(argv[first], "quantization=", 13) == 0) {
        load.quant = quant_parse(argv[first++] + 13);
        if (load.quant == QUANT_NONE) {
            fprintf(stderr, "golden_cases: no such scheme: %s\n", argv[first - 1]);
            json_free(cases);
            return 2;
        }
    }
    if (argc > first && strcmp(argv[first], "inputs=rounded") == 0) {
        load.rounds_inputs = true;
        first++;
    }
    for (const struct json *c = json_first(json_get(cases, "cases")); c != NULL; c = json_next(c)) {
        const char *id = json_string(json_get(c, "id"));
        if (!is_wanted(id, first, argc, argv)) {
            continue;
        }
        char *model = xasprintf("%s/%s", argv[1], json_string(json_get(c, "model")));
        if (!file_exists(model)) {
            printf("skip %s: no %s\n", id, model);
            skipped++;
        } else {
            int failures = run_case(c, model, argv[2], load, n_ranks);
            printf("%s %s\n", failures == 0 ? "ok  " : "FAIL", id);
            passed += failures == 0;
            failed += failures != 0;
        }
        fflush(stdout);
        free(model);
    }
    json_free(cases);
    printf("goldens: %d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed == 0 && passed > 0 ? 0 : 1;
}
