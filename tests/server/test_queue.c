#include "server/queue.h"

#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* An owner that waits for its job on a thread of its own. */
struct owner {
    pthread_t thread;
    struct queue *queue;
    struct job job;
    bool client_is_gone, ok;
    struct error error;
};

static bool is_gone(void *ctx)
{
    const struct owner *o = ctx;
    return o->client_is_gone;
}

static void *owner_main(void *arg)
{
    struct owner *o = arg;
    o->ok = queue_wait(o->queue, &o->job, is_gone, o, &o->error);
    return NULL;
}

static void submit(struct queue *q, struct owner *o)
{
    struct error err = {0};
    o->queue = q;
    assert_true(queue_submit(q, &o->job, &err));
    pthread_create(&o->thread, NULL, owner_main, o);
}

static void join(struct owner *o) { pthread_join(o->thread, NULL); }

/* Take and finish what waits, so that the queue can be closed. */
static void finish_all(struct queue *q)
{
    queue_shut(q);
    for (struct job *job = queue_take(q); job; job = queue_take(q))
        queue_finish(q, job);
}

static void jobs_come_out_in_order_of_arrival(void **state)
{
    (void)state;
    struct queue *q = queue_open(8, 1);
    struct owner owners[3] = {0};
    for (int i = 0; i < 3; i++)
        submit(q, &owners[i]);
    for (int i = 0; i < 3; i++) {
        struct job *job = queue_take(q);
        assert_ptr_equal(job, &owners[i].job);
        queue_finish(q, job);
        join(&owners[i]);
        assert_true(owners[i].ok);
    }
    queue_close(q);
}

static void full_queue_answers_busy(void **state)
{
    (void)state;
    struct queue *q = queue_open(1, 1);
    struct owner running = {0}, waiting = {0};
    struct job third = {0};
    struct error err = {0};
    submit(q, &running);
    struct job *taken = queue_take(q);
    submit(q, &waiting);
    assert_false(queue_submit(q, &third, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_int_equal(queue_depth(q).waiting, 1);
    assert_int_equal(queue_depth(q).running, 1);
    queue_finish(q, taken);
    finish_all(q);
    join(&running);
    join(&waiting);
    queue_close(q);
}

static void finishing_makes_room(void **state)
{
    (void)state;
    struct queue *q = queue_open(0, 1);
    struct owner first = {0}, second = {0};
    struct job refused = {0};
    struct error err = {0};
    submit(q, &first);
    assert_false(queue_submit(q, &refused, &err));
    queue_finish(q, queue_take(q));
    join(&first);
    submit(q, &second);
    finish_all(q);
    join(&second);
    assert_true(second.ok);
    queue_close(q);
}

/* One of two workers leaves, then the other: only then is what waits given up. */
static void last_worker_to_leave_ends_what_waits(void **state)
{
    (void)state;
    struct queue *q = queue_open(2, 2);
    struct owner owners[4] = {0};
    struct job refused = {0};
    struct error err = {0};
    const struct error why = {.code = ERR_DEVICE, .text = "gone"};
    for (int i = 0; i < 4; i++)
        submit(q, &owners[i]); /* two may run and two wait */
    struct job *first = queue_take(q), *second = queue_take(q);
    assert_int_equal(queue_leave(q, &why), 0);
    queue_finish(q, first);
    assert_false(queue_submit(q, &refused, &err));
    assert_int_equal(err.code, ERR_CANCELED);
    assert_int_equal(queue_depth(q).waiting, 2);
    assert_int_equal(queue_leave(q, &why), 2);
    queue_finish(q, second);
    for (int i = 0; i < 4; i++) {
        join(&owners[i]);
        assert_int_equal(owners[i].ok, i < 2);
    }
    assert_int_equal(owners[3].error.code, ERR_DEVICE);
    assert_null(queue_take(q));
    queue_close(q);
}

static void shut_queue_refuses_but_hands_out_what_waits(void **state)
{
    (void)state;
    struct queue *q = queue_open(4, 1);
    struct owner waiting = {0};
    struct job late = {0};
    struct error err = {0};
    submit(q, &waiting);
    queue_shut(q);
    assert_false(queue_submit(q, &late, &err));
    assert_int_equal(err.code, ERR_CANCELED);
    struct job *job = queue_take(q);
    assert_ptr_equal(job, &waiting.job);
    queue_finish(q, job);
    assert_null(queue_take(q));
    join(&waiting);
    queue_close(q);
}

static void vanished_client_leaves_the_queue(void **state)
{
    (void)state;
    struct queue *q = queue_open(4, 1);
    struct owner first = {0}, gone = {.client_is_gone = true}, last = {0};
    submit(q, &first);
    submit(q, &gone);
    submit(q, &last);
    join(&gone); /* nobody has taken it */
    assert_false(gone.ok);
    assert_int_equal(gone.error.code, ERR_CANCELED);
    assert_int_equal(gone.job.started_ns, 0);
    assert_int_equal(queue_depth(q).waiting, 2);
    finish_all(q);
    join(&first);
    join(&last);
    assert_true(first.ok && last.ok);
    queue_close(q);
}

static void last_waiting_job_can_leave_and_others_follow(void **state)
{
    (void)state;
    struct queue *q = queue_open(4, 1);
    struct owner first = {0}, gone = {.client_is_gone = true}, next = {0};
    submit(q, &first);
    submit(q, &gone);
    join(&gone);
    submit(q, &next);
    assert_ptr_equal(queue_take(q), &first.job);
    assert_ptr_equal(queue_take(q), &next.job);
    queue_finish(q, &first.job);
    queue_finish(q, &next.job);
    join(&first);
    join(&next);
    queue_close(q);
}

static void vanished_client_marks_its_running_job(void **state)
{
    (void)state;
    struct queue *q = queue_open(4, 1);
    struct owner gone = {.client_is_gone = true};
    struct error err = {0};
    gone.queue = q;
    assert_true(queue_submit(q, &gone.job, &err));
    struct job *job = queue_take(q);
    assert_false(queue_is_canceled(q, job));
    pthread_create(&gone.thread, NULL, owner_main, &gone);
    while (!queue_is_canceled(q, job))
        clock_sleep_until_ns(clock_now_ns() + NS_PER_MS);
    (fail)(&job->error, ERR_CANCELED, "canceled at step 3");
    queue_finish(q, job);
    join(&gone);
    assert_false(gone.ok);
    assert_string_equal(gone.error.text, "canceled at step 3");
    assert_true(gone.job.finished_ns >= gone.job.started_ns);
    queue_close(q);
}

static void *take_main(void *arg)
{
    struct queue *q = arg;
    return queue_take(q);
}

static void shutting_wakes_an_idle_worker(void **state)
{
    (void)state;
    struct queue *q = queue_open(4, 1);
    pthread_t worker;
    void *taken = q;
    pthread_create(&worker, NULL, take_main, q);
    queue_shut(q);
    pthread_join(worker, &taken);
    assert_null(taken);
    queue_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_come_out_in_order_of_arrival),
        cmocka_unit_test(full_queue_answers_busy),
        cmocka_unit_test(finishing_makes_room),
        cmocka_unit_test(last_worker_to_leave_ends_what_waits),
        cmocka_unit_test(shut_queue_refuses_but_hands_out_what_waits),
        cmocka_unit_test(vanished_client_leaves_the_queue),
        cmocka_unit_test(last_waiting_job_can_leave_and_others_follow),
        cmocka_unit_test(vanished_client_marks_its_running_job),
        cmocka_unit_test(shutting_wakes_an_idle_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
