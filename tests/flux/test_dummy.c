/* Models of random weights: the same every time, finite, of the size that was asked for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "flux/flux.h"
#include "flux/weights.h"
#include "tensor/ops.h"
#include "tests/flux/folder.h"

#include <cmocka.h> /* last: it defines fail */

#define MODEL "models/tiny-flux-dev"
enum { SIDE_PX = 64 };

static struct backend *open_cpu(enum dtype compute)
{
    struct backend *b = NULL;
    struct error err = {0};
    assert_true(cpu_open(&b, &(struct cpu_options){.compute = compute, .threads = 1}, &err));
    return b;
}

/* An image of one step; the caller frees the result. */
static struct flux_result generate(struct flux *f)
{
    struct flux_spec spec = flux_spec_default(f);
    struct flux_result result = {0};
    struct error err = {0};
    spec.prompts = (const char *const[]){"a red fox"};
    spec.n_prompts = 1;
    spec.width_px = spec.height_px = SIDE_PX;
    spec.steps = 2;
    spec.seeds = (const uint64_t[]){7};
    spec.n_seeds = 1;
    if (!flux_generate(f, &spec, NULL, &result, &err))
        fail_msg("%s", err.text);
    return result;
}

static struct flux_result generate_dummy(const char *folder, enum dtype compute, uint64_t seed)
{
    struct backend *b = open_cpu(compute);
    struct flux *f = NULL;
    struct error err = {0};
    if (!flux_open_as(&f, b, folder, &(struct flux_load){.is_dummy = true, .seed = seed}, &err))
        fail_msg("%s", err.text);
    struct flux_result result = generate(f);
    flux_close(f);
    backend_close(b);
    return result;
}

/* Configs and nothing else. */
static char *configs_of(const char *model)
{
    char *folder = folder_copy(model);
    static const char *const DROPPED[] = {"tokenizer",
                                          "tokenizer_2",
                                          "text_encoder/model.safetensors",
                                          "text_encoder_2/model.safetensors",
                                          "transformer/diffusion_pytorch_model.safetensors",
                                          "vae/diffusion_pytorch_model.safetensors"};
    for (size_t i = 0; i < sizeof DROPPED / sizeof DROPPED[0]; i++)
        folder_remove(folder, DROPPED[i]);
    return folder;
}

static void configs_alone_make_a_picture(void **state)
{
    (void)state;
    char *folder = configs_of(MODEL);
    static const enum dtype TYPES[] = {DTYPE_F32, DTYPE_BF16};
    for (size_t t = 0; t < sizeof TYPES / sizeof TYPES[0]; t++) {
        struct flux_result a = generate_dummy(folder, TYPES[t], 1),
                           b = generate_dummy(folder, TYPES[t], 1),
                           other = generate_dummy(folder, TYPES[t], 2);
        size_t bytes = (size_t)SIDE_PX * SIDE_PX * 3;
        assert_memory_equal(a.rgb, b.rgb, bytes);
        assert_memory_not_equal(a.rgb, other.rgb, bytes);
        /* Neither flat, as NaN would be, nor all at the ends, as infinities would be. */
        size_t n_between = 0;
        for (size_t i = 0; i < bytes; i++)
            n_between += a.rgb[i] > 0 && a.rgb[i] < 255;
        assert_true(n_between > bytes / 2);
        assert_memory_not_equal(a.rgb, a.rgb + 3, bytes - 3);
        flux_result_free(&a);
        flux_result_free(&b);
        flux_result_free(&other);
    }
    folder_delete(folder);
}

