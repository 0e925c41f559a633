/* Which weights are quantised, models that are, and folders that are written so. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cpu/cpu.h"
#include "flux/flux.h"
#include "flux/quantise_folder.h"
#include "flux/safetensors.h"
#include "flux/weights_random.h"
#include "tests/flux/folder.h"

#include <cmocka.h> /* last: it defines fail */

#define MODEL "models/tiny-flux-dev"
enum { SIDE_PX = 64, BYTES = SIDE_PX * SIDE_PX * 3 };

static struct backend *open_cpu(int threads)
{
    struct backend *b = NULL;
    struct error err = {0};
    if (!cpu_open(&b, &(struct cpu_options){.compute = DTYPE_F32, .threads = threads}, &err))
        fail_msg("%s", err.text);
    return b;
}

static struct flux_result draw(const char *model, struct flux_load load, int threads)
{
    struct backend *b = open_cpu(threads);
    struct flux *f = NULL;
    struct flux_result result = {0};
    struct error err = {0};
    if (!flux_open_as(&f, b, model, &load, &err))
        fail_msg("%s", err.text);
    struct flux_spec spec = flux_spec_default(f);
    spec.prompts = (const char *const[]){"a red fox"};
    spec.n_prompts = 1;
    spec.width_px = spec.height_px = SIDE_PX;
    spec.steps = 2;
    spec.seeds = (const uint64_t[]){7};
    spec.n_seeds = 1;
    if (!flux_generate(f, &spec, NULL, &result, &err))
        fail_msg("%s", err.text);
    flux_close(f);
    backend_close(b);
    return result;
}

static void matrices_of_blocks_are_quantised_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int rank;
        bool is_quantised;
    } CASES[] = {
        {"transformer_blocks.0.attn.to_q.weight", 2, true},
        {"transformer_blocks.18.norm1_context.linear.weight", 2, true},
        {"single_transformer_blocks.37.proj_out.weight", 2, true},
        {"encoder.block.3.layer.1.DenseReluDense.wi_0.weight", 2, true},
        {"transformer_blocks.0.attn.to_q.bias", 1, false},
        {"transformer_blocks.0.attn.norm_q.weight", 1, false},
        {"encoder.block.0.layer.0.layer_norm.weight", 1, false},
        {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 2, false},
        {"x_embedder.weight", 2, false},
        {"proj_out.weight", 2, false},
        {"shared.weight", 2, false},
        {"text_model.encoder.layers.0.mlp.fc1.weight", 2, false},
        {"decoder.mid_block.attentions.0.to_q.weight", 2, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        enum quant want = CASES[i].is_quantised ? QUANT_Q4 : QUANT_NONE;
        assert_int_equal(quantise_scheme(QUANT_Q4, CASES[i].name, CASES[i].rank), want);
        assert_int_equal(quantise_scheme(QUANT_NONE, CASES[i].name, CASES[i].rank), QUANT_NONE);
    }
}

/* The same whatever the number of threads, and another picture than that of the floats. */
static void quantised_models_make_pictures(void **state)
{
    (void)state;
    for (int dummy = 0; dummy < 2; dummy++) {
        struct flux_result plain = draw(MODEL, (struct flux_load){.is_dummy = dummy}, 1);
        for (int q = QUANT_INT8; q <= QUANT_Q4; q++) {
            struct flux_load load = {.is_dummy = dummy, .quant = (enum quant)q};
            struct flux_result one = draw(MODEL, load, 1), three = draw(MODEL, load, 3);
            assert_memory_equal(one.rgb, three.rgb, BYTES);
            assert_memory_not_equal(one.rgb, plain.rgb, BYTES);
            flux_result_free(&one);
            flux_result_free(&three);
        }
        flux_result_free(&plain);
    }
}

