#include "server/images_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct images_limits LIMITS = {
    .max_n = 4, .max_steps = 20, .max_pixels = 512 * 512, .max_prompt_bytes = 50};

static struct flux_spec defaults(void)
{
    return (struct flux_spec){.width_px = 64,
                              .height_px = 64,
                              .steps = 4,
                              .guidance_scale = 3.5,
                              .true_cfg_scale = 1,
                              .max_sequence_length = 512};
}

static bool parse(struct images_request *r, const char *body, struct error *err)
{
    struct flux_spec d = defaults();
    *r = (struct images_request){0};
    return images_parse(r, body, strlen(body), &LIMITS, &d, err);
}

/* A body of a prompt and one more member. */
static void accept(struct images_request *r, const char *member)
{
    struct error err = {0};
    char body[512];
    snprintf(body, sizeof body, "{\"prompt\":\"a fox\"%s%s}", *member ? "," : "", member);
    if (!parse(r, body, &err))
        fail_msg("%s: %s", body, err.text);
}

static void refuse(const char *member, const char *field, const char *part_of_text)
{
    struct images_request r;
    struct error err = {0};
    char body[512];
    snprintf(body, sizeof body, "{\"prompt\":\"a fox\"%s%s}", *member ? "," : "", member);
    if (parse(&r, body, &err))
        fail_msg("%s was accepted", body);
    images_request_free(&r);
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, field);
    if (!strstr(err.text, part_of_text))
        fail_msg("'%s' is not in '%s'", part_of_text, err.text);
}

static void prompt_alone_takes_the_models_defaults(void **state)
{
    (void)state;
    struct images_request r;
    accept(&r, "");
    assert_string_equal(r.prompt, "a fox");
    assert_int_equal(r.n, 1);
    assert_int_equal(r.width_px, 64);
    assert_int_equal(r.height_px, 64);
    assert_int_equal(r.steps, 4);
    assert_true(r.guidance_scale == 3.5);
    assert_int_equal(r.max_sequence_length, 512);
    assert_int_equal(r.format, IMAGE_PNG);
    assert_false(r.wants_url);
    assert_true(r.seed >= 0 && r.seed <= UINT32_MAX);
    assert_string_equal(r.ignored, "");
    images_request_free(&r);
}

static void default_steps_obey_the_limit(void **state)
{
    (void)state;
    struct images_request r = {0};
    struct error err = {0};
    struct flux_spec d = defaults();
    d.steps = (int)LIMITS.max_steps + 8;
    assert_true(images_parse(&r, "{\"prompt\":\"a\"}", 14, &LIMITS, &d, &err));
    assert_int_equal(r.steps, LIMITS.max_steps);
    images_request_free(&r);
}

static void all_fields_arrive_in_the_spec(void **state)
{
    (void)state;
    struct images_request r;
    struct flux_spec d = defaults();
    accept(&r, "\"negative_prompt\":\"\",\"n\":3,\"size\":\"128x96\",\"num_inference_steps\":7,"
               "\"guidance_scale\":2.25,\"true_cfg_scale\":4,\"seed\":40,"
               "\"max_sequence_length\":256,\"generator_device\":\"cuda\"");
    struct flux_spec spec = images_spec(&r, &d);
    assert_string_equal(spec.prompts[0], "a fox");
    assert_string_equal(spec.negative_prompts[0], "");
    assert_int_equal(spec.images_per_prompt, 3);
    assert_int_equal(spec.width_px, 128);
    assert_int_equal(spec.height_px, 96);
    assert_int_equal(spec.steps, 7);
    assert_true(spec.guidance_scale == 2.25);
    assert_true(spec.true_cfg_scale == 4);
    assert_int_equal(spec.max_sequence_length, 256);
    assert_int_equal(spec.n_seeds, 3);
    assert_int_equal(spec.seeds[0], 40);
    assert_int_equal(spec.seeds[2], 42);
    assert_true(spec.draws_as_cuda);
    assert_int_equal(spec.max_batch, 1);
    images_request_free(&r);
}

static void null_means_not_given(void **state)
{
    (void)state;
    struct images_request r;
    accept(&r, "\"n\":null,\"size\":null,\"seed\":null,\"style\":null,\"negative_prompt\":null");
    assert_int_equal(r.n, 1);
    assert_null(r.negative_prompt);
    images_request_free(&r);
}

