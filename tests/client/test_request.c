/* client/request: addresses, headers, bodies. */
#include "client/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void check_url(const char *base, const char *endpoint, const char *want)
{
    struct buf out = {0};
    struct error err = {0};
    if (!request_url(&out, base, endpoint, &err))
        fail_msg("%s: %s", base, err.text);
    assert_string_equal(out.data, want);
    buf_free(&out);
}

static void addresses_follow_the_path_rules(void **state)
{
    (void)state;
    check_url("http://h:1", "/v1/images/generations", "http://h:1/v1/images/generations");
    check_url("http://h:1///", "/v1/images/generations", "http://h:1/v1/images/generations");
    check_url("h:1", "/v1/images/generations", "http://h:1/v1/images/generations");
    check_url("http://h/v1", "/v1/images/generations", "http://h/v1/images/generations");
    check_url("http://h/v1/", "/v1/images/generations", "http://h/v1/images/generations");
    check_url("http://h/v1/images/generations", "/v1/images/generations",
              "http://h/v1/images/generations");
    check_url("https://h/a?k=v#x", "/v1/images/generations",
              "https://h/a/v1/images/generations?k=v");
    check_url("http://h", "/x", "http://h/x");
    check_url("http://h", "x", "http://h/x");
    check_url("http://h/a", "", "http://h/a");
    check_url("http://[::1]:9", "/v1/images/generations", "http://[::1]:9/v1/images/generations");
}

static void addresses_without_host_are_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"",           "http://",     "ftp://h",        "http:///x",
                               "http://a b", ":80",         "http://h:99999", "http://h:0",
                               "http://h:a", "http://[::1", "http://[::1]9",  "http://u:p@h:99999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf out = {0};
        struct error err = {0};
        assert_false(request_url(&out, bad[i], "/v1/images/generations", &err));
        assert_string_equal(err.field, "--url");
    }
}

static void check_shown(const char *url, const char *want)
{
    char *shown = request_url_shown(url);
    assert_string_equal(shown, want);
    free(shown);
}

static void secrets_of_an_address_are_not_shown(void **state)
{
    (void)state;
    check_shown("", "");
    check_shown("http://h:1/a/b", "http://h:1/a/b");
    check_shown("http://u:p@ss@h:1/a@b", "http://<redacted>@h:1/a@b");
    check_shown("u:p@h", "<redacted>@h");
    check_shown("http://h?a=1&api_key=S&token=T#x",
                "http://h?a=1&api_key=<redacted>&token=<redacted>#x");
    check_shown("http://h/p?key=S&b", "http://h/p?key=<redacted>&b");
    check_shown("http://h/p?monkey=1", "http://h/p?monkey=1");
}

static void base_is_the_address_without_path(void **state)
{
    (void)state;
    struct buf out = {0};
    request_base(&out, "http://h:1/v1/images/generations?x");
    assert_string_equal(out.data, "http://h:1");
    buf_free(&out);
}

static void headers_are_read_as_pairs_and_objects(void **state)
{
    (void)state;
    struct request_headers h = {0};
    struct error err = {0};
    assert_true(request_add_header(&h, "X-A: 1,X-B:two, three", &err));
    assert_true(request_add_header(&h, "{\"X-C\": \"c:d\"}", &err));
    assert_int_equal(h.n_items, 3);
    assert_string_equal(h.items[0].name, "X-A");
    assert_string_equal(h.items[0].value, "1");
    assert_string_equal(h.items[1].value, "two, three");
    assert_string_equal(h.items[2].value, "c:d");
    request_headers_free(&h);
}

static void headers_that_would_break_the_request_are_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"",           "novalue",   "a b:c", ":x",
                               "a:b\r\nc:d", "{\"a\":1}", "{",     "a\n:b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct request_headers h = {0};
        struct error err = {0};
        if (request_add_header(&h, bad[i], &err))
            fail_msg("'%s' was accepted", bad[i]);
        request_headers_free(&h);
    }
}

static void wire_order_is_fixed(void **state)
{
    (void)state;
    struct request_target target = {0};
    struct request_headers h = {0};
    struct record r = {.request_id = "id", .correlation_id = "corr"};
    request_push_header(&target.extra, "X-Mine", "1");
    request_make_headers(&h, &target, &r);
    static const char *const NAMES[] = {"User-Agent", "X-Request-ID", "X-Correlation-ID",  "X-Mine",
                                        "Accept",     "Content-Type", "X-Session-Affinity"};
    assert_int_equal(h.n_items, 7);
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(h.items[i].name, NAMES[i]);
    assert_string_equal(h.items[6].value, "corr");
    request_headers_free(&h);
    request_target_free(&target);
}

static void body_replaces_in_place_and_rows_come_last(void **state)
{
    (void)state;
    struct fields extra = {0}, row = {0};
    struct buf out = {0};
    fields_set(&extra, "n", "2");
    fields_set(&extra, "size", "\"1x1\"");
    fields_set(&row, "size", "\"2x2\"");
    fields_set(&row, "seed", "1.0");
    request_body(&out, "a \"b\"\n\xc3\xa9", "m", &extra, &row);
    assert_string_equal(out.data, "{\"prompt\":\"a \\\"b\\\"\\n\xc3\xa9\",\"model\":\"m\","
                                  "\"response_format\":\"b64_json\",\"n\":2,\"size\":\"2x2\","
                                  "\"seed\":1.0}");
    buf_free(&out);
    fields_free(&extra);
    fields_free(&row);
}

static void secrets_are_known_by_name(void **state)
{
    (void)state;
    assert_true(request_header_is_secret("authorization"));
    assert_true(request_header_is_secret("X-Api-Key"));
    assert_true(request_header_is_secret("X-Session-Affinity"));
    assert_true(request_header_is_secret("Set-Cookie"));
    assert_false(request_header_is_secret("X-Request-ID"));
    assert_false(request_header_is_secret("Accept"));
}

static void note_name(void *self, const char *name, const char *value)
{
    buf_printf(self, "%s=%s,", name, value);
}

static void a_users_header_takes_the_place_of_ours(void **state)
{
    (void)state;
    struct request_target t = {0};
    struct record r = {.request_id = "r", .correlation_id = "c"};
    struct buf out = {0};
    struct error err = {0};
    assert_true(request_add_header(&t.extra, "user-agent:me,Accept:x/y", &err));
    request_each_header(&t, &r, note_name, &out);
    assert_string_equal(out.data, "X-Request-ID=r,X-Correlation-ID=c,user-agent=me,Accept=x/y,"
                                  "Content-Type=application/json,X-Session-Affinity=c,");
    assert_false(request_add_header(&t.extra, "content-length:5", &err));
    assert_false(request_add_header(&t.extra, "Transfer-Encoding:chunked", &err));
    buf_free(&out);
    request_target_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_follow_the_path_rules),
        cmocka_unit_test(addresses_without_host_are_refused),
        cmocka_unit_test(secrets_of_an_address_are_not_shown),
        cmocka_unit_test(base_is_the_address_without_path),
        cmocka_unit_test(a_users_header_takes_the_place_of_ours),
        cmocka_unit_test(headers_are_read_as_pairs_and_objects),
        cmocka_unit_test(headers_that_would_break_the_request_are_refused),
        cmocka_unit_test(wire_order_is_fixed),
        cmocka_unit_test(body_replaces_in_place_and_rows_come_last),
        cmocka_unit_test(secrets_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
