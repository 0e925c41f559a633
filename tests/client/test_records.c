/* client/records: the hand-over is bounded. The thread is held up by a pipe that nobody reads. */
#include "client/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "client/judges.h"
#include "image/image.h"

#define BODY ((size_t)1 << 20) /* more than a pipe holds */
#define WAIT_MS 60000

struct fixture {
    char dir[32], path[64];
    int pipe, woken[2]; /* read ends first */
    struct prompts prompts;
    struct prompts_reader reader;
    struct request_target target;
    struct records *records;
};

static void on_room(void *self)
{
    const struct fixture *f = self;
    assert_int_equal(write(f->woken[1], "x", 1), 1);
}

static void make_prompt(struct prompts *prompts)
{
    struct error err = {0};
    struct draft d = {.text = xstrdup("a"), .session_id = xstrdup("s")};
    buf_puts(&d.body, "{}");
    assert_true(prompts_put(prompts, &d, &err) && prompts_done(prompts, &err));
    draft_free(&d);
}

static void give_row(struct record *r, struct prompts_reader *reader)
{
    const struct prompts_entry e = prompts_take(reader, 0, &r->owned_row);
    r->row = e.row;
    r->payload = e.body;
    r->payload_bytes = e.body_bytes;
}

static void open_fixture(struct fixture *f, size_t max_pending_bytes)
{
    *f = (struct fixture){.dir = "/tmp/test_records.XXXXXX"};
    struct error err = {0};
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/raw", f->dir);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(pipe(f->woken), 0);
    f->pipe = open(f->path, O_RDONLY | O_NONBLOCK);
    assert_true(f->pipe >= 0);
    make_prompt(&f->prompts);
    f->reader = prompts_reader(&f->prompts);
    struct records_options options = {.context = {.target = &f->target},
                                      .raw_path = f->path,
                                      .max_pending_bytes = max_pending_bytes,
                                      .on_room = on_room,
                                      .on_room_self = f};
    assert_true(records_open(&f->records, &options, &err));
}

static void push(struct fixture *f, enum transfer transfer)
{
    struct record *r = xcalloc(1, sizeof *r);
    give_row(r, &f->reader);
    r->transfer = transfer;
    r->status = 200;
    memset(buf_reserve(&r->body, BODY), 'x', BODY);
    r->body.size = BODY;
    records_push(f->records, r);
}

/* Read the pipe until `lines` of them have come. */
static void drain(struct fixture *f, int lines)
{
    static char bytes[65536];
    struct pollfd fd = {.fd = f->pipe, .events = POLLIN};
    while (lines > 0) {
        assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
        ssize_t n = read(f->pipe, bytes, sizeof bytes);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            lines -= bytes[i] == '\n';
    }
}

static void close_fixture(struct fixture *f)
{
    struct error err = {0};
    assert_true(records_finish(f->records, &err));
    records_close(f->records);
    close(f->pipe);
    close(f->woken[0]);
    close(f->woken[1]);
    unlink(f->path);
    rmdir(f->dir);
    prompts_reader_free(&f->reader);
    prompts_free(&f->prompts);
}

static void full_hand_over_says_so_and_wakes_when_there_is_room(void **state)
{
    (void)state;
    struct fixture f;
    struct pollfd woken;
    open_fixture(&f, 1);
    woken = (struct pollfd){.fd = f.woken[0], .events = POLLIN};
    assert_true(records_has_room(f.records));
    push(&f, TRANSFER_DONE); /* the thread hangs in writing it */
    assert_false(records_has_room(f.records));
    push(&f, TRANSFER_DONE); /* taken all the same */
    assert_int_equal(poll(&woken, 1, 0), 0);
    drain(&f, 2);
    assert_int_equal(poll(&woken, 1, WAIT_MS), 1);
    assert_true(records_has_room(f.records));
    close_fixture(&f);
}

static void canceled_requests_are_kept_but_no_failures(void **state)
{
    (void)state;
    struct fixture f;
    size_t n;
    struct error err = {0};
    open_fixture(&f, BODY);
    push(&f, TRANSFER_CANCELED);
    drain(&f, 1);
    assert_true(records_finish(f.records, &err));
    assert_int_equal(atomic_load(&records_counters(f.records)->n_failed), 0);
    assert_int_equal(atomic_load(&records_counters(f.records)->n_judged), 1);
    struct record *const *all = records_all(f.records, &n);
    assert_int_equal(n, 1);
    assert_string_equal(all[0]->error.type, "RequestCancellationError");
    close_fixture(&f);
}

/* An answer with a picture of side px, good or cut short, large enough for several threads. */
static void put_answer(struct buf *out, int side, bool is_good)
{
    struct buf file = {0};
    struct error err = {0};
    struct image image = {.width_px = side, .height_px = side};
    image.rgb = xcalloc((size_t)side * (size_t)side, 3);
    assert_true(image_encode(&file, &image, IMAGE_PNG, 100, &err));
    buf_puts(out, "{\"data\":[{\"b64_json\":\"");
    base64_encode(out, file.data, is_good ? file.size : file.size / 2);
    buf_puts(out, "\"}],\"padding\":\"");
    for (size_t i = 0; i < 40000; i++)
        buf_putc(out, ' ');
    buf_puts(out, "\"}");
    buf_free(&file);
    image_free(&image);
}

/* Large answers are judged by several threads; verdicts and their order are as of one. */
static void verdicts_come_in_the_order_of_the_ends(void **state)
{
    (void)state;
    enum { N = 100 };
    struct prompts prompts = {0};
    struct request_target target = {0};
    struct records_options options = {.context = {.target = &target},
                                      .max_pending_bytes = SIZE_MAX};
    struct records *records;
    struct error err = {0};
    size_t n;
    make_prompt(&prompts);
    struct prompts_reader reader = prompts_reader(&prompts);
    assert_true(records_open(&records, &options, &err));
    for (int i = 0; i < N; i++) {
        struct record *r = records_new(records);
        give_row(r, &reader);
        r->status = 200;
        r->session = i;
        put_answer(&r->body, 1 + i % 20, i % 7 != 3);
        records_push(records, r);
    }
    assert_true(records_finish(records, &err));
    struct record *const *all = records_all(records, &n);
    assert_int_equal(n, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(all[i]->session, i);
        assert_int_equal(record_succeeded(all[i]), i % 7 != 3);
        assert_int_equal(all[i]->image_pixels, i % 7 != 3 ? (1 + i % 20) * (1 + i % 20) : 0);
    }
    assert_int_equal(atomic_load(&records_counters(records)->n_judged), N);
    records_close(records);
    prompts_reader_free(&reader);
    prompts_free(&prompts);
}

static void count(void *self, size_t i) { atomic_fetch_add(&((atomic_int *)self)[i], 1); }

static void each_item_of_a_list_is_worked_on_once(void **state)
{
    (void)state;
    enum { N = 50 };
    struct judges *judges = judges_open(3);
    for (size_t n = 0; n <= N; n++) {
        atomic_int done[N + 1] = {0};
        judges_run(judges, n, count, done);
        for (size_t i = 0; i <= N; i++)
            assert_int_equal(atomic_load(&done[i]), i < n);
    }
    judges_close(judges);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_hand_over_says_so_and_wakes_when_there_is_room),
        cmocka_unit_test(canceled_requests_are_kept_but_no_failures),
        cmocka_unit_test(verdicts_come_in_the_order_of_the_ends),
        cmocka_unit_test(each_item_of_a_list_is_worked_on_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