static void width_and_height_override_size(void **state)
{
    (void)state;
    struct images_request r;
    accept(&r, "\"width\":32,\"size\":\"128x96\"");
    assert_int_equal(r.width_px, 32);
    assert_int_equal(r.height_px, 96);
    images_request_free(&r);
    accept(&r, "\"size\":\"auto\",\"height\":80");
    assert_int_equal(r.width_px, 64);
    assert_int_equal(r.height_px, 80);
    images_request_free(&r);
}

static void output_options_are_read(void **state)
{
    (void)state;
    struct images_request r;
    accept(&r, "\"output_format\":\"jpeg\",\"output_compression\":30,\"response_format\":\"url\"");
    assert_int_equal(r.format, IMAGE_JPEG);
    assert_int_equal(r.file_quality, 30);
    assert_true(r.wants_url);
    images_request_free(&r);
    accept(&r, "\"output_format\":\"webp\",\"output_quality\":0,\"response_format\":\"b64_json\"");
    assert_int_equal(r.format, IMAGE_WEBP);
    assert_int_equal(r.file_quality, 1);
    assert_false(r.wants_url);
    images_request_free(&r);
    accept(&r, "\"output_quality\":70,\"output_compression\":70");
    assert_int_equal(r.file_quality, 70);
    images_request_free(&r);
}

static void fields_without_effect_are_listed(void **state)
{
    (void)state;
    struct images_request r;
    accept(&r, "\"quality\":\"hd\",\"style\":\"vivid\",\"moderation\":\"low\",\"user\":\"u\","
               "\"background\":\"opaque\",\"extra\":{\"a\":[1]}");
    assert_string_equal(r.ignored, "quality,style,moderation,extra");
    images_request_free(&r);
}

static void largest_seed_is_exact(void **state)
{
    (void)state;
    struct images_request r;
    accept(&r, "\"seed\":9007199254740991");
    assert_true(r.seeds[0] == UINT64_C(9007199254740991));
    images_request_free(&r);
    refuse("\"seed\":9007199254740992", "seed", "9007199254740991");
    refuse("\"seed\":9007199254740991,\"n\":2", "seed", "9007199254740990");
}

static void wrong_types_name_their_field(void **state)
{
    (void)state;
    static const char *const CASES[][2] = {
        {"n", "\"2\""},
        {"n", "1.5"},
        {"n", "true"},
        {"size", "512"},
        {"width", "\"512\""},
        {"height", "[]"},
        {"num_inference_steps", "\"020\""},
        {"guidance_scale", "\"3.5\""},
        {"true_cfg_scale", "{}"},
        {"seed", "\"7\""},
        {"seed", "1.5"},
        {"max_sequence_length", "\"a\""},
        {"negative_prompt", "7"},
        {"model", "7"},
        {"user", "[]"},
        {"response_format", "1"},
        {"output_format", "1"},
        {"output_compression", "\"50\""},
        {"output_quality", "0.5"},
        {"quality", "1"},
        {"style", "1"},
        {"background", "1"},
        {"generator_device", "0"},
        {"stream", "\"yes\""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char member[128];
        snprintf(member, sizeof member, "\"%s\":%s", CASES[i][0], CASES[i][1]);
        refuse(member, CASES[i][0], CASES[i][0]);
    }
}

static void values_out_of_range_name_field_and_limit(void **state)
{
    (void)state;
    refuse("\"n\":0", "n", "0");
    refuse("\"n\":5", "n", "4");
    refuse("\"n\":1000", "n", "1000");
    refuse("\"width\":0", "width", "0");
    refuse("\"width\":100000", "width", "100000");
    refuse("\"num_inference_steps\":0", "num_inference_steps", "0");
    refuse("\"num_inference_steps\":21", "num_inference_steps", "20");
    refuse("\"guidance_scale\":-1", "guidance_scale", "-1");
    refuse("\"true_cfg_scale\":1e9", "true_cfg_scale", "1000");
    refuse("\"seed\":-1", "seed", "-1");
    refuse("\"max_sequence_length\":513", "max_sequence_length", "512");
    refuse("\"output_compression\":101", "output_compression", "100");
    refuse("\"output_quality\":-1", "output_quality", "-1");
    refuse("\"size\":\"1024x1024\"", "size", "262144");
    refuse("\"width\":1024,\"height\":1024", "width", "262144");
}

static void malformed_sizes_are_refused(void **state)
{
    (void)state;
    static const char *const SIZES[] = {"",
                                        "64",
                                        "64x",
                                        "x64",
                                        "64X64",
                                        "64x64x",
                                        " 64x64",
                                        "64x-64",
                                        "+64x64",
                                        "64 x 64",
                                        "0x64",
                                        "64x0",
                                        "99999999999999999999x1",
                                        "large"};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        char member[64];
        snprintf(member, sizeof member, "\"size\":\"%s\"", SIZES[i]);
        refuse(member, "size", "WIDTHxHEIGHT");
    }
}