static void rounded_inputs_make_other_pictures(void **state)
{
    (void)state;
    for (int q = QUANT_INT8; q <= QUANT_FP8; q++) {
        struct flux_load load = {.quant = (enum quant)q};
        struct flux_result plain = draw(MODEL, load, 1);
        load.rounds_inputs = true;
        struct flux_result one = draw(MODEL, load, 1), three = draw(MODEL, load, 3);
        assert_memory_equal(one.rgb, three.rgb, BYTES);
        assert_memory_not_equal(one.rgb, plain.rgb, BYTES);
        flux_result_free(&plain);
        flux_result_free(&one);
        flux_result_free(&three);
    }
}

/* The wish against a back end that has lost one of its abilities. */
static void expect_no_rounding(enum quant quant, bool multiplies_int8, const char *part)
{
    struct backend *b = NULL;
    struct flux *f = NULL;
    struct error err = {0};
    const struct flux_load load = {.quant = quant, .rounds_inputs = true};
    assert_true(cpu_open(&b, &(struct cpu_options){.threads = 1, .compute = DTYPE_F32}, &err));
    b->multiplies_fp8 = false;
    b->multiplies_int8 = multiplies_int8;
    assert_false(flux_open_as(&f, b, MODEL, &load, &err));
    assert_string_equal(err.field, "quantize_activations");
    if (strstr(err.text, part) == NULL) {
        fail_msg("'%s' must have '%s'", err.text, part);
    }
    backend_close(b);
}

static void inputs_that_cant_be_rounded_are_refused(void **state)
{
    (void)state;
    expect_no_rounding(QUANT_NONE, true, "not quantised, must be int8 or fp8");
    expect_no_rounding(QUANT_Q4, true, "q4, must be int8 or fp8");
    expect_no_rounding(QUANT_FP8, true, "does not multiply fp8; int8 is possible");
    expect_no_rounding(QUANT_INT8, false, "does not multiply int8");
}

static void random_codes_have_the_variance_of_random_floats(void **state)
{
    (void)state;
    enum { N = 100, K = 1000 };
    struct backend *b = open_cpu(2);
    for (int q = QUANT_INT8; q <= QUANT_Q4; q++) {
        struct tensor t = quantise_new((enum quant)q, N, K);
        float row[K];
        double sum = 0, squares = 0;
        weights_random_fill(b, t, WEIGHT_MATRIX, "x.attn.to_q.weight", 5);
        for (int64_t r = 0; r < N; r++) {
            quant_load_row(row, t, r);
            for (int k = 0; k < K; k++) {
                sum += (double)row[k];
                squares += (double)row[k] * (double)row[k];
            }
        }
        /* four bits are coarse: -7 .. 7 with two zeros have a variance of 0.96 of the uniform's */
        assert_true(fabs(squares / N - 1) < 0.15);
        assert_true(fabs(sum / N) < 0.5);
        free(t.data);
    }
    backend_close(b);
}

static void a_plan_counts_what_is_loaded(void **state)
{
    (void)state;
    struct backend *b = open_cpu(1);
    for (int q = QUANT_NONE; q <= QUANT_Q4; q++) {
        struct flux *f = NULL;
        struct flux_plan plan;
        struct error err = {0};
        const struct flux_load load = {.quant = (enum quant)q};
        assert_true(flux_open_as(&f, b, MODEL, &load, &err));
        assert_true(flux_plan(MODEL, &(struct flux_plan_query){.load = load}, &plan, &err));
        size_t loaded = flux_info(f)->weight_bytes;
        /* files say f32 where configs are silent and mean bf16: compare what is quantised */
        size_t quantised = plan.parts[1].quantised_bytes + plan.parts[2].quantised_bytes;
        assert_true(q == QUANT_NONE ? quantised == 0 : quantised > 0 && quantised < loaded);
        assert_int_equal(plan.parts[2].quant, q);
        assert_int_equal(plan.parts[3].quant, QUANT_NONE);
        assert_int_equal(plan.n_parameters, flux_info(f)->n_parameters);
        flux_close(f);
    }
    backend_close(b);
}

/* --- folders ----------------------------------------------------------------------------------*/

