/* The HTTP side: routes, limits, and the corners of the protocol that clients really use. */
#include "server/http.h"

#include "base/base64.h"
#include "base/clock.h"
#include "server/listener.h"
#include "tests/server/fake_flux.h"
#include "tests/server/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOX "{\"prompt\":\"a fox\",\"seed\":3}"
#define PATH "/v1/images/generations"

static int start(void **state)
{
    struct harness *h = xcalloc(1, sizeof *h);
    fake_reset();
    harness_start(h, (struct harness_options){.store_images = 2});
    *state = h;
    return 0;
}

static int stop(void **state)
{
    harness_stop(*state);
    free(*state);
    return 0;
}

static void assert_status(struct reply reply, int status, const char *part_of_body)
{
    if (reply.status != status)
        fail_msg("status %d, expected %d: %s", reply.status, status, reply.text.data);
    const char *body = reply.body ? reply.body : "(no body)";
    if (!strstr(body, part_of_body))
        fail_msg("'%s' is not in %s", part_of_body, body);
    reply_free(&reply);
}

static struct reply talk(const struct harness *h, const char *text)
{
    int fd = harness_connect(h);
    harness_send(fd, text);
    struct reply reply = harness_read(fd, false);
    listener_close(fd);
    return reply;
}

static void unknown_path_is_404(void **state)
{
    assert_status(harness_ask(*state, "GET", "/v1/chat/completions", NULL), 404,
                  "{\"error\":{\"message\":\"no such endpoint: GET /v1/chat/completions\"");
    assert_status(harness_ask(*state, "POST", "/v1/chat/completions", "{}"), 404, "not_found");
    assert_status(harness_ask(*state, "GET", "/v1/images//content", NULL), 404, "no such endpoint");
}

static void wrong_method_is_405_and_says_what_is_allowed(void **state)
{
    struct reply reply = harness_ask(*state, "GET", PATH, NULL);
    assert_string_equal(reply_header(&reply, "Allow"), "POST");
    assert_status(reply, 405, "method_not_allowed");
    reply = harness_ask(*state, "DELETE", "/health", NULL);
    assert_string_equal(reply_header(&reply, "Allow"), "GET, HEAD");
    assert_status(reply, 405, "method_not_allowed");
}

static void malformed_json_is_400_with_its_place(void **state)
{
    assert_status(harness_ask(*state, "POST", PATH, "{\"prompt\":\n\"a fox\",}"), 400, "line 2");
    assert_status(harness_ask(*state, "POST", PATH, ""), 400, "JSON");
}

static void field_errors_name_their_param(void **state)
{
    assert_status(harness_ask(*state, "POST", PATH, "{\"prompt\":\"a\",\"n\":0}"), 400,
                  "\"type\":\"invalid_request_error\",\"param\":\"n\",\"code\":\"invalid_value\"");
    assert_status(harness_ask(*state, "POST", PATH, "{\"prompt\":\"a\",\"size\":\"33x32\"}"), 400,
                  "\"param\":\"size\"");
}

