/* client/load in virtual time: a transport whose clock moves only when the engine waits. */
#include "client/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
#define MAX_RUN 1000

/* Every request takes what latency_ms says for its number; at most MAX_RUN of them. */
struct world {
    int64_t now_ns;
    int64_t (*latency_ms)(int64_t session);
    struct record *flying[MAX_RUN];
    size_t n_flying, most_flying;
    struct record *ended[MAX_RUN];
    size_t n_ended;
    int64_t stop_at_ns;                  /* raise load_control.stop then; 0: never */
    int64_t full_from_ns, full_until_ns; /* no room for answers; then there is a wake */
    struct load_control control;
    struct load_result result;
};

static int64_t world_now(void *self) { return ((struct world *)self)->now_ns; }

static void world_start(void *self, struct record *r)
{
    struct world *w = self;
    r->start_ns = w->now_ns;
    r->end_ns = w->now_ns + w->latency_ms(r->session) * MS;
    r->transfer = w->latency_ms(r->session) < 0 ? TRANSFER_NO_CONNECT : TRANSFER_DONE;
    if (r->transfer == TRANSFER_NO_CONNECT)
        r->end_ns = w->now_ns;
    assert_true(w->n_flying < MAX_RUN);
    w->flying[w->n_flying++] = r;
    if (w->n_flying > w->most_flying)
        w->most_flying = w->n_flying;
}

static struct record *world_wait(void *self, int64_t until_ns)
{
    struct world *w = self;
    size_t first = w->n_flying;
    for (size_t i = 0; i < w->n_flying; i++) {
        if (first == w->n_flying || w->flying[i]->end_ns < w->flying[first]->end_ns)
            first = i;
    }
    int64_t end_ns = first < w->n_flying ? w->flying[first]->end_ns : INT64_MAX;
    if (w->stop_at_ns && w->now_ns < w->stop_at_ns && w->stop_at_ns < end_ns &&
        w->stop_at_ns < until_ns) {
        w->now_ns = w->stop_at_ns;
        atomic_store(&w->control.stop, true);
        return NULL;
    }
    if (w->now_ns < w->full_until_ns && w->full_until_ns < end_ns && w->full_until_ns < until_ns) {
        w->now_ns = w->full_until_ns;
        return NULL;
    }
    assert_true(end_ns != INT64_MAX || until_ns != INT64_MAX); /* else it would sleep for ever */
    if (end_ns > until_ns) {
        w->now_ns = until_ns > w->now_ns ? until_ns : w->now_ns;
        return NULL;
    }
    w->now_ns = end_ns > w->now_ns ? end_ns : w->now_ns;
    struct record *r = w->flying[first];
    w->flying[first] = w->flying[--w->n_flying];
    return r;
}

static void world_cancel(void *self, struct record *r)
{
    r->transfer = TRANSFER_CANCELED;
    r->end_ns = ((struct world *)self)->now_ns;
}

static struct record *world_make(void *self, int64_t session)
{
    (void)self;
    struct record *r = calloc(1, sizeof *r);
    r->session = session;
    return r;
}

static void world_ended(void *self, struct record *r)
{
    struct world *w = self;
    w->ended[w->n_ended++] = r;
}

static bool world_has_room(void *self)
{
    const struct world *w = self;
    return w->now_ns < w->full_from_ns || w->now_ns >= w->full_until_ns;
}

static void run(struct world *w, const struct load_phase *phase)
{
    struct transport transport = {.self = w,
                                  .now_ns = world_now,
                                  .start = world_start,
                                  .wait = world_wait,
                                  .cancel = world_cancel};
    struct load_hooks hooks = {w, world_make, world_ended, world_has_room};
    w->now_ns = 5000 * MS;
    load_run(phase, &transport, &hooks, &w->control, &w->result);
    assert_int_equal(w->result.n_sent, w->result.n_ended + w->result.n_canceled);
    assert_int_equal(w->result.n_ended + w->result.n_canceled, w->n_ended);
    assert_int_equal(w->n_flying, 0);
}

static void finish(struct world *w)
{
    for (size_t i = 0; i < w->n_ended; i++)
        record_free(w->ended[i]);
}