static bool convert(const char *from, const char *to, enum quant quant,
                    struct quantise_report *report, struct error *err)
{
    struct backend *b = open_cpu(1);
    const struct quantise_folder q = {.from = from, .to = to, .quant = quant, .backend = b};
    bool ok = quantise_folder(&q, report, err);
    backend_close(b);
    return ok;
}

static void a_written_model_is_the_one_quantised_at_load(void **state)
{
    (void)state;
    for (int q = QUANT_INT8; q <= QUANT_Q4; q++) {
        char *place = folder_new(), *to = xasprintf("%s/out", place);
        struct quantise_report report;
        struct error err = {0};
        if (!convert(MODEL, to, (enum quant)q, &report, &err))
            fail_msg("%s", err.text);
        assert_true(report.bytes_after < report.bytes_before);
        assert_true(report.n_kinds > 10);
        for (size_t i = 0; i < report.n_kinds; i++) {
            double error = quantise_relative(report.kinds[i].sum);
            assert_true(error > 0.001 && error < 0.15 && error <= report.kinds[i].worst);
            assert_non_null(strstr(report.kinds[i].worst_name, ".weight"));
        }
        struct flux_result at_load = draw(MODEL, (struct flux_load){.quant = (enum quant)q}, 1);
        struct flux_result stored = draw(to, (struct flux_load){0}, 2);
        assert_memory_equal(at_load.rgb, stored.rgb, BYTES);
        flux_result_free(&at_load);
        flux_result_free(&stored);
        quantise_report_free(&report);
        free(to);
        folder_delete(place);
    }
}

static void shards_and_their_index_are_kept(void **state)
{
    (void)state;
    char *place = folder_new(), *to = xasprintf("%s/out", place), *from = folder_copy(MODEL);
    static const char INDEX[] = "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {"
                                "\"x_embedder.weight\": \"all.safetensors\"}}";
    char *old = xasprintf("%s/transformer/diffusion_pytorch_model.safetensors", from);
    char *new = xasprintf("%s/transformer/all.safetensors", from);
    assert_int_equal(rename(old, new), 0);
    folder_write(from, "transformer/diffusion_pytorch_model.safetensors.index.json", INDEX,
                 sizeof INDEX - 1);
    struct quantise_report report;
    struct error err = {0};
    if (!convert(from, to, QUANT_INT8, &report, &err))
        fail_msg("%s", err.text);
    struct flux_result at_load = draw(MODEL, (struct flux_load){.quant = QUANT_INT8}, 1);
    /* one file of one name in the index: written as it was found, and opened by the new index */
    struct safetensors *file = NULL;
    char *written = xasprintf("%s/transformer/all.safetensors", to);
    struct tensor scale;
    assert_true(safetensors_open_file(&file, written, &err));
    assert_true(
        safetensors_find(file, "transformer_blocks.0.attn.to_q.weight_scale", &scale, &err));
    assert_int_equal(scale.dtype, DTYPE_F32);
    assert_int_equal(scale.dims[1], 1);
    safetensors_close(file);
    struct flux_result stored = draw(to, (struct flux_load){0}, 1);
    assert_memory_equal(at_load.rgb, stored.rgb, BYTES);
    flux_result_free(&at_load);
    flux_result_free(&stored);
    quantise_report_free(&report);
    free(written);
    free(old);
    free(new);
    free(to);
    folder_delete(place);
    folder_delete(from);
}

