/* client/prompts, client/draft, client/prompts_file, client/words and client/tokens. */
#include "client/prompts_file.h"

#include "client/prompts.h"
#include "client/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
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

static const struct fields NONE = {0};

/* Rows of a text, or prompts that are made up, become a data set. */
struct making {
    struct prompts prompts;
    struct prompts_reader reader;
    struct draft_maker *maker;
};

static bool add(void *self, struct draft *d, struct error *err)
{
    struct making *m = self;
    return draft_finish(m->maker, d, err) && prompts_put(&m->prompts, d, err);
}

static void start(struct making *m, const struct draft_options *options, const char *dir)
{
    struct draft_options all = *options;
    all.model = "m";
    all.extra = options->extra ? options->extra : &NONE;
    m->maker = draft_maker_open(&all);
    prompts_init(&m->prompts, dir);
    m->reader = prompts_reader(&m->prompts);
}

static void stop(struct making *m)
{
    draft_maker_close(m->maker);
    prompts_reader_free(&m->reader);
    prompts_free(&m->prompts);
}

/* Write text to a temporary file and read it as a data set. */
static bool read_text(struct making *m, const struct draft_options *options, const char *text,
                      struct error *err)
{
    char path[] = "/tmp/test_prompts_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_true(file_write(path, text, strlen(text), err));
    start(m, options, NULL);
    const struct prompts_source source = {.path = path, .format = PROMPTS_SINGLE_TURN};
    bool ok = prompts_read(&source, add, m, err) && prompts_done(&m->prompts, err);
    unlink(path);
    return ok;
}

static void rows_become_entries_in_order(void **state)
{
    (void)state;
    struct making m;
    struct error err = {0};
    const struct draft_options options = {.tokens = gpt2, .is_seeded = true};
    if (!read_text(&m, &options,
                   "{\"text\":\"one\"}\r\n\n  \n{\"texts\":[\"two\",\"x\"],\"session_id\":\"s\","
                   "\"extra\":{\"seed\":1.0}}\n{\"text\":\"three\"}",
                   &err))
        fail_msg("%s", err.text);
    assert_int_equal(m.prompts.n_entries, 3);
    assert_string_equal(prompts_at(&m.reader, 0).session_id, "session_000000");
    const struct prompts_entry e = prompts_at(&m.reader, 1);
    assert_string_equal(e.session_id, "s");
    assert_string_equal(e.body, "{\"prompt\":\"two\",\"model\":\"m\","
                                "\"response_format\":\"b64_json\",\"n\":1,"
                                "\"seed\":1.0}");
    assert_int_equal(e.body_bytes, strlen(e.body));
    assert_ptr_equal(e.json, e.body);
    assert_int_equal(e.line, 4);
    assert_null(e.content_type);
    assert_int_equal(prompts_at(&m.reader, 0).isl, 1);
    assert_string_equal(prompts_at(&m.reader, 2).text, "three");
    stop(&m);
}

static void sessions_are_uuids_without_a_seed(void **state)
{
    (void)state;
    struct making m;
    assert_true(read_text(&m, &(struct draft_options){0}, "{\"text\":\"one\"}", NULL));
    assert_int_equal(strlen(prompts_at(&m.reader, 0).session_id), 36);
    assert_int_equal(prompts_at(&m.reader, 0).isl, -1);
    stop(&m);
}

static void length_is_that_of_the_prompt_sent(void **state)
{
    (void)state;
    struct making m;
    struct fields extra = {0};
    const struct draft_options options = {.tokens = gpt2, .extra = &extra};
    fields_set(&extra, "prompt", "\"A red fox\"");
    assert_true(read_text(&m, &options, "{\"text\":\"one\"}", NULL));
    assert_int_equal(prompts_at(&m.reader, 0).isl, 3);
    fields_free(&extra);
    stop(&m);
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
        struct making m;
        struct error err = {0};
        if (read_text(&m, &(struct draft_options){0}, BAD[i], &err) || !strstr(err.text, ":3: "))
            fail_msg("%s: %s", BAD[i], err.text);
        assert_int_equal(err.code, ERR_INVALID);
        stop(&m);
    }
}

static void file_without_rows_is_refused(void **state)
{
    (void)state;
    struct making m;
    struct error err = {0};
    assert_false(read_text(&m, &(struct draft_options){0}, "\n \n", &err));
    stop(&m);
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

/* Entry by entry, in memory or in a file, with twins that a later row makes. */
static void fill(struct making *m, size_t n, const char *dir)
{
    struct error err = {0};
    char text[64];
    start(m, &(struct draft_options){.is_seeded = true}, dir);
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "a picture of fox %zu", i);
        struct draft d = {.text = xstrdup(text), .line = i + 1};
        if (i == n - 2)
            d.session_id = xstrdup("session_000007");
        if (!add(m, &d, &err))
            fail_msg("%s", err.text);
        draft_free(&d);
    }
    if (!prompts_done(&m->prompts, &err))
        fail_msg("%s", err.text);
}

