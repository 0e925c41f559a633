/* client/answer: the verdict on every kind of answer. */
#include "client/answer.h"

#include "base/base64.h"
#include "image/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static struct buf png; /* a small picture */

static int make_png(void **state)
{
    (void)state;
    uint8_t rgb[5 * 4 * 3] = {9, 200, 31};
    struct image image = {5, 4, rgb};
    return image_encode(&png, &image, IMAGE_PNG, 90, NULL) ? 0 : -1;
}

static int free_png(void **state)
{
    (void)state;
    buf_free(&png);
    return 0;
}

static bool fetch(void *self, const struct record *r, const char *url, struct buf *out,
                  struct error *err)
{
    (void)self, (void)r;
    if (strcmp(url, "/good") == 0) {
        buf_append(out, png.data, png.size);
        return true;
    }
    err->code = ERR_IO;
    strcpy(err->text, "nothing there");
    return false;
}

static struct record *judge(int status, const char *body)
{
    static const struct answer_source SOURCE = {NULL, fetch, NULL};
    struct record *r = xcalloc(1, sizeof *r);
    r->transfer = TRANSFER_DONE;
    r->status = status;
    r->reason = xstrdup("Some Reason");
    buf_puts(&r->body, body);
    answer_judge(r, &SOURCE);
    return r;
}

static void check_failure(int status, const char *body, int code, const char *type)
{
    struct record *r = judge(status, body);
    if (record_succeeded(r))
        fail_msg("accepted: %s", body);
    assert_int_equal(r->error.code, code);
    assert_string_equal(r->error.type, type);
    record_free(r);
}

static char *answer_with(const struct buf *a, const struct buf *b)
{
    struct buf out = {0};
    buf_puts(&out, "{\"data\":[{\"b64_json\":\"");
    base64_encode(&out, a->data, a->size);
    if (b) {
        buf_puts(&out, "\"},{\"b64_json\":\"data:image/png;base64,");
        base64_encode(&out, b->data, b->size);
    }
    buf_puts(&out, "\"}]}");
    return out.data;
}

static void pictures_are_decoded_and_measured(void **state)
{
    (void)state;
    char *body = answer_with(&png, &png);
    struct record *r = judge(201, body);
    assert_true(record_succeeded(r));
    assert_int_equal(r->n_returned, 2);
    assert_int_equal(r->n_decoded, 2);
    assert_string_equal(r->images[1].format, "png");
    assert_int_equal(r->images[1].width_px, 5);
    assert_int_equal(r->images[1].height_px, 4);
    assert_int_equal(r->images[1].bytes, png.size);
    record_free(r);
    free(body);
}

static void one_bad_picture_fails_the_request_and_the_good_one_counts(void **state)
{
    (void)state;
    struct buf cut = {png.data, png.size / 2, png.size / 2};
    char *body = answer_with(&png, &cut);
    struct record *r = judge(200, body);
    assert_string_equal(r->error.type, "UndecodableImageError");
    assert_int_equal(r->n_returned, 2);
    assert_int_equal(r->n_decoded, 1);
    assert_null(r->images[1].format);
    record_free(r);
    free(body);
}

static void status_outside_2xx_is_code_reason_and_body(void **state)
{
    (void)state;
    struct record *r = judge(503, "{\"error\":1}");
    assert_int_equal(r->error.code, 503);
    assert_string_equal(r->error.type, "Some Reason");
    assert_string_equal(r->error.message, "{\"error\":1}");
    record_free(r);
    check_failure(301, "{\"data\":[]}", 301, "Some Reason");
}

static void answers_without_pictures_are_failures(void **state)
{
    (void)state;
    check_failure(200, "", 0, "InvalidInferenceResultError");
    check_failure(200, "no json", 0, "InvalidInferenceResultError");
    check_failure(200, "[]", 0, "InvalidInferenceResultError");
    check_failure(200, "{}", 0, "InvalidInferenceResultError");
    check_failure(200, "{\"created\":1}", 0, "NoImageError");
    check_failure(200, "{\"data\":[]}", 0, "NoImageError");
    check_failure(200, "{\"data\":{}}", 0, "NoImageError");
    check_failure(200, "{\"data\":[3]}", 0, "NoImageError");
    check_failure(200, "{\"data\":[{\"b64_json\":null}]}", 0, "NoImageError");
    check_failure(200, "{\"data\":[{\"b64_json\":\"!\"}]}", 0, "InvalidBase64Error");
    check_failure(200, "{\"data\":[{\"b64_json\":\"\"}]}", 0, "UndecodableImageError");
    check_failure(200, "{\"data\":[{\"b64_json\":\"aGVsbG8=\"}]}", 0, "UndecodableImageError");
    check_failure(200, "{\"data\":[{\"url\":\"/bad\"}]}", 0, "ImageFetchError");
}

static void pictures_by_address_are_fetched(void **state)
{
    (void)state;
    struct record *r = judge(200, "{\"data\":[{\"url\":\"/good\"}]}");
    assert_true(record_succeeded(r));
    assert_int_equal(r->n_decoded, 1);
    record_free(r);
}

static void usage_is_read_by_either_name(void **state)
{
    (void)state;
    struct record *r = judge(200, "{\"data\":[],\"usage\":{\"prompt_tokens\":8,\"input_tokens\":7,"
                                  "\"output_tokens\":0}}");
    assert_int_equal(r->usage_prompt_tokens, 8);
    assert_int_equal(r->usage_completion_tokens, 0);
    record_free(r);
    r = judge(200, "{\"data\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":\"x\"}}");
    assert_int_equal(r->usage_prompt_tokens, 9);
    assert_int_equal(r->usage_completion_tokens, -1);
    record_free(r);
}

static void transfers_that_failed_have_no_code(void **state)
{
    (void)state;
    static const struct {
        enum transfer transfer;
        const char *type;
    } CASES[] = {
        {TRANSFER_NO_HOST, "ClientConnectorDNSError"},
        {TRANSFER_NO_CONNECT, "ClientConnectorError"},
        {TRANSFER_DISCONNECTED, "ServerDisconnectedError"},
        {TRANSFER_TIMEOUT, "TimeoutError"},
        {TRANSFER_OVERSIZED, "ResponseTooLargeError"},
        {TRANSFER_FAILED, "ClientError"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct record *r = xcalloc(1, sizeof *r);
        r->transfer = CASES[i].transfer;
        r->status = 200; /* headers may have come */
        r->transfer_text = xstrdup("why");
        answer_judge(r, &(struct answer_source){.self = NULL});
        assert_string_equal(r->error.type, CASES[i].type);
        assert_int_equal(r->error.code, 0);
        record_free(r);
    }
}

static void messages_are_valid_text(void **state)
{
    (void)state;
    struct record *r = judge(500, "a\xff\xc3(");
    assert_string_equal(r->error.message, "a\xef\xbf\xbd\xef\xbf\xbd(");
    record_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_decoded_and_measured),
        cmocka_unit_test(one_bad_picture_fails_the_request_and_the_good_one_counts),
        cmocka_unit_test(status_outside_2xx_is_code_reason_and_body),
        cmocka_unit_test(answers_without_pictures_are_failures),
        cmocka_unit_test(pictures_by_address_are_fetched),
        cmocka_unit_test(usage_is_read_by_either_name),
        cmocka_unit_test(transfers_that_failed_have_no_code),
        cmocka_unit_test(messages_are_valid_text),
    };
    return cmocka_run_group_tests(tests, make_png, free_png);
}
