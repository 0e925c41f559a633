/* The face of the pipeline on the small model of the tree: wishes, determinism, cancelling, and
 * checkpoints with something wrong in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "flux/flux.h"
#include "tensor/ops.h"
#include "tests/flux/folder.h"

#include <cmocka.h> /* last: it defines fail */

#define MODEL "models/tiny-flux-dev"

static struct backend *backend;
static struct flux *flux;
static const char *const PROMPT[] = {"a red fox"};

static int open_model(void **state)
{
    (void)state;
    struct error err = {0};
    return cpu_open(&backend, &(struct cpu_options){.compute = DTYPE_F32}, &err) &&
                   flux_open(&flux, backend, MODEL, &err)
               ? 0
               : -1;
}

static int close_model(void **state)
{
    (void)state;
    flux_close(flux);
    backend_close(backend);
    return 0;
}

static struct flux_spec small_spec(const uint64_t *seeds, int n_seeds)
{
    struct flux_spec s = flux_spec_default(flux);
    s.prompts = PROMPT;
    s.n_prompts = 1;
    s.width_px = s.height_px = 64;
    s.steps = 2;
    s.max_sequence_length = 32;
    s.seeds = seeds;
    s.n_seeds = n_seeds;
    return s;
}

static struct flux_result generate(const struct flux_spec *spec)
{
    struct flux_result r;
    struct error err = {0};
    if (!flux_generate(flux, spec, NULL, &r, &err)) {
        fail_msg("%s", err.text);
    }
    return r;
}

/* --- wishes -----------------------------------------------------------------------------------*/

static void assert_refused(struct flux_spec spec, const char *field, const char *reason)
{
    struct error err = {0};
    assert_false(flux_check(flux, &spec, &err));
    assert_string_equal(err.field, field);
    assert_int_equal(err.code, ERR_INVALID);
    if (strstr(err.text, reason) == NULL) {
        fail_msg("'%s' does not name '%s'", err.text, reason);
    }
}

static void wishes_out_of_range_are_refused_by_field(void **state)
{
    (void)state;
    const uint64_t seeds[2] = {1, 2};
    struct flux_spec good = small_spec(seeds, 1), s;
    assert_true(flux_check(flux, &good, NULL));
    s = good, s.width_px = 72;
    assert_refused(s, "size", "multiples of 16");
    s = good, s.height_px = 0;
    assert_refused(s, "size", "64x0");
    s = good, s.width_px = 16384;
    assert_refused(s, "size", "8192");
    s = good, s.steps = 0;
    assert_refused(s, "num_inference_steps", "from 1 to 1000");
    s = good, s.max_sequence_length = 513;
    assert_refused(s, "max_sequence_length", "from 1 to 512");
    s = good, s.images_per_prompt = 0;
    assert_refused(s, "n", "from 1 to 64");
    s = good, s.n_prompts = 0;
    assert_refused(s, "prompts", "from 1");
    s = good, s.n_seeds = 2;
    assert_refused(s, "seed", "2 seeds for 1 images");
    s = good, s.guidance_scale = -1;
    assert_refused(s, "guidance_scale", "-1");
    s = good, s.true_cfg_scale = 101;
    assert_refused(s, "true_cfg_scale", "101");
    uint8_t *rgb = calloc(64 * 64, 3);
    s = good, s.init_rgb = rgb, s.strength = 1.5;
    assert_refused(s, "strength", "1.5");
    s.strength = 0;
    assert_refused(s, "strength", "no step to run");
    free(rgb);
    char *huge = malloc(FLUX_MAX_PROMPT_BYTES + 2);
    memset(huge, 'a', FLUX_MAX_PROMPT_BYTES + 1);
    huge[FLUX_MAX_PROMPT_BYTES + 1] = '\0';
    const char *const prompts[] = {huge};
    s = good, s.prompts = prompts;
    assert_refused(s, "prompt", "at most");
    free(huge);
}

static void a_refused_wish_leaves_an_empty_result(void **state)
{
    (void)state;
    struct flux_spec s = small_spec(NULL, 0);
    struct flux_result r;
    struct error err = {0};
    assert_false(flux_generate(flux, &s, NULL, &r, &err));
    assert_null(r.rgb);
    assert_int_equal(r.n_images, 0);
}