static int64_t ten_ms(int64_t session) { return (void)session, 10; }
static int64_t twenty_five_ms(int64_t session) { return (void)session, 25; }
static int64_t a_second(int64_t session) { return (void)session, 1000; }
static int64_t slow_fifth(int64_t session) { return session == 4 ? 1000 : 10; }
static int64_t refused(int64_t session) { return (void)session, -1; }

static void slots_are_refilled_at_once(void **state)
{
    (void)state;
    struct world w = {.latency_ms = ten_ms};
    run(&w, &(struct load_phase){.n_slots = 3, .n_requests = 9});
    assert_int_equal(w.most_flying, 3);
    assert_int_equal(w.n_ended, 9);
    assert_int_equal(w.result.end_ns - w.result.start_ns, 30 * MS);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(w.ended[i]->due_ns, w.ended[i]->start_ns);
    finish(&w);
}

static void rate_sends_at_planned_times(void **state)
{
    (void)state;
    struct world w = {.latency_ms = ten_ms};
    struct load_phase phase = {.n_requests = 5};
    arrivals_init(&phase.arrivals, ARRIVAL_CONSTANT, 100, 1, 0);
    run(&w, &phase);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(w.ended[i]->due_ns, w.result.start_ns + (i + 1) * 10 * MS);
        assert_int_equal(w.ended[i]->start_ns, w.ended[i]->due_ns);
    }
    finish(&w);
}

/* One slot, a plan of one request each 5 ms, but 10 ms per answer. */
static void request_without_slot_keeps_its_due_time(void **state)
{
    (void)state;
    struct world w = {.latency_ms = ten_ms};
    struct load_phase phase = {.n_slots = 1, .n_requests = 4};
    arrivals_init(&phase.arrivals, ARRIVAL_CONSTANT, 200, 1, 0);
    run(&w, &phase);
    assert_int_equal(w.most_flying, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(w.ended[i]->due_ns, w.result.start_ns + (i + 1) * 5 * MS);
        assert_int_equal(w.ended[i]->start_ns, w.result.start_ns + (5 + i * 10) * MS);
    }
    finish(&w);
}

/* Two places, a request each 10 ms, 25 ms per answer: the third is due before the first is back. */
static void request_that_follows_waits_alone(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 10 * MS, 20 * MS, 22 * MS, 40 * MS};
    static const bool follows[] = {false, false, true, false, true};
    static const int64_t starts_ms[] = {0, 10, 22, 25, 50}; /* in the order of sending */
    static const int64_t planned[] = {0, 1, 3, 2, 4};
    struct world w = {.latency_ms = twenty_five_ms};
    struct load_phase phase = {.n_requests = 5, .follows = follows, .n_places = 2};
    arrivals_init_schedule(&phase.arrivals, times, 5);
    run(&w, &phase);
    assert_int_equal(w.n_ended, 5);
    for (int i = 0; i < 5; i++) {
        const struct record *r = w.ended[i];
        assert_int_equal(r->session, i);
        assert_int_equal(r->planned, planned[i]);
        assert_int_equal(r->start_ns - w.result.start_ns, starts_ms[i] * MS);
        assert_int_equal(r->due_ns - w.result.start_ns, times[planned[i]]);
    }
    finish(&w);
}

static void one_that_waited_to_the_end_is_unsent(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 10 * MS, 20 * MS, 30 * MS};
    static const bool follows[] = {false, false, true, false};
    struct world w = {.latency_ms = a_second};
    struct load_phase phase = {
        .n_requests = 4, .duration_ns = 25 * MS, .follows = follows, .n_places = 2};
    arrivals_init_schedule(&phase.arrivals, times, 4);
    run(&w, &phase);
    assert_int_equal(w.result.n_sent, 2);
    assert_int_equal(w.result.n_unsent, 1); /* the fourth was not due yet */
    finish(&w);
}

