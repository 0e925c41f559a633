/* client/http_wire: answers cut at every place, and where they end. */
#include "client/http_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define MORE "HTTP/1.1"

struct found {
    size_t n_lines;
    struct buf body;
};

static void on_line(void *self, const char *line, size_t size)
{
    assert_int_equal(line[size - 1], '\n');
    ((struct found *)self)->n_lines++;
}

static bool on_body(void *self, const char *data, size_t size)
{
    buf_append(&((struct found *)self)->body, data, size);
    return true;
}

struct example {
    const char *answer;
    const char *body;
    size_t n_lines;
    bool has_closed, ends_with_connection;
};

static const struct example EXAMPLES[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 3, false, false},
    {"HTTP/1.1 200 OK\r\nConnection: a, Close\r\nContent-Length: 0\r\n\r\n", "", 4, true, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n!", "!", 3, true, false},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n!", "!", 4, false,
     false},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", "", 3, false, false},
    {"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:2 \r\n\r\nab", "ab", 5, false,
     false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00A "
     ";x\r\n0123456789\r\n0\r\n"
     "Sum: 1\r\n\r\n",
     "abc0123456789", 3, false, false},
    {"HTTP/1.1 200 OK\r\n\r\nall of it", "all of it", 2, true, true},
};

static void check(const struct example *e, size_t cut)
{
    struct wire w = {0};
    struct found f = {0};
    const struct wire_hooks hooks = {.self = &f, .line = on_line, .body = on_body};
    size_t n = strlen(e->answer), n_more = e->ends_with_connection ? 0 : strlen(MORE);
    struct buf bytes = {0};
    buf_append(&bytes, e->answer, n);
    buf_append(&bytes, MORE, n_more);
    size_t n_first = wire_read(&w, bytes.data, cut, &hooks);
    assert_int_equal(n_first, cut);
    size_t n_used = cut + wire_read(&w, bytes.data + cut, bytes.size - cut, &hooks);
    assert_int_equal(n_used, n);
    assert_int_equal(w.state, e->ends_with_connection ? WIRE_BODY : WIRE_DONE);
    assert_true(wire_end(&w));
    assert_int_equal(f.n_lines, e->n_lines);
    assert_string_equal(f.body.data ? f.body.data : "", e->body);
    assert_int_equal(w.has_closed, e->has_closed);
    buf_free(&bytes);
    buf_free(&f.body);
    wire_free(&w);
}

static void an_answer_may_be_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof EXAMPLES / sizeof EXAMPLES[0]; i++) {
        for (size_t cut = 0; cut <= strlen(EXAMPLES[i].answer); cut++)
            check(&EXAMPLES[i], cut);
    }
}

static void an_answer_that_breaks_off_is_not_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof EXAMPLES / sizeof EXAMPLES[0]; i++) {
        const struct example *e = &EXAMPLES[i];
        for (size_t cut = 0; !e->ends_with_connection && cut < strlen(e->answer); cut++) {
            struct wire w = {0};
            struct found f = {0};
            const struct wire_hooks hooks = {.self = &f, .line = on_line, .body = on_body};
            wire_read(&w, e->answer, cut, &hooks);
            assert_false(wire_end(&w));
            buf_free(&f.body);
            wire_free(&w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_may_be_cut_anywhere),
        cmocka_unit_test(an_answer_that_breaks_off_is_not_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