static void values_have_the_size_that_layers_want(void **state)
{
    (void)state;
    enum { N = 256, K = 1024 };
    static const struct {
        const char *name;
        double deviation;
    } CASES[] = {{"x.attn.to_q.weight", 1.0 / 32}, {"x.attn.to_out.0.weight", 0.25 / 32}};
    static const enum dtype TYPES[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    for (size_t i = 0; i < 6; i++) {
        struct backend *b = open_cpu(DTYPE_F32);
        struct weights w;
        struct error err = {0};
        struct tensor norm = {0};
        weights_open_random(&w, b, TYPES[i % 3], 5);
        /* weights_host() shows values, but treats them as a table: of a row per output. */
        float *table = weights_host(&w, SHAPE(N, K), "table");
        weights_want(&w, &norm, WEIGHT_VECTOR, SHAPE(K), "norm.weight");
        double squares = 0;
        for (int64_t k = 0; k < (int64_t)N * K; k++)
            squares += (double)table[k] * (double)table[k];
        assert_true(fabs(sqrt(squares / (N * K)) - 1) < 0.01);
        for (int k = 0; k < K; k++)
            assert_true(((const float *)norm.data)[k] == 1.0f);
        struct tensor matrix = {0}, x, y;
        weights_want(&w, &matrix, WEIGHT_MATRIX, SHAPE(N, K), "%s", CASES[i / 3].name);
        assert_true(weights_finish(&w, &err));
        /* Random inputs of size 1 come out with the deviation times sqrt(K). */
        assert_true(scratch_reserve(b, 1 << 22, &err));
        x = scratch_take(b, DTYPE_F32, SHAPE(1, N, K));
        y = scratch_take(b, DTYPE_F32, SHAPE(1, N, N));
        backend_upload(b, x, table);
        op_linear(b, y, x, matrix, tensor_none(), ACT_NONE);
        float *out = malloc(sizeof(float) * N * N);
        assert_true(backend_download(b, out, y, &err));
        squares = 0;
        for (int k = 0; k < N * N; k++)
            squares += (double)out[k] * (double)out[k];
        assert_true(fabs(sqrt(squares / (N * N)) / (32 * CASES[i / 3].deviation) - 1) < 0.03);
        free(out);
        free(table);
        backend_close(b);
        weights_close(&w);
    }
}

static void layers_are_cut_for_checkpoints_too(void **state)
{
    (void)state;
    struct backend *b = open_cpu(DTYPE_F32);
    struct flux *whole = NULL, *cut = NULL, *none = NULL;
    struct error err = {0};
    const struct flux_load one = {.has_layers = true, .n_double = 1, .n_single = 1},
                           many = {.has_layers = true, .n_double = 1, .n_single = 999};
    assert_true(flux_open(&whole, b, MODEL, &err));
    assert_true(flux_open_as(&cut, b, MODEL, &one, &err));
    assert_true(flux_info(cut)->n_parameters < flux_info(whole)->n_parameters);
    struct flux_plan plan;
    assert_true(flux_plan(MODEL, &(struct flux_plan_query){.load = one}, &plan, &err));
    assert_int_equal(plan.n_parameters, flux_info(cut)->n_parameters);
    struct flux_result a = generate(whole), c = generate(cut);
    assert_memory_not_equal(a.rgb, c.rgb, (size_t)SIDE_PX * SIDE_PX * 3);
    assert_false(flux_open_as(&none, b, MODEL, &many, &err));
    assert_string_equal(err.field, "num_layers");
    assert_non_null(strstr(err.text, "1,999"));
    flux_result_free(&a);
    flux_result_free(&c);
    flux_close(whole);
    flux_close(cut);
    backend_close(b);
}

static void a_known_name_is_no_checkpoint(void **state)
{
    (void)state;
    struct flux *f = NULL;
    struct backend *b = open_cpu(DTYPE_F32);
    struct error err = {0};
    assert_true(flux_is_known("black-forest-labs/FLUX.1-dev"));
    assert_false(flux_open(&f, b, "black-forest-labs/FLUX.1-dev", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    backend_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configs_alone_make_a_picture),
        cmocka_unit_test(values_have_the_size_that_layers_want),
        cmocka_unit_test(layers_are_cut_for_checkpoints_too),
        cmocka_unit_test(a_known_name_is_no_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
