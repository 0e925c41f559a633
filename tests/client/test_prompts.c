/* client/prompts, client/words and client/tokens. */
#include "client/prompts_file.h"

#include "base/json.h"
#include "client/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct tokens *gpt2;

static int open_tokens(void **state)
{
    (void)state;
    return tokens_open(&gpt2, "gpt2", NULL) ? 0 : -1;
}

static int close_tokens(void **state)
{
    (void)state;
    tokens_close(gpt2);
    return 0;
}

/* Write text to a temporary file and read it as a data set. */
static bool read_text(struct prompts *p, const char *text, struct error *err)
{
    char path[] = "/tmp/test_prompts_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_true(file_write(path, text, strlen(text), err));
    bool ok = prompts_read(p, path, PROMPTS_SINGLE_TURN, false, err);
    unlink(path);
    return ok;
}

static const struct fields NONE = {0};

static void rows_become_entries_in_order(void **state)
{
    (void)state;
    struct prompts p = {0};
    struct error err = {0};
    if (!read_text(&p,
                   "{\"text\":\"one\"}\r\n\n  \n{\"texts\":[\"two\",\"x\"],\"session_id\":\"s\","
                   "\"extra\":{\"seed\":1.0}}\n{\"text\":\"three\"}",
                   &err))
        fail_msg("%s", err.text);
    prompts_finish(&p, gpt2, true, "m", &NONE);
    assert_int_equal(p.n_entries, 3);
    assert_string_equal(p.entries[0].session_id, "session_000000");
    assert_string_equal(p.entries[1].session_id, "s");
    assert_int_equal(p.entries[0].isl, 1);
    assert_string_equal(p.entries[1].body.data, "{\"prompt\":\"two\",\"model\":\"m\","
                                                "\"response_format\":\"b64_json\",\"n\":1,"
                                                "\"seed\":1.0}");
    prompts_free(&p);
}

static void sessions_are_uuids_without_a_seed(void **state)
{
    (void)state;
    struct prompts p = {0};
    assert_true(read_text(&p, "{\"text\":\"one\"}", NULL));
    prompts_finish(&p, NULL, false, "m", &NONE);
    assert_int_equal(strlen(p.entries[0].session_id), 36);
    assert_int_equal(p.entries[0].isl, -1);
    prompts_free(&p);
}

static void length_is_that_of_the_prompt_sent(void **state)
{
    (void)state;
    struct prompts p = {0};
    struct fields extra = {0};
    fields_set(&extra, "prompt", "\"A red fox\"");
    assert_true(read_text(&p, "{\"text\":\"one\"}", NULL));
    prompts_finish(&p, gpt2, false, "m", &extra);
    assert_int_equal(p.entries[0].isl, 3);
    fields_free(&extra);
    prompts_free(&p);
}

static void bad_rows_name_their_line(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "{\"text\":\"a\"}\n\n{",
        "{\"text\":\"a\"}\n\n7",
        "{\"text\":\"a\"}\n\n{\"text\":null}",
        "{\"text\":\"a\"}\n\n{\"text\":\"b\",\"texts\":[\"c\"]}",
        "{\"text\":\"a\"}\n\n{\"text\":\"b\",\"images\":[]}",
        "{\"text\":\"a\"}\n\n{\"text\":\"b\",\"delay\":5}",
        "{\"text\":\"a\"}\n\n{\"text\":\"b\",\"extra\":[]}",
        "{\"text\":\"a\"}\n\n{\"text\":\"b\",\"session_id\":5}",
        "{\"text\":\"a\"}\n\n{\"Text\":\"b\"}",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct prompts p = {0};
        struct error err = {0};
        if (read_text(&p, BAD[i], &err) || !strstr(err.text, ":3: "))
            fail_msg("%s: %s", BAD[i], err.text);
        assert_int_equal(err.code, ERR_INVALID);
        prompts_free(&p);
    }
}

static void file_without_rows_is_refused(void **state)
{
    (void)state;
    struct prompts p = {0};
    struct error err = {0};
    assert_false(read_text(&p, "\n \n", &err));
    prompts_free(&p);
}

static void synthetic_prompts_have_the_exact_length(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 300; n = n < 40 ? n + 1 : n + 37) {
        struct random r;
        struct buf out = {0};
        random_init_seed(&r, (uint64_t)n);
        assert_int_equal(words_prompt(&out, &r, gpt2, n), n);
        assert_int_equal(tokens_count(gpt2, out.data, out.size), n);
        assert_true(out.data[0] >= 'A' && out.data[0] <= 'Z');
        buf_free(&out);
    }
}

/* AIPerf's lengths for seed 5, mean 20 and deviation 3. */
static void synthetic_lengths_are_aiperfs(void **state)
{
    (void)state;
    struct prompts p = {0};
    static const int64_t WANT[] = {27, 22, 15, 17, 22};
    prompts_make(&p, 5, 20, 3, 5, gpt2);
    prompts_finish(&p, gpt2, true, "m", &NONE);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(p.entries[i].isl, WANT[i]);
    prompts_free(&p);
}

static void without_deviation_all_have_the_rounded_mean(void **state)
{
    (void)state;
    struct prompts p = {0};
    prompts_make(&p, 4, 11.6, 0, 1, gpt2);
    prompts_finish(&p, gpt2, true, "m", &NONE);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(p.entries[i].isl, 12);
    assert_string_not_equal(p.entries[0].text, p.entries[1].text);
    prompts_free(&p);
}

static void inputs_file_has_the_payloads_indented(void **state)
{
    (void)state;
    struct prompts p = {0};
    struct buf out = {0};
    assert_true(read_text(&p, "{\"text\":\"a\",\"session_id\":\"s\"}", NULL));
    prompts_finish(&p, NULL, true, "m", &NONE);
    prompts_print_inputs(&p, &out);
    assert_string_equal(out.data,
                        "{\n  \"data\": [\n    {\n      \"session_id\": \"s\",\n"
                        "      \"payloads\": [\n        {\n          \"prompt\": \"a\",\n"
                        "          \"model\": \"m\",\n"
                        "          \"response_format\": \"b64_json\",\n          \"n\": 1\n"
                        "        }\n      ]\n    }\n  ]\n}");
    buf_free(&out);
    prompts_free(&p);
}

static void tokenizers_are_opened_by_name(void **state)
{
    (void)state;
    struct tokens *t = NULL;
    struct error err = {0};
    assert_true(tokens_open(&t, "none", &err));
    assert_null(t);
    assert_true(tokens_open(&t, "builtin", &err));
    assert_int_equal(tokens_count(t, "Hello world", 11), 2);
    tokens_close(t);
    assert_false(tokens_open(&t, "/no/such/folder", &err));
    assert_string_equal(err.field, "--tokenizer");
    err = (struct error){0};
    assert_false(tokens_open(&t, "/", &err)); /* a folder without tokenizer files */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_become_entries_in_order),
        cmocka_unit_test(sessions_are_uuids_without_a_seed),
        cmocka_unit_test(length_is_that_of_the_prompt_sent),
        cmocka_unit_test(bad_rows_name_their_line),
        cmocka_unit_test(file_without_rows_is_refused),
        cmocka_unit_test(synthetic_prompts_have_the_exact_length),
        cmocka_unit_test(synthetic_lengths_are_aiperfs),
        cmocka_unit_test(without_deviation_all_have_the_rounded_mean),
        cmocka_unit_test(inputs_file_has_the_payloads_indented),
        cmocka_unit_test(tokenizers_are_opened_by_name),
    };
    return cmocka_run_group_tests(tests, open_tokens, close_tokens);
}
