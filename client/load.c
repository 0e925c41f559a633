#include "client/load.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct flight { /* records in flight; owner: the load thread */
    struct record **items;
    size_t n, capacity;
};

static void flight_add(struct flight *f, struct record *r)
{
    if (f->n == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 16;
        f->items = xrealloc(f->items, f->capacity * sizeof(struct record *));
    }
    r->slot = f->n;
    f->items[f->n++] = r;
}

static void flight_remove(struct flight *f, const struct record *r)
{
    struct record *last = f->items[--f->n];
    last->slot = r->slot;
    f->items[r->slot] = last;
}

/* A request of the plan that must not start before another has ended. */
struct waiting {
    int64_t i, due_ns;
};

struct engine {
    const struct load_phase *phase;
    const struct transport *transport;
    const struct load_hooks *hooks;
    struct load_control *control;
    struct load_result *result;
    struct arrivals arrivals;
    struct flight flight;
    int64_t n_planned;       /* requests taken from the plan: sent or waiting */
    struct waiting *waiting; /* owned; in the order of the plan */
    size_t n_waiting;
    bool *is_over;         /* owned: request i has ended; only where some follow others */
    int64_t due_ns;        /* of the next request, when there is a plan */
    int64_t send_until_ns; /* end of --benchmark-duration */
    int64_t cancel_at_ns;  /* end of the grace period */
    int64_t held_since_ns; /* sending pauses because has_room said no; 0: it does not */
    int64_t n_refused;     /* failed connections since the last answer */
    bool is_closing;       /* nothing more is sent */
    bool is_canceled;      /* those in flight were told */
};

static int64_t now(const struct engine *e) { return e->transport->now_ns(e->transport->self); }

/* Requests have due times of their own. */
static bool has_plan(const struct engine *e) { return arrivals_has_plan(&e->phase->arrivals); }

/* When the phase has n slots: evenly spaced, the first at once, the last at the ramp's end. */
static int64_t slots_at_ns(const struct engine *e, int64_t n)
{
    const struct load_phase *p = e->phase;
    if (p->ramp_ns <= 0 || n <= 1)
        return e->result->start_ns;
    return e->result->start_ns +
           (int64_t)((double)p->ramp_ns * (double)(n - 1) / (double)(p->n_slots - 1));
}

static bool is_below_limit(const struct engine *e)
{
    return e->phase->n_slots == 0 || (int64_t)e->flight.n < e->phase->n_slots;
}

/* When one more than is in flight may fly; only meaningful below the limit. */
static int64_t slot_free_ns(const struct engine *e)
{
    return slots_at_ns(e, (int64_t)e->flight.n + 1);
}

static bool has_slot(const struct engine *e, int64_t at_ns)
{
    return is_below_limit(e) && slot_free_ns(e) <= at_ns;
}

static void plan_next(struct engine *e)
{
    e->due_ns = e->result->start_ns + arrivals_next_ns(&e->arrivals);
}

/* Saturating, since a grace period may be infinite. */
static int64_t add_ns(int64_t a, int64_t b) { return b > INT64_MAX - a ? INT64_MAX : a + b; }

static bool is_all_sent(const struct engine *e, int64_t at_ns)
{
    bool by_count = e->phase->n_requests > 0 && e->result->n_sent >= e->phase->n_requests;
    return by_count || at_ns >= e->send_until_ns || e->result->was_unreachable ||
           atomic_load(&e->control->stop);
}

static void send_one(struct engine *e, int64_t i, int64_t due_ns)
{
    struct record *r = e->hooks->make(e->hooks->self, i);
    r->planned = i;
    r->session = e->result->n_sent;
    r->due_ns = due_ns;
    flight_add(&e->flight, r);
    e->result->n_sent++;
    atomic_fetch_add(&e->control->n_sent, 1);
    e->transport->start(e->transport->self, r);
}

/* True when the rest of the program is behind with the answers. Blocking here instead would delay
 * the stamps of what is in flight. */
static bool is_held(struct engine *e, int64_t at_ns)
{
    bool has_room = !e->hooks->has_room || e->hooks->has_room(e->hooks->self);
    if (!has_room && e->held_since_ns == 0) {
        e->held_since_ns = at_ns;
        e->result->n_held++;
    } else if (has_room && e->held_since_ns > 0) {
        e->result->held_ns += at_ns - e->held_since_ns;
        e->held_since_ns = 0;
    }
    return !has_room;
}

/* Arrivals of the plan that fell into the phase and found no slot before its end. */
static void count_unsent(struct engine *e, int64_t at_ns)
{
    int64_t until_ns = at_ns < e->send_until_ns ? at_ns : e->send_until_ns;
    int64_t n_wanted = e->phase->n_requests;
    e->result->n_unsent += (int64_t)e->n_waiting;
    while (has_plan(e) && e->due_ns < until_ns &&
           (n_wanted == 0 || e->result->n_sent + e->result->n_unsent < n_wanted)) {
        e->result->n_unsent++;
        plan_next(e);
    }
}

static void close_sending(struct engine *e, int64_t at_ns)
{
    e->is_closing = true;
    e->result->sending_end_ns = at_ns;
    if (e->held_since_ns > 0)
        e->result->held_ns += at_ns - e->held_since_ns;
    e->cancel_at_ns =
        e->phase->duration_ns > 0 ? add_ns(e->send_until_ns, e->phase->grace_ns) : INT64_MAX;
    count_unsent(e, at_ns);
}

/* ---- requests that follow others ------------------------------------------------------------ */

