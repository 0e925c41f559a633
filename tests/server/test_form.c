/* server/form: pieces of parts, as the HTTP library hands them over, and broken bodies on their
 * whole way through the server. */
#include "server/form.h"

#include "tests/server/fake_flux.h"
#include "tests/server/harness.h"

#include "server/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static bool add(struct form *f, const char *name, size_t offset, const char *bytes,
                struct error *err)
{
    const struct form_head head = {.name = name};
    return form_add(f, &head, offset, bytes, strlen(bytes), err);
}

static void check_part(const struct form *f, int i, const char *name, const char *value)
{
    assert_string_equal(f->parts[i].name, name);
    assert_int_equal(f->parts[i].value.size, strlen(value));
    assert_string_equal(f->parts[i].value.data, value);
}

/* ---- pieces --------------------------------------------------------------------------------- */

static void pieces_are_put_together(void **state)
{
    (void)state;
    struct form f = {0};
    assert_true(add(&f, "prompt", 0, "a re", NULL));
    assert_true(add(&f, "prompt", 4, "d fo", NULL));
    assert_true(add(&f, "prompt", 8, "x", NULL));
    assert_true(add(&f, "n", 0, "2", NULL));
    assert_int_equal(f.n_parts, 2);
    check_part(&f, 0, "prompt", "a red fox");
    check_part(&f, 1, "n", "2");
    form_free(&f);
    assert_int_equal(f.n_parts, 0);
}

static void an_empty_piece_begins_a_part_once(void **state)
{
    (void)state;
    struct form f = {0};
    assert_true(add(&f, "prompt", 0, "", NULL));
    assert_true(add(&f, "prompt", 0, "a fox", NULL));
    assert_true(add(&f, "user", 0, "", NULL));
    assert_int_equal(f.n_parts, 2);
    check_part(&f, 0, "prompt", "a fox");
    check_part(&f, 1, "user", "");
    form_free(&f);
}

static void parts_of_one_name_stay_apart(void **state)
{
    (void)state;
    struct form f = {0};
    assert_true(add(&f, "n", 0, "1", NULL));
    assert_true(add(&f, "n", 0, "2", NULL));
    assert_int_equal(f.n_parts, 2);
    check_part(&f, 0, "n", "1");
    check_part(&f, 1, "n", "2");
    form_free(&f);
}

static void values_may_be_any_bytes(void **state)
{
    (void)state;
    struct form f = {0};
    const struct form_head head = {.name = "image"};
    assert_true(form_add(&f, &head, 0, "\0\xff\r\n", 4, NULL));
    assert_true(form_add(&f, &head, 4, "\0", 1, NULL));
    assert_int_equal(f.parts[0].value.size, 5);
    assert_memory_equal(f.parts[0].value.data, "\0\xff\r\n\0", 5);
    form_free(&f);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void a_part_needs_a_name(void **state)
{
    (void)state;
    static const char *const NAMES[] = {NULL, ""};
    for (size_t i = 0; i < 2; i++) {
        struct form f = {0};
        struct error err = {0};
        assert_true(add(&f, "prompt", 0, "a", NULL));
        assert_false(add(&f, NAMES[i], 0, "b", &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.text, "part 2 of the form has no name");
        form_free(&f);
    }
}

static void coded_values_are_refused_and_plain_ones_taken(void **state)
{
    (void)state;
    static const struct {
        const char *encoding;
        bool is_taken;
    } CASES[] = {{"binary", true},  {"8BIT", true},    {"7bit", true},
                 {"", true},        {"base64", false}, {"quoted-printable", false},
                 {"binary ", false}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct form f = {0};
        struct error err = {0};
        const struct form_head head = {.name = "n", .transfer_encoding = CASES[i].encoding};
        assert_int_equal(form_add(&f, &head, 0, "1", 1, &err), CASES[i].is_taken);
        assert_int_equal(f.n_parts, CASES[i].is_taken);
        if (!CASES[i].is_taken)
            assert_string_equal(err.field, "n");
        form_free(&f);
    }
}

static void one_part_too_many_is_refused(void **state)
{
    (void)state;
    struct form f = {0};
    struct error err = {0};
    char name[16];
    for (int i = 0; i < FORM_MAX_PARTS; i++) {
        snprintf(name, sizeof name, "x%d", i);
        assert_true(add(&f, name, 0, "", &err));
    }
    assert_true(add(&f, name, 0, "the last one goes on", &err));
    assert_false(add(&f, "more", 0, "", &err));
    assert_non_null(strstr(err.text, "must be at most 64"));
    assert_int_equal(f.n_parts, FORM_MAX_PARTS);
    form_free(&f);
}

/* ---- whole bodies --------------------------------------------------------------------------- */

#define BOUNDARY "XX"
#define PROMPT "--XX\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na fox\r\n"

static int start(void **state)
{
    static struct harness h;
    fake_reset();
    harness_start(&h, (struct harness_options){0});
    *state = &h;
    return 0;
}

static int stop(void **state)
{
    harness_stop(*state);
    return 0;
}

static void broken_bodies_are_400_and_the_server_goes_on(void **state)
{
    static const struct {
        const char *body, *text;
    } CASES[] = {
        {"", "no whole multipart"},
        {"\r\n", "no whole multipart"},
        {"--XX", "no whole multipart"},
        {"--XX--\r\n", "no whole multipart"},
        {"--YY\r\n", "no whole multipart"},
        {PROMPT, "no whole multipart"}, /* the end is missing */
        {PROMPT "--X", "no whole multipart"},
        {PROMPT "--XX\r\nContent-Disposition: form-data; name=\"n\"", "no whole multipart"},
        {PROMPT "--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--\r\n", "no name"},
        {PROMPT "--XX\r\n\r\n1\r\n--XX--\r\n", "no name"},
        {PROMPT "--XX\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n1\r\n--XX--\r\n",
         "no name"},
        {PROMPT "--XX\r\nContent-Disposition: form-data; name=\"n\"\r\n"
                "Content-Transfer-Encoding: quoted-printable\r\n\r\n1\r\n--XX--\r\n",
         "'quoted-printable' is not supported"},
        {PROMPT "--XX--\r\n", "image"},
        {PROMPT PROMPT "--XX--\r\n", "prompt"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf request = {0};
        buf_printf(&request,
                   "POST /v1/images/edits HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n"
                   "Content-Type: multipart/form-data; boundary=" BOUNDARY "\r\n\r\n%s",
                   strlen(CASES[i].body), CASES[i].body);
        int fd = harness_connect(*state);
        harness_send(fd, request.data);
        struct reply reply = harness_read(fd, false);
        if (reply.status != 400 || !strstr(reply.body, CASES[i].text))
            fail_msg("case %zu: %d %s", i, reply.status, reply.body);
        listener_close(fd);
        reply_free(&reply);
        buf_free(&request);
    }
    struct reply reply = harness_ask(*state, "GET", "/health", NULL);
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_put_together),
        cmocka_unit_test(an_empty_piece_begins_a_part_once),
        cmocka_unit_test(parts_of_one_name_stay_apart),
        cmocka_unit_test(values_may_be_any_bytes),
        cmocka_unit_test(a_part_needs_a_name),
        cmocka_unit_test(coded_values_are_refused_and_plain_ones_taken),
        cmocka_unit_test(one_part_too_many_is_refused),
        cmocka_unit_test_setup_teardown(broken_bodies_are_400_and_the_server_goes_on, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
