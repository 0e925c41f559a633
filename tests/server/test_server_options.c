#include "server/options.h"

#include "server/generate_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_WORDS = 16 };

/* Parse the words up to NULL. */
static bool parse(struct server_options *o, struct error *err, const char *const words[MAX_WORDS])
{
    int argc = 0;
    while (words[argc])
        argc++;
    return options_parse(o, argc, (char **)words, 0, err);
}

static void refuse(const char *const words[MAX_WORDS], const char *field, const char *part_of_text)
{
    struct server_options o;
    struct error err = {0};
    assert_false(parse(&o, &err, words));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, field);
    assert_non_null(strstr(err.text, part_of_text));
}

static void tutorials_arguments_are_accepted(void **state)
{
    (void)state;
    struct server_options o;
    struct error err = {0};
    assert_true(parse(&o, &err,
                      (const char *[MAX_WORDS]){"--model-path", "black-forest-labs/FLUX.1-dev",
                                                "--text-encoder-cpu-offload", "--pin-cpu-memory",
                                                "--num-gpus", "1", "--port", "30000", "--host",
                                                "0.0.0.0"}));
    assert_string_equal(o.model_path, "black-forest-labs/FLUX.1-dev");
    assert_true(o.load.memory.streams_text_encoders && o.load.memory.is_pinned &&
                !o.load.memory.streams_transformer && o.gave_num_gpus);
    assert_int_equal(o.port, 30000);
    assert_string_equal(o.host, "0.0.0.0");
    assert_int_equal(o.backend.kind, BACKENDS_AUTO);
    options_free(&o);
}

static void defaults_hold_without_arguments(void **state)
{
    (void)state;
    struct server_options o;
    struct error err = {0};
    assert_true(parse(&o, &err, (const char *[MAX_WORDS]){NULL}));
    assert_null(o.model_path);
    assert_int_equal(o.port, 30000);
    assert_string_equal(o.host, "127.0.0.1");
    assert_int_equal(o.limits.max_n, 10);
    assert_int_equal(o.max_queue, 64);
    assert_false(o.gave_num_gpus);
    options_free(&o);
}

static void gpus_are_counted_and_numbered(void **state)
{
    (void)state;
    struct server_options o;
    struct error err = {0};
    assert_true(parse(&o, &err, (const char *[MAX_WORDS]){"--num-gpus", "4", "--device-id", "2"}));
    assert_int_equal(o.num_gpus, 4);
    assert_int_equal(o.backend.device_id, 2);
    options_free(&o);
    refuse((const char *[MAX_WORDS]){"--num-gpus", "65"}, "--num-gpus", "65");
}

static void devices_of_an_image_divide_all_devices(void **state)
{
    (void)state;
    struct server_options o;
    struct error err = {0};
    assert_true(parse(&o, &err, (const char *[MAX_WORDS]){NULL}));
    assert_int_equal(o.backend.degree, 1);
    assert_int_equal(o.num_gpus, 1);
    options_free(&o);
    assert_true(parse(&o, &err, (const char *[MAX_WORDS]){"--ulysses-degree", "4"}));
    assert_int_equal(o.backend.degree, 4);
    assert_int_equal(o.num_gpus, 4);
    options_free(&o);
    assert_true(
        parse(&o, &err, (const char *[MAX_WORDS]){"--ulysses-degree", "2", "--num-gpus", "6"}));
    assert_int_equal(o.num_gpus, 6);
    options_free(&o);
    refuse((const char *[MAX_WORDS]){"--ulysses-degree", "2", "--num-gpus", "3"}, "--num-gpus",
           "--num-gpus 3 with --ulysses-degree 2: must be a multiple of it");
    refuse((const char *[MAX_WORDS]){"--ulysses-degree", "9"}, "--ulysses-degree", "1 to 8");
    refuse((const char *[MAX_WORDS]){"--ulysses-degree", "0"}, "--ulysses-degree", "1 to 8");
}

static void no_gpu_means_the_cpu(void **state)
{
    (void)state;
    struct server_options o;
    struct error err = {0};
    assert_true(parse(&o, &err, (const char *[MAX_WORDS]){"--num-gpus", "0"}));
    assert_int_equal(o.backend.kind, BACKENDS_CPU);
    options_free(&o);
    refuse((const char *[MAX_WORDS]){"--num-gpus", "0", "--backend", "cuda"}, "--num-gpus", "cuda");
}

static void store_must_hold_one_request(void **state)
{
    (void)state;
    refuse((const char *[MAX_WORDS]){"--store-images", "9"}, "--store-images", "10");
}

static void model_may_have_several_names(void **state)
{
    (void)state;
    struct server_options o;
    struct error err = {0};
    assert_true(
        parse(&o, &err,
              (const char *[MAX_WORDS]){"--served-model-name", "a", "--served-model-name=b/c"}));
    assert_int_equal(o.served_names.n_items, 2);
    assert_string_equal(o.served_names.items[1], "b/c");
    options_free(&o);
}