static void duration_stops_sending_and_waits_for_the_rest(void **state)
{
    (void)state;
    struct world w = {.latency_ms = slow_fifth};
    run(&w, &(struct load_phase){.n_slots = 1, .duration_ns = 45 * MS, .grace_ns = INT64_MAX});
    assert_int_equal(w.n_ended, 5);
    assert_int_equal(w.result.sending_end_ns - w.result.start_ns, 45 * MS);
    assert_int_equal(w.result.end_ns - w.result.start_ns, 1040 * MS);
    finish(&w);
}

static void grace_period_cancels_what_is_left(void **state)
{
    (void)state;
    struct world w = {.latency_ms = slow_fifth};
    run(&w, &(struct load_phase){.n_slots = 1, .duration_ns = 45 * MS, .grace_ns = 20 * MS});
    assert_int_equal(w.result.n_ended, 4);
    assert_int_equal(w.result.n_canceled, 1);
    assert_int_equal(w.n_ended, 5); /* the canceled one is handed over too */
    assert_true(record_was_canceled(w.ended[4]));
    assert_int_equal(w.result.end_ns - w.result.start_ns, 65 * MS);
    assert_false(w.result.was_stopped);
    finish(&w);
}

/* A request each 5 ms for 100 ms, one slot of 10 ms each: due at 5..95 are 19, sent are 10. */
static void requests_that_never_got_a_slot_are_counted(void **state)
{
    (void)state;
    struct world w = {.latency_ms = ten_ms};
    struct load_phase phase = {.n_slots = 1, .duration_ns = 100 * MS, .grace_ns = INT64_MAX};
    arrivals_init(&phase.arrivals, ARRIVAL_CONSTANT, 200, 1, 0);
    run(&w, &phase);
    assert_int_equal(w.result.n_sent, 10);
    assert_int_equal(w.result.n_unsent, 9);
    finish(&w);
}

static void requests_beyond_the_count_are_not_unsent(void **state)
{
    (void)state;
    struct world w = {.latency_ms = ten_ms};
    struct load_phase phase = {
        .n_slots = 1, .n_requests = 12, .duration_ns = 100 * MS, .grace_ns = INT64_MAX};
    arrivals_init(&phase.arrivals, ARRIVAL_CONSTANT, 200, 1, 0);
    run(&w, &phase);
    assert_int_equal(w.result.n_unsent, 2);
    finish(&w);
}

/* No room from 25 to 65 ms: what is in flight ends when it ends, the plan stays. */
static void full_hand_over_holds_sending_and_nothing_else(void **state)
{
    (void)state;
    struct world w = {.latency_ms = ten_ms, .full_from_ns = 5025 * MS, .full_until_ns = 5065 * MS};
    struct load_phase phase = {.n_requests = 8};
    arrivals_init(&phase.arrivals, ARRIVAL_CONSTANT, 100, 1, 0);
    run(&w, &phase);
    assert_int_equal(w.result.n_held, 1);
    assert_int_equal(w.result.held_ns, 35 * MS); /* from the first that was due, at 30 */
    for (int i = 0; i < 8; i++) {
        const struct record *r = w.ended[i];
        bool was_held = r->session >= 2 && r->session < 6;
        assert_int_equal(r->due_ns, w.result.start_ns + (r->session + 1) * 10 * MS);
        assert_int_equal(r->start_ns, was_held ? 5065 * MS : r->due_ns);
        assert_int_equal(r->end_ns - r->start_ns, 10 * MS);
    }
    finish(&w);
}

static void count_ends_a_phase_before_its_duration(void **state)
{
    (void)state;
    struct world w = {.latency_ms = ten_ms};
    run(&w, &(struct load_phase){.n_slots = 2, .n_requests = 4, .duration_ns = 60000 * MS});
    assert_int_equal(w.n_ended, 4);
    assert_int_equal(w.result.end_ns - w.result.start_ns, 20 * MS);
    finish(&w);
}

static void stop_cancels_at_once(void **state)
{
    (void)state;
    struct world w = {.latency_ms = slow_fifth, .stop_at_ns = 5100 * MS};
    run(&w, &(struct load_phase){.n_slots = 1, .n_requests = 100});
    assert_int_equal(w.result.n_ended, 4);
    assert_int_equal(w.result.n_canceled, 1);
    assert_int_equal(w.result.end_ns, 5100 * MS);
    assert_true(w.result.was_stopped);
    finish(&w);
}

