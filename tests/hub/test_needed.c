/* hub/needed: which files of a model its pipeline needs. */
#include "hub/needed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static char folder[32];

static int make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", "/tmp/test_needed.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    char *command = xasprintf("rm -rf %s", folder);
    int code = system(command); /* NOLINT(cert-env33-c): a path of ours */
    free(command);
    return code;
}

static void put(const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", folder, name);
    char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    assert_true(dir_make(parent, NULL));
    assert_true(file_write(path, text, strlen(text), NULL));
    free(parent);
    free(path);
}

static struct names names_of(const char *const *items)
{
    struct names n = {0};
    for (; *items; items++)
        names_add(&n, *items);
    return n;
}

static void expect_names(const struct names *n, const char *const *wanted)
{
    size_t count = 0;
    for (; wanted[count]; count++) {
        if (!names_has(n, wanted[count]))
            fail_msg("%s is missing", wanted[count]);
    }
    assert_int_equal(n->n_items, count);
}

static const struct hub_options ALL = {0};

#define INDEX                                                                                    \
    "{\"_class_name\": \"FluxPipeline\", \"scheduler\": [\"d\", \"S\"], \"tokenizer\": [\"t\", " \
    "\"C\"],"                                                                                    \
    " \"text_encoder\": [\"t\", \"M\"], \"transformer\": [\"d\", \"F\"],"                        \
    " \"text_encoder_2\": [null, null], \"vae\": null, \"feature_extractor\": [\"t\", \"X\"]}"

static const char *const LISTED[] = {
    "model_index.json",
    "README.md",
    "flux1-dev.safetensors",
    "scheduler/scheduler_config.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "tokenizer/deep/vocab.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder/model.bin",
    "text_encoder_2/config.json",
    "text_encoder_2/model.safetensors",
    "vae/config.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
    "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
    "feature_extractor/preprocessor_config.json",
    NULL};

static void small_files_are_those_of_the_parts(void **state)
{
    (void)state;
    struct names listed = names_of(LISTED), small = {0};
    struct error err = {0};
    put("model_index.json", INDEX);
    assert_true(needed_small(folder, &listed, &small, &err));
    expect_names(&small,
                 (const char *const[]){
                     "model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json",
                     "tokenizer/merges.txt", "text_encoder/config.json", "transformer/config.json",
                     "transformer/diffusion_pytorch_model.safetensors.index.json", NULL});
    names_free(&listed);
    names_free(&small);
}

static void weights_are_one_file_or_the_shards_of_the_index(void **state)
{
    (void)state;
    struct names listed = names_of(LISTED), weights = {0};
    struct error err = {0};
    put("model_index.json", INDEX);
    put("transformer/diffusion_pytorch_model.safetensors.index.json",
        "{\"weight_map\": {\"a\": \"diffusion_pytorch_model-00002-of-00002.safetensors\","
        " \"b\": \"diffusion_pytorch_model-00002-of-00002.safetensors\"}}");
    assert_true(needed_weights(folder, &listed, &ALL, &weights, &err));
    expect_names(&weights,
                 (const char *const[]){
                     "text_encoder/model.safetensors",
                     "transformer/diffusion_pytorch_model-00002-of-00002.safetensors", NULL});
    names_free(&listed);
    names_free(&weights);
}

static void weights_of_replaced_parts_are_not_needed(void **state)
{
    (void)state;
    static const char *const REPLACED[] = {"vae", "transformer"};
    const struct hub_options options = {.without = REPLACED, .n_without = 2};
    struct names listed = names_of(LISTED), weights = {0}, all = {0}, missing = {0};
    struct error err = {0};
    put("model_index.json", INDEX);
    assert_true(needed_weights(folder, &listed, &options, &weights, &err));
    expect_names(&weights, (const char *const[]){"text_encoder/model.safetensors", NULL});
    needed_locally(folder, &options, &all, &missing);
    assert_true(names_has(&missing, "transformer/config.json"));
    assert_true(names_has(&missing, "text_encoder/model.safetensors"));
    assert_false(names_has(&all, "transformer/diffusion_pytorch_model.safetensors"));
    names_free(&listed);
    names_free(&weights);
    names_free(&all);
    names_free(&missing);
}