static void many_entries_lie_in_a_file_and_read_the_same(void **state)
{
    (void)state;
    const size_t n = 30000;
    struct making memory, file;
    uint8_t digests[2][SHA256_SIZE];
    fill(&memory, n, NULL);
    fill(&file, n, "/tmp");
    assert_false(memory.prompts.shelf.bytes.has_file);
    assert_true(file.prompts.shelf.bytes.has_file);
    for (size_t i = 0; i < n; i++) {
        const struct prompts_entry a = prompts_at(&memory.reader, i);
        const struct prompts_entry b = prompts_at(&file.reader, i);
        assert_string_equal(a.text, b.text);
        assert_string_equal(a.body, b.body);
        assert_string_equal(a.session_id, b.session_id);
        assert_int_equal(b.line, i + 1);
    }
    for (size_t i = n - 1; i < n; i -= 997) { /* backwards, and to keep */
        char *owned[2];
        const struct prompts_entry a = prompts_take(&memory.reader, i, &owned[0]);
        const struct prompts_entry b = prompts_take(&file.reader, i, &owned[1]);
        prompts_at(&file.reader, n / 2);
        assert_null(owned[0]);
        assert_non_null(owned[1]);
        assert_string_equal(a.body, b.body);
        free(owned[1]);
    }
    prompts_hash(&memory.prompts, digests[0]);
    prompts_hash(&file.prompts, digests[1]);
    assert_memory_equal(digests[0], digests[1], SHA256_SIZE);
    stop(&memory);
    stop(&file);
}

static void twins_are_found_among_all_or_the_named(void **state)
{
    (void)state;
    struct making m;
    struct error err = {0};
    bool found;
    size_t a, b;
    fill(&m, 300000, "/tmp");
    assert_true(prompts_twins(&m.prompts, false, &found, &a, &b, &err));
    assert_true(found);
    assert_int_equal(a, 7);
    assert_int_equal(b, 300000 - 2);
    assert_int_equal(m.prompts.n_named, 1);
    assert_true(prompts_twins(&m.prompts, true, &found, &a, &b, &err));
    assert_false(found);
    stop(&m);
}

/* AIPerf's lengths for seed 5, mean 20 and deviation 3. */
static void synthetic_lengths_are_aiperfs(void **state)
{
    (void)state;
    static const int64_t WANT[] = {27, 22, 15, 17, 22};
    struct making m;
    struct random lengths;
    start(&m, &(struct draft_options){.tokens = gpt2, .seed = 5}, NULL);
    random_init(&lengths, 5, "dataset.prompt.length");
    for (size_t i = 0; i < 5; i++) {
        struct draft d = {.n_tokens = random_length(&lengths, 20, 3)};
        assert_true(add(&m, &d, NULL));
        draft_free(&d);
    }
    assert_true(prompts_done(&m.prompts, NULL));
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(prompts_at(&m.reader, i).isl, WANT[i]);
    assert_string_not_equal(prompts_at(&m.reader, 0).text, prompts_at(&m.reader, 1).text);
    stop(&m);
}

static void without_deviation_all_have_the_rounded_mean(void **state)
{
    (void)state;
    struct random lengths;
    random_init(&lengths, 1, "dataset.prompt.length");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(random_length(&lengths, 11.6, 0), 12);
}

static void inputs_file_has_the_payloads_indented(void **state)
{
    (void)state;
    struct making m;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_true(
        read_text(&m, &(struct draft_options){0}, "{\"text\":\"a\",\"session_id\":\"s\"}", NULL));
    prompts_print_inputs(&m.prompts, out);
    fclose(out);
    assert_string_equal(text, "{\n  \"data\": [\n    {\n      \"session_id\": \"s\",\n"
                              "      \"payloads\": [\n        {\n          \"prompt\": \"a\",\n"
                              "          \"model\": \"m\",\n"
                              "          \"response_format\": \"b64_json\",\n          \"n\": 1\n"
                              "        }\n      ]\n    }\n  ]\n}");
    free(text);
    stop(&m);
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
        cmocka_unit_test(many_entries_lie_in_a_file_and_read_the_same),
        cmocka_unit_test(twins_are_found_among_all_or_the_named),
        cmocka_unit_test(synthetic_lengths_are_aiperfs),
        cmocka_unit_test(without_deviation_all_have_the_rounded_mean),
        cmocka_unit_test(inputs_file_has_the_payloads_indented),
        cmocka_unit_test(tokenizers_are_opened_by_name),
    };
    return cmocka_run_group_tests(tests, open_tokens, close_tokens);
}