static void environment_twin_is_overridden_by_the_command_line(void **state)
{
    (void)state;
    struct server_options o;
    struct error err = {0};
    setenv("FLUXSERVE_PORT", "1234", 1);
    setenv("FLUXSERVE_STRICT_MODEL", "true", 1);
    assert_true(parse(&o, &err, (const char *[MAX_WORDS]){NULL}));
    assert_int_equal(o.port, 1234);
    assert_true(o.is_strict);
    options_free(&o);
    assert_true(parse(&o, &err, (const char *[MAX_WORDS]){"--port", "1"}));
    assert_int_equal(o.port, 1);
    options_free(&o);
    unsetenv("FLUXSERVE_PORT");
    unsetenv("FLUXSERVE_STRICT_MODEL");
}

static void quantisation_is_a_choice(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"none", "int8", "fp8", "q4"};
    struct server_options o;
    struct error err = {0};
    for (int i = QUANT_NONE; i <= QUANT_Q4; i++) {
        assert_true(parse(&o, &err, (const char *[MAX_WORDS]){"--quantization", NAMES[i]}));
        assert_int_equal(o.load.quant, i);
        options_free(&o);
    }
    setenv("FLUXSERVE_QUANTIZATION", "q4", 1);
    assert_true(parse(&o, &err, (const char *[MAX_WORDS]){NULL}));
    assert_int_equal(o.load.quant, QUANT_Q4);
    options_free(&o);
    unsetenv("FLUXSERVE_QUANTIZATION");
    refuse((const char *[MAX_WORDS]){"--quantization", "int4"}, "--quantization", "int8");
}

static void layers_are_two_numbers(void **state)
{
    (void)state;
    struct server_options o;
    struct error err = {0};
    assert_true(parse(&o, &err,
                      (const char *[MAX_WORDS]){"--load-format", "dummy", "--num-layers", "1,12"}));
    assert_true(o.load.is_dummy && o.load.has_layers);
    assert_int_equal(o.load.n_double, 1);
    assert_int_equal(o.load.n_single, 12);
    options_free(&o);
    assert_true(parse(&o, &err, (const char *[MAX_WORDS]){NULL}));
    assert_false(o.load.is_dummy || o.load.has_layers);
    options_free(&o);
    static const char *const BAD[] = {"", "1", "1,", ",1", "1,2,3", "1, 2", "-1,2", "1,99999"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        refuse((const char *[MAX_WORDS]){"--num-layers", BAD[i]}, "--num-layers", "must be D,S");
    refuse((const char *[MAX_WORDS]){"--load-format", "random"}, "--load-format", "random");
}

/* --- generate ----------------------------------------------------------------------------------*/

static void seed_lists_are_read(void **state)
{
    (void)state;
    uint64_t seeds[FLUX_MAX_ROWS];
    int n = 0;
    struct error err = {0};
    assert_true(generate_options_seeds("9,0,18446744073709551615", seeds, &n, &err));
    assert_int_equal(n, 3);
    assert_true(seeds[0] == 9 && seeds[1] == 0 && seeds[2] == UINT64_MAX);
    static const char *const BAD[] = {"",    "-1",  "7,",  ",7",  "7,,8",
                                      "7 8", "0x7", "1e3", "7;8", "18446744073709551616"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct error why = {0};
        if (generate_options_seeds(BAD[i], seeds, &n, &why))
            fail_msg("'%s' was accepted", BAD[i]);
        assert_string_equal(why.field, "--seed");
    }
}

static void output_names_are_numbered_before_the_dot(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int i;
        const char *name;
    } CASES[] = {
        {"out.png", -1, "out.png"},
        {"out.png", 0, "out_0.png"},
        {"a.b/out.jpeg", 12, "a.b/out_12.jpeg"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf name = {0};
        generate_options_path(&name, CASES[i].path, CASES[i].i);
        assert_string_equal(name.data, CASES[i].name);
        buf_free(&name);
    }
}

static void format_follows_the_extension(void **state)
{
    (void)state;
    struct error err = {0};
    enum image_format format;
    assert_true(generate_options_format("a/b.jpg", &format, &err));
    assert_int_equal(format, IMAGE_JPEG);
    assert_true(generate_options_format("b.webp", &format, &err));
    assert_int_equal(format, IMAGE_WEBP);
    static const char *const BAD[] = {"out", "out.gif", "a.png/out", "out."};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct error why = {0};
        assert_false(generate_options_format(BAD[i], &format, &why));
        assert_string_equal(why.field, "--output");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tutorials_arguments_are_accepted),
        cmocka_unit_test(defaults_hold_without_arguments),
        cmocka_unit_test(gpus_are_counted_and_numbered),
        cmocka_unit_test(devices_of_an_image_divide_all_devices),
        cmocka_unit_test(no_gpu_means_the_cpu),
        cmocka_unit_test(store_must_hold_one_request),
        cmocka_unit_test(model_may_have_several_names),
        cmocka_unit_test(environment_twin_is_overridden_by_the_command_line),
        cmocka_unit_test(quantisation_is_a_choice),
        cmocka_unit_test(layers_are_two_numbers),
        cmocka_unit_test(seed_lists_are_read),
        cmocka_unit_test(output_names_are_numbered_before_the_dot),
        cmocka_unit_test(format_follows_the_extension),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