static void bad_wishes_are_refused_by_name(void **state)
{
    (void)state;
    char *place = folder_new(), *to = xasprintf("%s/out", place), *again = xasprintf("%s/2", place);
    char *nowhere = xasprintf("%s/none/out", place);
    struct quantise_report report;
    struct error err = {0}, exists = {0}, twice = {0}, other = {0}, missing = {0};
    assert_true(convert(MODEL, to, QUANT_FP8, &report, &err));
    quantise_report_free(&report);
    assert_false(convert(MODEL, to, QUANT_FP8, &report, &exists));
    assert_non_null(strstr(exists.text, "exists already"));
    quantise_report_free(&report);
    assert_false(convert(to, again, QUANT_INT8, &report, &twice));
    assert_non_null(strstr(twice.text, "quantised already, as fp8"));
    quantise_report_free(&report);
    assert_false(convert(MODEL, nowhere, QUANT_FP8, &report, &missing));
    assert_non_null(strstr(missing.text, "can't be made"));
    quantise_report_free(&report);
    struct backend *b = open_cpu(1);
    struct flux *f = NULL;
    assert_false(flux_open_as(&f, b, to, &(struct flux_load){.quant = QUANT_Q4}, &other));
    assert_string_equal(other.field, "quantization");
    assert_non_null(strstr(other.text, "stored as fp8 already"));
    backend_close(b);
    free(to);
    free(again);
    free(nowhere);
    folder_delete(place);
}

/* As the cuda back end does: said before anything is loaded, by the config or by the file. */
static void a_back_end_that_takes_floats_alone_refuses(void **state)
{
    (void)state;
    char *place = folder_new(), *to = xasprintf("%s/out", place);
    struct quantise_report report;
    struct error err = {0}, at_load = {0}, stored = {0}, silent = {0};
    struct backend *b = open_cpu(1);
    struct flux *f = NULL;
    b->takes_quantised = false;
    assert_false(flux_open_as(&f, b, MODEL, &(struct flux_load){.quant = QUANT_Q4}, &at_load));
    assert_string_equal(at_load.field, "quantization");
    assert_non_null(strstr(at_load.text, "--backend cpu takes quantised ones"));
    assert_true(convert(MODEL, to, QUANT_INT8, &report, &err));
    quantise_report_free(&report);
    assert_false(flux_open(&f, b, to, &stored));
    assert_non_null(strstr(stored.text, "quantization int8: the cpu back end"));
    folder_edit(to, "transformer/config.json", "quantization_config", "other");
    folder_edit(to, "text_encoder_2/config.json", "quantization_config", "other");
    assert_false(flux_open(&f, b, to, &silent));
    assert_non_null(strstr(silent.text, "is quantised as int8"));
    backend_close(b);
    free(to);
    folder_delete(place);
}

static void foreign_schemes_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *config, *want;
    } CASES[] = {
        {"\"quantization_config\": {\"quant_method\": \"bitsandbytes\"},", "'bitsandbytes'"},
        {"\"quantization_config\": {\"quant_method\": \"fluxbench\", \"scheme\": \"q3\"},", "'q3'"},
        {"\"quantization_config\": {\"quant_method\": 3},", "quantization_config"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char *folder = folder_copy(MODEL), *config = xasprintf("{%s", CASES[i].config);
        folder_edit(folder, "transformer/config.json", "{", config);
        struct backend *b = open_cpu(1);
        struct flux *f = NULL;
        struct error err = {0};
        assert_false(flux_open(&f, b, folder, &err));
        assert_non_null(strstr(err.text, CASES[i].want));
        assert_non_null(strstr(err.text, "transformer/config.json"));
        backend_close(b);
        free(config);
        folder_delete(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrices_of_blocks_are_quantised_and_nothing_else),
        cmocka_unit_test(quantised_models_make_pictures),
        cmocka_unit_test(rounded_inputs_make_other_pictures),
        cmocka_unit_test(inputs_that_cant_be_rounded_are_refused),
        cmocka_unit_test(random_codes_have_the_variance_of_random_floats),
        cmocka_unit_test(a_plan_counts_what_is_loaded),
        cmocka_unit_test(a_written_model_is_the_one_quantised_at_load),
        cmocka_unit_test(shards_and_their_index_are_kept),
        cmocka_unit_test(bad_wishes_are_refused_by_name),
        cmocka_unit_test(a_back_end_that_takes_floats_alone_refuses),
        cmocka_unit_test(foreign_schemes_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
