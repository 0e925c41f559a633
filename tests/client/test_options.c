/* client/options: what the command line means. */
#include "client/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "client/options_table.h"

#define MAX_WORDS 32

static bool parse(struct options *o, const char *const *words, struct error *err)
{
    char *argv[MAX_WORDS + 2] = {(char[]){"fluxperf"}, (char[]){"profile"}};
    int argc = 2;
    for (; words[argc - 2]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 2];
    return options_parse(o, argc, argv, 2, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void parse_ok(struct options *o, const char *const *words)
{
    struct error err = {0};
    if (!parse(o, words, &err))
        fail_msg("%s", err.text);
}

static void defaults_are_aiperfs(void **state)
{
    (void)state;
    struct options o;
    parse_ok(&o, WORDS("--model", "a/b/c"));
    assert_int_equal(o.concurrency, 1);
    assert_int_equal(o.n_requests, 10);
    assert_int_equal((int)o.isl_mean, 550);
    assert_int_equal((int)o.request_timeout_s, 21600);
    assert_string_equal(o.target.urls[0], "http://localhost:8000/v1/images/generations");
    assert_string_equal(o.run_dir, "artifacts/a_b_c-openai-image_generation-concurrency1");
    assert_false(o.has_seed);
    assert_false(o.has_warmup);
    options_free(&o);
}

static void load_names_the_directory(void **state)
{
    (void)state;
    struct options o;
    parse_ok(&o, WORDS("-m", "m", "--request-rate", "10"));
    assert_string_equal(o.run_dir, "artifacts/m-openai-image_generation-request_rate10.0");
    assert_int_equal(o.concurrency, 0);
    options_free(&o);
    parse_ok(&o, WORDS("-m", "m", "--request-rate=0.5", "--concurrency", "7"));
    assert_string_equal(o.run_dir,
                        "artifacts/m-openai-image_generation-concurrency7-request_rate0.5");
    options_free(&o);
    parse_ok(&o, WORDS("-m", "m", "--output-artifact-dir", "x/y"));
    assert_string_equal(o.run_dir, "x/y");
    options_free(&o);
}

static void duration_alone_has_no_count_and_thirty_seconds_of_grace(void **state)
{
    (void)state;
    struct options o;
    parse_ok(&o, WORDS("-m", "m", "--benchmark-duration", "5"));
    assert_int_equal(o.n_requests, 0);
    assert_int_equal((int)o.grace_s, 30);
    options_free(&o);
    parse_ok(&o, WORDS("-m", "m", "--benchmark-duration", "5", "--benchmark-grace-period", "inf"));
    assert_true(isinf(o.grace_s));
    options_free(&o);
}

static void warmup_inherits_the_load(void **state)
{
    (void)state;
    struct options o;
    parse_ok(&o, WORDS("-m", "m", "--warmup-request-count", "3", "--request-rate", "9",
                       "--arrival-pattern", "constant", "--warmup-concurrency", "2"));
    assert_true(o.has_warmup);
    assert_int_equal((int)o.warmup_rate_hz, 9);
    assert_int_equal(o.warmup_concurrency, 2);
    assert_int_equal(o.warmup_pattern, ARRIVAL_CONSTANT);
    options_free(&o);
}

static void command_is_recorded_without_secrets(void **state)
{
    (void)state;
    struct options o;
    parse_ok(&o, WORDS("-m", "m", "--api-key=k3y", "--header", "X-Token:abc", "-H", "X-A:b",
                       "--concurrency", "4", "--no-gpu-telemetry", "--isl", "5.5"));
    assert_string_equal(o.cli_command, "fluxperf profile -m 'm' --api-key '<redacted>' --header "
                                       "'<redacted>' -H 'X-A:b' --concurrency 4 "
                                       "--no-gpu-telemetry --isl 5.5");
    options_free(&o);
}

static void log_levels_of_aiperf_are_known(void **state)
{
    (void)state;
    struct options o;
    parse_ok(&o, WORDS("-m", "m", "--log-level", "NOTICE"));
    assert_int_equal(o.level, LOG_WARNING);
    options_free(&o);
    parse_ok(&o, WORDS("-m", "m", "-vv"));
    assert_int_equal(o.level, LOG_TRACE);
    options_free(&o);
}

static void no_option_is_both_known_and_unsupported(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OPTIONS; i++)
        assert_null(options_unsupported(OPTIONS[i].name, strlen(OPTIONS[i].name)));
    assert_non_null(options_unsupported("--streaming", strlen("--streaming")));
    assert_non_null(options_unsupported("--image-batch-size", strlen("--image-batch-size")));
    assert_null(options_unsupported("--nonsense", strlen("--nonsense")));
    assert_null(options_unsupported("image", strlen("image")));
}

static void unsupported_options_are_named_even_with_a_value(void **state)
{
    (void)state;
    struct options o = {0};
    struct error err = {0};
    assert_false(parse(&o, WORDS("-m", "m", "--num-profile-runs=3"), &err));
    assert_string_equal(err.text,
                        "--num-profile-runs is an option of AIPerf that fluxperf does not support");
    assert_int_equal(err.code, ERR_INVALID);
}

static void ramps_need_what_they_raise(void **state)
{
    (void)state;
    struct options o = {0};
    struct error err = {0};
    assert_true(parse(&o,
                      WORDS("-m", "m", "--concurrency", "4", "--concurrency-ramp-duration", "2",
                            "--warmup-request-count", "1"),
                      &err));
    assert_true(o.concurrency_ramp_s == 2);
    assert_true(o.warmup_concurrency_ramp_s == 2);
    options_free(&o);
    assert_false(parse(&o, WORDS("-m", "m", "--request-rate-ramp-duration", "2"), &err));
    assert_string_equal(err.text, "--request-rate-ramp-duration: needs --request-rate");
    options_free(&o);
    err = (struct error){0};
    assert_false(parse(&o, WORDS("-m", "m", "--concurrency-ramp-duration", "2"), &err));
    assert_string_equal(err.text, "--concurrency-ramp-duration: needs --concurrency");
    options_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_aiperfs),
        cmocka_unit_test(load_names_the_directory),
        cmocka_unit_test(duration_alone_has_no_count_and_thirty_seconds_of_grace),
        cmocka_unit_test(warmup_inherits_the_load),
        cmocka_unit_test(command_is_recorded_without_secrets),
        cmocka_unit_test(log_levels_of_aiperf_are_known),
        cmocka_unit_test(no_option_is_both_known_and_unsupported),
        cmocka_unit_test(ramps_need_what_they_raise),
        cmocka_unit_test(unsupported_options_are_named_even_with_a_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
