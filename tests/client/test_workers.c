/* client/workers and client/loopback_server against each other: every request comes back once, by
 * whichever worker, also when it is canceled. */
#include "client/workers.h"

#include "base/clock.h"
#include "client/loopback_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define N 300
#define N_SLOTS 40

struct fixture {
    struct loopback *server;
    struct request_target target;
    struct workers *workers;
    struct transport t;
    struct buf payload;
};

static void open_fixture(struct fixture *f, size_t n_workers, const struct loopback_options *server)
{
    struct error err = {0};
    const struct http_options http = {.timeout_ms = 60000, .is_pooled = true, .max_connections = N};
    *f = (struct fixture){0};
    assert_true(http_setup(&err));
    assert_true(loopback_open(&f->server, server, &err));
    f->target.urls = xcalloc(1, sizeof *f->target.urls);
    f->target.urls[f->target.n_urls++] =
        xasprintf("http://127.0.0.1:%d/", loopback_port(f->server));
    buf_puts(&f->payload, "{\"prompt\":\"a\"}");
    assert_true(workers_open(&f->workers, n_workers, &f->target, &http, &err));
    f->t = workers_transport(f->workers);
}

static void close_fixture(struct fixture *f)
{
    workers_close(f->workers);
    loopback_close(f->server);
    request_target_free(&f->target);
    buf_free(&f->payload);
    http_teardown();
}

static void send(struct fixture *f, int64_t session)
{
    struct record *r = xcalloc(1, sizeof *r);
    r->session = session;
    r->payload = f->payload.data;
    r->payload_bytes = f->payload.size;
    f->t.start(f->t.self, r);
}

static struct record *wait(struct fixture *f)
{
    struct record *r;
    while (!(r = f->t.wait(f->t.self, INT64_MAX))) {}
    return r;
}

static void answer_all(size_t n_workers)
{
    struct fixture f;
    bool has_come[N] = {false};
    open_fixture(&f, n_workers,
                 &(struct loopback_options){.delay_ns = NS_PER_MS, .answer_bytes = 3000});
    for (int i = 0; i < N_SLOTS; i++)
        send(&f, i);
    for (int n_sent = N_SLOTS, n = 0; n < N; n++) {
        struct record *r = wait(&f);
        assert_int_equal(r->transfer, TRANSFER_DONE);
        assert_int_equal(r->status, 200);
        assert_in_range(r->body.size, 2900, 3300);
        assert_false(has_come[r->session]);
        has_come[r->session] = true;
        struct stages *told = stages_read(r->server_timing, NULL);
        assert_non_null(told);
        assert_true(told->ms[STAGE_TOTAL] >= 1);
        /* what the server tells is a part of what the client saw */
        assert_true((double)(r->end_ns - r->start_ns) / 1e6 >= told->ms[STAGE_TOTAL]);
        stages_free(told);
        record_free(r);
        if (n_sent < N)
            send(&f, n_sent++);
    }
    close_fixture(&f);
}

static void one_worker_answers_all(void **state)
{
    (void)state;
    answer_all(1);
}

static void three_workers_answer_all(void **state)
{
    (void)state;
    answer_all(3);
}

static void canceled_requests_come_back(void **state)
{
    (void)state;
    struct fixture f;
    struct record *sent[8];
    open_fixture(&f, 2,
                 &(struct loopback_options){.delay_ns = 3600 * NS_PER_S, .answer_bytes = 10});
    for (int i = 0; i < 8; i++) {
        sent[i] = xcalloc(1, sizeof *sent[i]);
        sent[i]->payload = f.payload.data;
        sent[i]->payload_bytes = f.payload.size;
        f.t.start(f.t.self, sent[i]);
    }
    for (int i = 0; i < 8; i++)
        f.t.cancel(f.t.self, sent[i]);
    for (int i = 0; i < 8; i++) {
        struct record *r = wait(&f);
        assert_int_equal(r->transfer, TRANSFER_CANCELED);
        record_free(r);
    }
    close_fixture(&f);
}

static void waiting_ends_in_time_and_when_woken(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 2, &(struct loopback_options){.answer_bytes = 10});
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_MS;
    assert_null(f.t.wait(f.t.self, until_ns));
    assert_true(clock_now_ns() >= until_ns);
    f.t.wake(f.t.self);
    assert_null(f.t.wait(f.t.self, INT64_MAX));
    close_fixture(&f);
}

static void slots_of_the_server_bound_its_capacity(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 1,
                 &(struct loopback_options){
                     .delay_ns = 2 * NS_PER_MS, .n_slots = 2, .answer_bytes = 10, .n_pictures = 2});
    int64_t start_ns = clock_now_ns();
    for (int i = 0; i < 20; i++)
        send(&f, i);
    for (int i = 0; i < 20; i++)
        record_free(wait(&f));
    assert_true(clock_now_ns() - start_ns >= 20 / 2 * 2 * NS_PER_MS);
    close_fixture(&f);
}

static void answers_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    struct loopback *server = NULL;
    struct error err = {0};
    assert_false(loopback_open(
        &server, &(struct loopback_options){.answer_bytes = LOOPBACK_MAX_ANSWER + 1}, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_worker_answers_all),
        cmocka_unit_test(three_workers_answer_all),
        cmocka_unit_test(canceled_requests_come_back),
        cmocka_unit_test(waiting_ends_in_time_and_when_woken),
        cmocka_unit_test(slots_of_the_server_bound_its_capacity),
        cmocka_unit_test(answers_beyond_the_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