static void a_model_without_safetensors_is_refused(void **state)
{
    (void)state;
    struct names listed = names_of((const char *const[]){"model_index.json",
                                                         "text_encoder/pytorch_model.bin", NULL}),
                 weights = {0};
    struct error err = {0};
    put("model_index.json", INDEX);
    assert_false(needed_weights(folder, &listed, &ALL, &weights, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "text_encoder/model.safetensors"));
    names_free(&listed);
    names_free(&weights);
}

static void an_index_cannot_name_files_elsewhere(void **state)
{
    (void)state;
    static const char *const MAPS[] = {"{}",
                                       "{\"weight_map\": {}}",
                                       "{\"weight_map\": 1}",
                                       "{\"weight_map\": {\"a\": \"../../x\"}}",
                                       "{\"weight_map\": {\"a\": \"b/c\"}}",
                                       "{\"weight_map\": {\"a\": 1}}",
                                       "[",
                                       ""};
    struct names listed = names_of(LISTED);
    put("model_index.json", INDEX);
    for (size_t i = 0; i < sizeof MAPS / sizeof MAPS[0]; i++) {
        struct names weights = {0};
        struct error err = {0};
        put("transformer/diffusion_pytorch_model.safetensors.index.json", MAPS[i]);
        assert_false(needed_weights(folder, &listed, &ALL, &weights, &err));
        assert_int_equal(err.code, ERR_INVALID);
        names_free(&weights);
    }
    names_free(&listed);
}

static void expect_missing(const char *const *wanted)
{
    struct names all = {0}, missing = {0};
    needed_locally(folder, &ALL, &all, &missing);
    expect_names(&missing, wanted);
    names_free(&all);
    names_free(&missing);
}

static void a_snapshot_knows_what_it_misses(void **state)
{
    (void)state;
    expect_missing((const char *const[]){"model_index.json", NULL});
    put("model_index.json", "{");
    expect_missing((const char *const[]){"model_index.json", NULL});
    put("model_index.json", INDEX);
    expect_missing((const char *const[]){
        "scheduler/scheduler_config.json", "tokenizer/tokenizer.json", "text_encoder/config.json",
        "text_encoder/model.safetensors", "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors", NULL});
    put("scheduler/scheduler_config.json", "{}");
    put("tokenizer/vocab.json", "{}");
    put("text_encoder/config.json", "{}");
    put("text_encoder/model.safetensors", "");
    put("transformer/config.json", "{}");
    put("transformer/diffusion_pytorch_model.safetensors.index.json",
        "{\"weight_map\": {\"a\": \"x.safetensors\"}}");
    expect_missing(
        (const char *const[]){"tokenizer/tokenizer.json", "transformer/x.safetensors", NULL});
    put("tokenizer/merges.txt", "");
    put("transformer/x.safetensors", "");
    expect_missing((const char *const[]){NULL});
    put("transformer/diffusion_pytorch_model.safetensors.index.json", "cut off");
    expect_missing(
        (const char *const[]){"transformer/diffusion_pytorch_model.safetensors.index.json", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_files_are_those_of_the_parts, make, drop),
        cmocka_unit_test_setup_teardown(weights_are_one_file_or_the_shards_of_the_index, make,
                                        drop),
        cmocka_unit_test_setup_teardown(weights_of_replaced_parts_are_not_needed, make, drop),
        cmocka_unit_test_setup_teardown(a_model_without_safetensors_is_refused, make, drop),
        cmocka_unit_test_setup_teardown(an_index_cannot_name_files_elsewhere, make, drop),
        cmocka_unit_test_setup_teardown(a_snapshot_knows_what_it_misses, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