static void server_that_refuses_for_long_ends_the_phase(void **state)
{
    (void)state;
    struct world w = {.latency_ms = refused};
    run(&w, &(struct load_phase){.n_slots = 1, .n_requests = MAX_RUN});
    assert_true(w.result.was_unreachable);
    assert_int_equal(w.n_ended, LOAD_MAX_REFUSED);
    finish(&w);
}

/* From 1 to 3 slots in 40 ms: the second comes at 20, the third at 40. */
static void slots_rise_one_by_one(void **state)
{
    (void)state;
    static const int64_t STARTS_MS[] = {0, 20, 40, 1000, 1020, 1040};
    struct world w = {.latency_ms = a_second};
    run(&w, &(struct load_phase){.n_slots = 3, .ramp_ns = 40 * MS, .n_requests = 6});
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(w.ended[i]->start_ns - w.result.start_ns, STARTS_MS[i] * MS);
        assert_int_equal(w.ended[i]->due_ns, w.ended[i]->start_ns);
    }
    finish(&w);
}

/* A request each ms, so only the ramp limits; due times stay those of the plan. */
static void ramp_of_slots_leaves_due_times(void **state)
{
    (void)state;
    static const int64_t STARTS_MS[] = {1, 20, 40};
    struct world w = {.latency_ms = a_second};
    struct load_phase phase = {.n_slots = 3, .ramp_ns = 40 * MS, .n_requests = 3};
    arrivals_init(&phase.arrivals, ARRIVAL_CONSTANT, 1000, 1, 0);
    run(&w, &phase);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(w.ended[i]->start_ns - w.result.start_ns, STARTS_MS[i] * MS);
        assert_int_equal(w.ended[i]->due_ns - w.result.start_ns, (i + 1) * MS);
    }
    finish(&w);
}

/* To 100/s in 2 s: n requests after sqrt(n / 25) s, 100 in all; then one each 10 ms. */
static void rate_rises_linearly(void **state)
{
    (void)state;
    struct arrivals a;
    int64_t at_ns[301] = {0};
    arrivals_init(&a, ARRIVAL_CONSTANT, 100, 1, 0);
    a.ramp_s = 2;
    for (int i = 1; i <= 300; i++)
        at_ns[i] = arrivals_next_ns(&a);
    assert_int_equal(at_ns[1], 200 * MS);
    assert_int_equal(at_ns[25], 1000 * MS);
    assert_int_equal(at_ns[100], 2000 * MS);
    assert_int_equal(at_ns[300], 4000 * MS);
}

static void counters_follow(void **state)
{
    (void)state;
    struct world w = {.latency_ms = ten_ms};
    run(&w, &(struct load_phase){.n_slots = 2, .n_requests = 5});
    assert_int_equal(atomic_load(&w.control.n_sent), 5);
    assert_int_equal(atomic_load(&w.control.n_ended), 5);
    assert_int_equal(atomic_load(&w.control.n_done_phase), 5);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_refilled_at_once),
        cmocka_unit_test(rate_sends_at_planned_times),
        cmocka_unit_test(request_without_slot_keeps_its_due_time),
        cmocka_unit_test(request_that_follows_waits_alone),
        cmocka_unit_test(one_that_waited_to_the_end_is_unsent),
        cmocka_unit_test(duration_stops_sending_and_waits_for_the_rest),
        cmocka_unit_test(grace_period_cancels_what_is_left),
        cmocka_unit_test(requests_that_never_got_a_slot_are_counted),
        cmocka_unit_test(requests_beyond_the_count_are_not_unsent),
        cmocka_unit_test(full_hand_over_holds_sending_and_nothing_else),
        cmocka_unit_test(count_ends_a_phase_before_its_duration),
        cmocka_unit_test(stop_cancels_at_once),
        cmocka_unit_test(server_that_refuses_for_long_ends_the_phase),
        cmocka_unit_test(slots_rise_one_by_one),
        cmocka_unit_test(ramp_of_slots_leaves_due_times),
        cmocka_unit_test(rate_rises_linearly),
        cmocka_unit_test(counters_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