/* --- pictures ---------------------------------------------------------------------------------*/

enum { PICTURE = 64 * 64 * 3 };

static void the_same_wish_gives_the_same_picture(void **state)
{
    (void)state;
    struct flux_spec s = small_spec((const uint64_t[]){5}, 1);
    struct flux_result a = generate(&s), b = generate(&s);
    assert_memory_equal(a.rgb, b.rgb, PICTURE);
    s.seeds = (const uint64_t[]){6};
    struct flux_result c = generate(&s);
    assert_memory_not_equal(a.rgb, c.rgb, PICTURE);
    flux_result_free(&a);
    flux_result_free(&b);
    flux_result_free(&c);
}

static void a_picture_does_not_depend_on_its_neighbours(void **state)
{
    (void)state;
    struct flux_spec s = small_spec((const uint64_t[]){5, 6, 7}, 3);
    s.images_per_prompt = 3;
    s.max_batch = 1;
    struct flux_result all = generate(&s);
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t seed = 5 + i;
        struct flux_spec one = small_spec(&seed, 1);
        struct flux_result r = generate(&one);
        assert_memory_equal(all.rgb + i * PICTURE, r.rgb, PICTURE);
        flux_result_free(&r);
    }
    assert_int_equal(all.n_step_times, 6); /* two steps, row after row */
    flux_result_free(&all);
}

static void a_long_prompt_is_cut_with_a_warning(void **state)
{
    (void)state;
    struct buf {
        char text[1000];
    } b;
    memset(&b, 0, sizeof b);
    for (int i = 0; i < 90; i++) {
        strcat(b.text, "fox "); /* NOLINT: bounded by the loop */
    }
    const char *const prompts[] = {b.text};
    struct flux_spec s = small_spec((const uint64_t[]){5}, 1);
    s.prompts = prompts;
    s.max_sequence_length = 128;
    struct flux_result r = generate(&s);
    assert_non_null(strstr(r.warning, "77 CLIP tokens"));
    flux_result_free(&r);
    s.prompts = PROMPT;
    r = generate(&s);
    assert_string_equal(r.warning, "");
    flux_result_free(&r);
}

/* --- cancelling -------------------------------------------------------------------------------*/

struct canceler {
    enum flux_stage stage;
    int step, calls;
};

static bool cancel_at(void *ctx, enum flux_stage stage, int row, int step)
{
    struct canceler *c = ctx;
    (void)row;
    c->calls++;
    return stage != c->stage || step != c->step;
}

static void canceling_stops_before_the_next_stage(void **state)
{
    (void)state;
    static const struct canceler AT[] = {
        {FLUX_STAGE_TEXT, 0, 0}, {FLUX_STAGE_STEP, 1, 0}, {FLUX_STAGE_VAE, 0, 0}};
    static const int CALLS[] = {1, 3, 4};
    for (int i = 0; i < 3; i++) {
        struct canceler c = AT[i];
        struct flux_hooks hooks = {.ctx = &c, .may_continue = cancel_at};
        struct flux_spec s = small_spec((const uint64_t[]){5}, 1);
        struct flux_result r;
        struct error err = {0};
        assert_false(flux_generate(flux, &s, &hooks, &r, &err));
        assert_int_equal(err.code, ERR_CANCELED);
        assert_int_equal(c.calls, CALLS[i]);
        assert_null(r.rgb);
        s = small_spec((const uint64_t[]){5}, 1); /* the model stays usable */
        r = generate(&s);
        flux_result_free(&r);
    }
}

/* --- allocations ------------------------------------------------------------------------------*/

static int n_allocations;
static const struct backend_ops *real_ops;

static void *counting_alloc(struct backend *b, size_t bytes, struct error *err)
{
    n_allocations++;
    return real_ops->alloc(b, bytes, err);
}

static void a_second_run_allocates_no_device_memory(void **state)
{
    (void)state;
    struct flux_spec s = small_spec((const uint64_t[]){5}, 1);
    struct flux_result r = generate(&s);
    flux_result_free(&r);
    struct backend_ops ops = *backend->ops;
    real_ops = backend->ops;
    ops.alloc = counting_alloc;
    backend->ops = &ops;
    n_allocations = 0;
    r = generate(&s);
    backend->ops = real_ops;
    assert_int_equal(n_allocations, 0);
    assert_int_equal(r.scratch_bytes <= backend->scratch.capacity, 1);
    flux_result_free(&r);
}