static void form_data_is_415(void **state)
{
    assert_status(talk(*state, "POST " PATH " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                               "Content-Type: application/x-www-form-urlencoded\r\n\r\n{}"),
                  415, "application/json");
}

static void content_type_may_be_missing_or_have_a_charset(void **state)
{
    assert_status(talk(*state, "POST " PATH " HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\n"
                               "{\"prompt\":\"a fox\"}"),
                  200, "b64_json");
    assert_status(talk(*state, "POST " PATH " HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n"
                               "Content-Type: application/json; charset=utf-8\r\n\r\n"
                               "{\"prompt\":\"a fox\"}"),
                  200, "b64_json");
}

static void too_large_body_is_413(void **state)
{
    struct buf body = {0};
    buf_puts(&body, "{\"prompt\":\"");
    for (int i = 0; i < 10000; i++)
        buf_putc(&body, 'a');
    buf_puts(&body, "\"}");
    assert_status(harness_ask(*state, "POST", PATH, body.data), 413, "10000 bytes");
    struct buf chunked = {0};
    buf_printf(&chunked,
               "POST " PATH " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
               "%zx\r\n%s\r\n0\r\n\r\n",
               body.size, body.data);
    assert_status(talk(*state, chunked.data), 413, "10000 bytes");
    buf_free(&chunked);
    buf_free(&body);
}

static void chunked_body_is_put_together(void **state)
{
    assert_status(talk(*state, "POST " PATH " HTTP/1.1\r\nHost: a\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"
                               "a\r\n{\"prompt\":\r\n8\r\n\"a fox\"}\r\n0\r\n\r\n"),
                  200, "b64_json");
}

static void slow_client_is_waited_for(void **state)
{
    int fd = harness_connect(*state);
    static const char REQUEST[] = "POST " PATH " HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\n"
                                  "{\"prompt\":\"a fox\"}";
    for (const char *p = REQUEST; *p; p++) {
        const char piece[] = {*p, '\0'};
        harness_send(fd, piece);
    }
    assert_status(harness_read(fd, false), 200, "b64_json");
    listener_close(fd);
}

static void expect_continue_is_answered_before_the_body(void **state)
{
    int fd = harness_connect(*state);
    harness_send(fd, "POST " PATH " HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n"
                     "Expect: 100-continue\r\n\r\n");
    assert_status(harness_read(fd, true), 100, "");
    harness_send(fd, "{\"prompt\":\"a fox\"}");
    assert_status(harness_read(fd, false), 200, "b64_json");
    listener_close(fd);
}

static void expect_continue_of_a_too_large_body_is_413_at_once(void **state)
{
    assert_status(talk(*state, "POST " PATH " HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n"
                               "Expect: 100-continue\r\n\r\n"),
                  413, "too_large");
}

static void huge_header_is_431(void **state)
{
    struct buf text = {0};
    buf_puts(&text, "GET /health HTTP/1.1\r\nHost: a\r\nX-Big: ");
    for (int i = 0; i < 64 * 1024; i++)
        buf_putc(&text, 'a');
    buf_puts(&text, "\r\n\r\n");
    int fd = harness_connect(*state);
    harness_send(fd, text.data);
    struct reply reply = harness_read(fd, false);
    assert_true(reply.status == 431 || reply.status == 0); /* 0: closed with unread bytes */
    reply_free(&reply);
    listener_close(fd);
    buf_free(&text);
    assert_status(harness_ask(*state, "GET", "/health", NULL), 200, "ok");
}

static void garbage_closes_only_its_own_connection(void **state)
{
    struct reply reply = talk(*state, "\x16\x03\x01\r\n\r\n");
    assert_true(reply.status == 400 || reply.status == 0);
    reply_free(&reply);
    assert_status(harness_ask(*state, "GET", "/health", NULL), 200, "ok");
}

static void connection_is_kept_for_the_next_request(void **state)
{
    int fd = harness_post(*state, FOX);
    assert_status(harness_read(fd, false), 200, "b64_json");
    harness_send(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_status(harness_read(fd, false), 200, "ok");
    harness_send(fd, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_status(harness_read(fd, false), 404, "not_found");
    harness_send(fd, "GET /version HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_status(harness_read(fd, false), 200, "\"version\":\"" FLUXBENCH_VERSION "\"");
    listener_close(fd);
}

static void head_has_no_body(void **state)
{
    int fd = harness_connect(*state);
    harness_send(fd, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    struct reply head = harness_read(fd, true);
    assert_true(strtol(reply_header(&head, "Content-Length"), NULL, 10) > 100);
    assert_status(head, 200, "");
    harness_send(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_status(harness_read(fd, false), 200, "ok"); /* nothing was left in between */
    listener_close(fd);
}

/* The path of the i-th "url" of an answer. */
static void url_path(const struct reply *reply, int i, char path[128])
{
    const char *p = reply->body;
    for (int k = 0; k <= i; k++) {
        p = strstr(p, "http://test:1/");
        assert_non_null(p);
        p += strlen("http://test:1");
    }
    size_t n = strcspn(p, "\"");
    assert_true(n < 128);
    memcpy(path, p, n);
    path[n] = '\0';
}

static void url_gives_the_same_file_as_b64_json(void **state)
{
    struct reply inline_reply = harness_ask(*state, "POST", PATH, FOX);
    struct reply reply = harness_ask(
        *state, "POST", PATH, "{\"prompt\":\"a fox\",\"seed\":3,\"response_format\":\"url\"}");
    char path[128];
    url_path(&reply, 0, path);
    struct reply file = harness_ask(*state, "GET", path, NULL);
    struct buf coded = {0};
    assert_int_equal(file.status, 200);
    assert_string_equal(reply_header(&file, "Content-Type"), "image/png");
    base64_encode(&coded, file.body, file.body_size);
    assert_non_null(strstr(inline_reply.body, coded.data));
    buf_free(&coded);
    reply_free(&file);
    reply_free(&reply);
    reply_free(&inline_reply);
}

static void dropped_image_is_410_and_unknown_404(void **state)
{
    const char *body = "{\"prompt\":\"a fox\",\"response_format\":\"url\",\"n\":2}";
    char path[128];
    struct reply first = harness_ask(*state, "POST", PATH, body);
    url_path(&first, 1, path);
    reply_free(&first);
    struct reply second = harness_ask(*state, "POST", PATH, body);
    reply_free(&second);
    assert_status(harness_ask(*state, "GET", path, NULL), 410, "\"code\":\"gone\"");
    assert_status(harness_ask(*state, "GET", "/v1/images/img-1/content", NULL), 404, "img-1");
}

static void strange_host_is_not_echoed(void **state)
{
    struct reply reply = talk(*state, "POST " PATH " HTTP/1.1\r\nHost: a\"><b\r\n"
                                      "Content-Length: 42\r\n\r\n"
                                      "{\"prompt\":\"a fox\",\"response_format\":\"url\"}");
    assert_status(reply, 200, "\"url\":\"http://127.0.0.1:");
}

static void models_are_listed_and_found_by_each_name(void **state)
{
    assert_status(harness_ask(*state, "GET", "/v1/models", NULL), 200,
                  "{\"object\":\"list\",\"data\":[{\"id\":\"owner/model\",\"object\":\"model\"");
    assert_status(harness_ask(*state, "GET", "/v1/models/owner/model", NULL), 200, "owner/model");
    assert_status(harness_ask(*state, "GET", "/v1/models/owner%2Fmodel", NULL), 200, "owner/model");
    assert_status(harness_ask(*state, "GET", "/v1/models/other", NULL), 404, "model_not_found");
}

static void arithmetic_is_told(void **state)
{
    const struct harness *h = *state;
    assert_status(harness_ask(h, "GET", "/v1/models/owner/model", NULL), 200,
                  "\"device_count\":1,\"dtype\":\"f32\",\"parameters\":1000,"
                  "\"weight_bytes\":4000,\"step_weight_bytes\":800,\"default_width\":32,"
                  "\"default_height\":32,\"default_steps\":4,\"flops_per_step\":1024.0,"
                  "\"flops_per_image\":5.0}");
    /* text once; two images of three steps each */
    assert_status(
        harness_ask(h, "POST", PATH, "{\"prompt\":\"a\",\"n\":2,\"num_inference_steps\":3}"), 200,
        "\"flops\":2006155.0,");
    cost_set_device(h->service.cost, DTYPE_BF16, 7);
    assert_status(harness_ask(h, "GET", "/v1/models/model", NULL), 200,
                  "\"dtype\":\"bf16\",\"parameters\":1000,\"weight_bytes\":4000,"
                  "\"step_weight_bytes\":400,");
    cost_set_device(h->service.cost, DTYPE_F32, 7);
    assert_status(harness_ask(h, "GET", "/v1/models/model", NULL), 200,
                  "\"device_peak_flops\":7.0}");
}

static void strict_server_refuses_other_models(void **state)
{
    (void)state;
    struct harness h;
    fake_reset();
    harness_start(&h, (struct harness_options){.is_strict = true});
    assert_status(harness_ask(&h, "POST", PATH, "{\"prompt\":\"a\",\"model\":\"other\"}"), 404,
                  "\"param\":\"model\",\"code\":\"model_not_found\"");
    assert_status(harness_ask(&h, "POST", PATH, "{\"prompt\":\"a\",\"model\":\"model\"}"), 200,
                  "b64_json");
    assert_status(harness_ask(&h, "POST", PATH, "{\"prompt\":\"a\"}"), 200, "b64_json");
    harness_stop(&h);
}

static void idle_connection_is_closed(void **state)
{
    (void)state;
    struct harness h;
    fake_reset();
    harness_start(&h, (struct harness_options){.timeout_s = 1});
    int fd = harness_connect(&h);
    harness_send(fd, "POST " PATH " HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\n{\"prom");
    struct reply reply = harness_read(fd, false);
    assert_int_equal(reply.status, 0);
    reply_free(&reply);
    listener_close(fd);
    harness_stop(&h);
}

static void job_longer_than_the_idle_timeout_is_answered(void **state)
{
    (void)state;
    struct harness h;
    fake_reset();
    harness_start(&h, (struct harness_options){.timeout_s = 1});
    fake_allow_steps(0);
    int fd = harness_post(&h, FOX);
    fake_wait_for_steps(2); /* the warm-up's, and the first one of the job */
    clock_sleep_until_ns(clock_now_ns() + 1500 * NS_PER_MS);
    fake_allow_steps(FAKE_OPEN);
    assert_status(harness_read(fd, false), 200, "b64_json");
    listener_close(fd);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_path_is_404),
        cmocka_unit_test(wrong_method_is_405_and_says_what_is_allowed),
        cmocka_unit_test(malformed_json_is_400_with_its_place),
        cmocka_unit_test(field_errors_name_their_param),
        cmocka_unit_test(form_data_is_415),
        cmocka_unit_test(content_type_may_be_missing_or_have_a_charset),
        cmocka_unit_test(too_large_body_is_413),
        cmocka_unit_test(chunked_body_is_put_together),
        cmocka_unit_test(slow_client_is_waited_for),
        cmocka_unit_test(expect_continue_is_answered_before_the_body),
        cmocka_unit_test(expect_continue_of_a_too_large_body_is_413_at_once),
        cmocka_unit_test(huge_header_is_431),
        cmocka_unit_test(garbage_closes_only_its_own_connection),
        cmocka_unit_test(connection_is_kept_for_the_next_request),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(url_gives_the_same_file_as_b64_json),
        cmocka_unit_test(dropped_image_is_410_and_unknown_404),
        cmocka_unit_test(strange_host_is_not_echoed),
        cmocka_unit_test(models_are_listed_and_found_by_each_name),
        cmocka_unit_test(arithmetic_is_told),
        cmocka_unit_test(strict_server_refuses_other_models),
        cmocka_unit_test(idle_connection_is_closed),
        cmocka_unit_test(job_longer_than_the_idle_timeout_is_answered),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