static bool must_wait(const struct engine *e, int64_t i)
{
    return e->phase->follows && e->phase->follows[i] && !e->is_over[i - e->phase->n_places];
}

static void put_aside(struct engine *e, int64_t i)
{
    e->waiting = xrealloc(e->waiting, (e->n_waiting + 1) * sizeof *e->waiting);
    e->waiting[e->n_waiting++] = (struct waiting){i, e->due_ns};
}

/* The first of those put aside that need not wait any more. */
static bool take_waiting(struct engine *e, struct waiting *out)
{
    for (size_t k = 0; k < e->n_waiting; k++) {
        if (must_wait(e, e->waiting[k].i))
            continue;
        *out = e->waiting[k];
        memmove(&e->waiting[k], &e->waiting[k + 1], (--e->n_waiting - k) * sizeof *out);
        return true;
    }
    return false;
}

/* Nothing is left of the plan but what waits. */
static bool is_all_planned(const struct engine *e)
{
    return e->phase->n_requests > 0 && e->n_planned >= e->phase->n_requests;
}

/* The next request that may start now; those that may not are put aside. */
static bool take_next(struct engine *e, int64_t at_ns, struct waiting *out)
{
    if (take_waiting(e, out))
        return true;
    while (!is_all_planned(e) && (!has_plan(e) || e->due_ns <= at_ns)) {
        *out = (struct waiting){e->n_planned++, has_plan(e) ? e->due_ns : at_ns};
        bool waits = must_wait(e, out->i);
        if (waits)
            put_aside(e, out->i);
        if (has_plan(e))
            plan_next(e);
        if (!waits)
            return true;
    }
    return false;
}

/* Something may be ready to start, so that the question for room is worth it. */
static bool has_due(const struct engine *e, int64_t at_ns)
{
    return e->n_waiting > 0 || !has_plan(e) || e->due_ns <= at_ns;
}

/* ---- sending -------------------------------------------------------------------------------- */

/* Start all that is due and has a slot. */
static void send_due(struct engine *e)
{
    for (;;) {
        int64_t at_ns = now(e);
        if (is_all_sent(e, at_ns)) {
            close_sending(e, at_ns);
            return;
        }
        struct waiting next;
        if (!has_slot(e, at_ns) || !has_due(e, at_ns) || is_held(e, at_ns) ||
            !take_next(e, at_ns, &next))
            return;
        send_one(e, next.i, next.due_ns);
    }
}

static void cancel_all(struct engine *e)
{
    e->is_canceled = true;
    for (size_t i = 0; i < e->flight.n; i++)
        e->transport->cancel(e->transport->self, e->flight.items[i]);
}

static void take_ended(struct engine *e, struct record *r)
{
    flight_remove(&e->flight, r);
    if (e->is_over)
        e->is_over[r->planned] = true;
    bool is_refused = r->transfer == TRANSFER_NO_CONNECT || r->transfer == TRANSFER_NO_HOST;
    bool is_canceled = r->transfer == TRANSFER_CANCELED;
    e->n_refused = is_refused ? e->n_refused + 1 : 0;
    e->result->n_refused_last = e->n_refused;
    if (e->n_refused >= LOAD_MAX_REFUSED)
        e->result->was_unreachable = true;
    atomic_fetch_add(&e->control->n_ended, 1);
    if (is_canceled) {
        e->result->n_canceled++;
    } else {
        e->result->n_ended++;
        atomic_fetch_add(&e->control->n_done_phase, 1);
    }
    e->hooks->ended(e->hooks->self, r);
}

/* The next moment at which something must be done without an answer. */
static int64_t next_event_ns(const struct engine *e)
{
    if (e->is_closing)
        return e->is_canceled ? INT64_MAX : e->cancel_at_ns;
    int64_t until_ns = e->send_until_ns;
    if (is_all_planned(e))
        return until_ns; /* what waits is woken by an answer */
    if (e->held_since_ns > 0)
        return until_ns; /* a wake tells when there is room */
    if (!is_below_limit(e))
        return until_ns;
    int64_t next_ns = slot_free_ns(e);
    if (has_plan(e) && e->due_ns > next_ns)
        next_ns = e->due_ns;
    return next_ns < until_ns ? next_ns : until_ns;
}

void load_run(const struct load_phase *phase, const struct transport *transport,
              const struct load_hooks *hooks, struct load_control *control,
              struct load_result *result)
{
    *result = (struct load_result){0};
    struct engine e = {.phase = phase,
                       .transport = transport,
                       .hooks = hooks,
                       .control = control,
                       .result = result,
                       .arrivals = phase->arrivals};
    result->start_ns = now(&e);
    atomic_store(&control->n_done_phase, 0);
    atomic_store(&control->phase_start_ns, result->start_ns);
    e.send_until_ns =
        phase->duration_ns > 0 ? add_ns(result->start_ns, phase->duration_ns) : INT64_MAX;
    plan_next(&e);
    if (phase->follows)
        e.is_over = xcalloc((size_t)phase->n_requests, sizeof *e.is_over);

    for (;;) {
        if (!e.is_closing)
            send_due(&e);
        bool is_stopped = atomic_load(&control->stop);
        if (e.is_closing && e.flight.n == 0)
            break;
        if (e.is_closing && !e.is_canceled && (is_stopped || now(&e) >= e.cancel_at_ns))
            cancel_all(&e);
        struct record *r = transport->wait(transport->self, next_event_ns(&e));
        if (r)
            take_ended(&e, r);
    }
    result->end_ns = now(&e);
    result->was_stopped = atomic_load(&control->stop);
    free(e.flight.items);
    free(e.waiting);
    free(e.is_over);
}