static void unknown_choices_list_the_right_ones(void **state)
{
    (void)state;
    refuse("\"response_format\":\"file\"", "response_format", "b64_json, url");
    refuse("\"output_format\":\"gif\"", "output_format", "png, jpeg, webp");
    refuse("\"output_format\":\"pn\"", "output_format", "'pn'");
    refuse("\"output_format\":\"\"", "output_format", "''");
    refuse("\"output_format\":\"png|jpeg\"", "output_format", "png|jpeg");
    refuse("\"generator_device\":\"tpu\"", "generator_device", "cpu, cuda");
    refuse("\"quality\":\"best\"", "quality", "auto, standard, hd, low, medium, high");
    refuse("\"style\":\"cubist\"", "style", "vivid, natural");
    refuse("\"background\":\"transparent\"", "background", "alpha");
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    refuse("\"output_quality\":50,\"output_compression\":60", "output_quality", "60");
    refuse("\"stream\":true", "stream", "stream");
}

static void prompt_is_required_and_bounded(void **state)
{
    (void)state;
    static const char *const BODIES[] = {"{}", "{\"prompt\":null}", "{\"prompt\":\"\"}",
                                         "{\"prompt\":7}", "{\"prompt\":[\"a\"]}"};
    for (size_t i = 0; i < sizeof BODIES / sizeof BODIES[0]; i++) {
        struct images_request r;
        struct error err = {0};
        assert_false(parse(&r, BODIES[i], &err));
        assert_string_equal(err.field, "prompt");
        images_request_free(&r);
    }
    refuse("\"negative_prompt\":\"012345678901234567890123456789012345678901234567890\"",
           "negative_prompt", "51 bytes");
}

static void bodies_that_are_no_object_are_refused(void **state)
{
    (void)state;
    static const char *const BODIES[] = {"",
                                         "[]",
                                         "\"a\"",
                                         "{\"prompt\":",
                                         "{\"prompt\":\"a\"} x",
                                         "{'prompt':'a'}",
                                         "{\"prompt\":\"\xff\"}",
                                         "null"};
    for (size_t i = 0; i < sizeof BODIES / sizeof BODIES[0]; i++) {
        struct images_request r;
        struct error err = {0};
        if (parse(&r, BODIES[i], &err))
            fail_msg("%s was accepted", BODIES[i]);
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.field, "");
        images_request_free(&r);
    }
}

static void spec_members_get_the_names_of_the_api(void **state)
{
    (void)state;
    struct error err = {0};
    fail_field(&err, "steps", "steps 0");
    images_rename_field(&err);
    assert_string_equal(err.field, "num_inference_steps");
    struct error other = {0};
    fail_field(&other, "size", "size 1x1");
    images_rename_field(&other);
    assert_string_equal(other.field, "size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompt_alone_takes_the_models_defaults),
        cmocka_unit_test(default_steps_obey_the_limit),
        cmocka_unit_test(all_fields_arrive_in_the_spec),
        cmocka_unit_test(null_means_not_given),
        cmocka_unit_test(width_and_height_override_size),
        cmocka_unit_test(output_options_are_read),
        cmocka_unit_test(fields_without_effect_are_listed),
        cmocka_unit_test(largest_seed_is_exact),
        cmocka_unit_test(wrong_types_name_their_field),
        cmocka_unit_test(values_out_of_range_name_field_and_limit),
        cmocka_unit_test(malformed_sizes_are_refused),
        cmocka_unit_test(unknown_choices_list_the_right_ones),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(prompt_is_required_and_bounded),
        cmocka_unit_test(bodies_that_are_no_object_are_refused),
        cmocka_unit_test(spec_members_get_the_names_of_the_api),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