static void *no_alloc(struct backend *b, size_t bytes, struct error *err)
{
    (void)b, (void)bytes;
    *err = (struct error){.code = ERR_MEMORY, .text = "none left"};
    return NULL;
}

static void a_size_that_does_not_fit_names_tiles_that_would(void **state)
{
    (void)state;
    struct flux_spec s = small_spec((const uint64_t[]){5}, 1);
    struct flux_result r;
    struct error large = {0}, small = {0};
    struct backend_ops ops = *backend->ops;
    real_ops = backend->ops;
    ops.alloc = no_alloc;
    backend->ops = &ops;
    s.width_px = s.height_px = 1024;
    bool is_large = flux_generate(flux, &s, NULL, &r, &large);
    s.width_px = s.height_px = 128;
    bool is_small = flux_generate(flux, &s, NULL, &r, &small);
    backend->ops = real_ops;
    assert_false(is_large || is_small);
    assert_int_equal(large.code, ERR_MEMORY);
    assert_non_null(strstr(large.text, "1024x1024 (with --vae-tile-size 512 "));
    assert_non_null(strstr(large.text, "none left"));
    assert_null(strstr(small.text, "--vae-tile-size")); /* it is within a tile */
    s = small_spec((const uint64_t[]){5}, 1);           /* the model stays usable */
    r = generate(&s);
    flux_result_free(&r);
}

/* --- checkpoints ------------------------------------------------------------------------------*/

static void assert_open_fails(char *folder, const char *reason)
{
    struct backend *b = NULL;
    struct flux *f = NULL;
    struct error err = {0};
    assert_true(cpu_open(&b, &(struct cpu_options){.compute = DTYPE_F32}, &err));
    assert_false(flux_open(&f, b, folder, &err));
    assert_null(f);
    if (strstr(err.text, reason) == NULL) {
        fail_msg("'%s' does not name '%s'", err.text, reason);
    }
    backend_close(b);
}

static void broken_checkpoints_are_refused_by_name(void **state)
{
    (void)state;
    char *folder = folder_copy(MODEL);
    folder_edit(folder, "transformer/config.json", "\"num_single_layers\": 3",
                "\"num_single_layers\": 4");
    assert_open_fails(folder, "single_transformer_blocks.3.norm.linear.weight: missing");
    assert_open_fails(folder, "more");
    folder_edit(folder, "transformer/config.json", "\"num_single_layers\": 4",
                "\"num_single_layers\": 3");
    folder_edit(folder, "text_encoder/config.json", "\"intermediate_size\": 96",
                "\"intermediate_size\": 95");
    assert_open_fails(folder, "want [95, 24], found [96, 24]");
    folder_edit(folder, "text_encoder/config.json", "\"intermediate_size\": 95",
                "\"intermediate_size\": 96");
    folder_write(folder, "vae/diffusion_pytorch_model.safetensors", "x", 1);
    assert_open_fails(folder, "vae/diffusion_pytorch_model.safetensors: is too short");
    folder_remove(folder, "tokenizer");
    assert_open_fails(folder, "tokenizer");
    folder_delete(folder);
    assert_open_fails((char[]){"/nowhere/model"}, "/nowhere/model: no such model folder");
    assert_open_fails((char[]){"README.md"}, "README.md");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wishes_out_of_range_are_refused_by_field),
        cmocka_unit_test(a_refused_wish_leaves_an_empty_result),
        cmocka_unit_test(the_same_wish_gives_the_same_picture),
        cmocka_unit_test(a_picture_does_not_depend_on_its_neighbours),
        cmocka_unit_test(a_long_prompt_is_cut_with_a_warning),
        cmocka_unit_test(canceling_stops_before_the_next_stage),
        cmocka_unit_test(a_second_run_allocates_no_device_memory),
        cmocka_unit_test(a_size_that_does_not_fit_names_tiles_that_would),
        cmocka_unit_test(broken_checkpoints_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
