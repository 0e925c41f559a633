/* One lock guards all queues: what is to be started and canceled at each worker, and what has
 * ended. A worker sleeps in its http and is woken through it; the load thread sleeps on a
 * condition, with the timer slack of its thread turned off so that due times are met.
 *
 * A record belongs to its worker from the start until it stands in `ended`; record.worker says so
 * under the lock. Hence a cancel either finds the record ended, or reaches the worker before the
 * record can leave it. */
#include "client/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock.h"

struct list { /* of records, by record.next */
    struct record *first, *last;
};

struct worker {
    struct workers *all;
    struct http *http;
    struct transport transport;
    pthread_t thread;
    bool is_started;

    /* under the lock */
    struct list to_start;
    struct record **to_cancel; /* owned */
    size_t n_cancel;
    size_t n_in_flight;
};

struct workers {
    size_t n;
    struct worker *items; /* owned */

    pthread_mutex_t lock;
    pthread_cond_t has_news;
    struct list ended;
    bool is_woken, is_closing;
    bool has_precise_timer; /* the load thread's own */
};

static void list_push(struct list *l, struct record *r)
{
    r->next = NULL;
    *(l->first ? &l->last->next : &l->first) = r;
    l->last = r;
}

static struct record *list_pop(struct list *l)
{
    struct record *r = l->first;
    if (r)
        l->first = r->next;
    return r;
}

/* ---- a worker ------------------------------------------------------------------------------- */

/* Start and cancel what has come; false at the end. */
static bool take_orders(struct worker *w)
{
    struct transport *t = &w->transport;
    pthread_mutex_lock(&w->all->lock);
    struct list to_start = w->to_start;
    struct record **to_cancel = w->to_cancel;
    size_t n_cancel = w->n_cancel;
    bool is_closing = w->all->is_closing;
    w->to_start = (struct list){0};
    w->to_cancel = NULL;
    w->n_cancel = 0;
    pthread_mutex_unlock(&w->all->lock);

    struct record *r;
    while ((r = list_pop(&to_start))) {
        r->next = NULL;
        t->start(t->self, r);
    }
    for (size_t i = 0; i < n_cancel; i++)
        t->cancel(t->self, to_cancel[i]);
    free(to_cancel);
    return !is_closing;
}

static void hand_back(struct worker *w, struct record *r)
{
    pthread_mutex_lock(&w->all->lock);
    for (size_t i = 0; i < w->n_cancel; i++) { /* it ended before the order was read */
        if (w->to_cancel[i] == r)
            w->to_cancel[i] = w->to_cancel[--w->n_cancel];
    }
    r->worker = RECORD_NO_WORKER;
    w->n_in_flight--;
    list_push(&w->all->ended, r);
    pthread_cond_signal(&w->all->has_news);
    pthread_mutex_unlock(&w->all->lock);
}

static void *worker_main(void *self)
{
    struct worker *w = self;
    pthread_setname_np(pthread_self(), "worker");
    while (take_orders(w)) {
        struct record *r = w->transport.wait(w->transport.self, INT64_MAX);
        if (r)
            hand_back(w, r);
    }
    return NULL;
}

/* ---- the transport, on the load thread ------------------------------------------------------ */

static int64_t now_ns(void *self)
{
    (void)self;
    return clock_now_ns();
}

static void start(void *self, struct record *r)
{
    struct workers *all = self;
    pthread_mutex_lock(&all->lock);
    size_t best = 0;
    for (size_t i = 1; i < all->n && r->user == 0; i++) {
        if (all->items[i].n_in_flight < all->items[best].n_in_flight)
            best = i;
    }
    if (r->user > 0)
        best = (size_t)r->user % all->n; /* which has that user's connection */
    struct worker *w = &all->items[best];
    r->worker = (int)best;
    w->n_in_flight++;
    list_push(&w->to_start, r);
    pthread_mutex_unlock(&all->lock);
    w->transport.wake(w->transport.self);
}

static struct record *wait(void *self, int64_t until_ns)
{
    struct workers *all = self;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                                   .tv_nsec = (long)(until_ns % NS_PER_S)};
    if (!all->has_precise_timer) {
        prctl(PR_SET_TIMERSLACK, 1UL);
        all->has_precise_timer = true;
    }
    pthread_mutex_lock(&all->lock);
    int code = 0;
    while (!all->ended.first && !all->is_woken && code != ETIMEDOUT) {
        code = until_ns == INT64_MAX ? pthread_cond_wait(&all->has_news, &all->lock)
                                     : pthread_cond_timedwait(&all->has_news, &all->lock, &until);
    }
    struct record *r = list_pop(&all->ended);
    if (r)
        r->next = NULL;
    else
        all->is_woken = false;
    pthread_mutex_unlock(&all->lock);
    return r;
}

static void cancel(void *self, struct record *r)
{
    struct workers *all = self;
    pthread_mutex_lock(&all->lock);
    struct worker *w = r->worker == RECORD_NO_WORKER ? NULL : &all->items[r->worker];
    if (w) {
        w->to_cancel = xrealloc(w->to_cancel, (w->n_cancel + 1) * sizeof(struct record *));
        w->to_cancel[w->n_cancel++] = r;
    }
    pthread_mutex_unlock(&all->lock);
    if (w)
        w->transport.wake(w->transport.self);
}

static void wake(void *self)
{
    struct workers *all = self;
    pthread_mutex_lock(&all->lock);
    all->is_woken = true;
    pthread_cond_signal(&all->has_news);
    pthread_mutex_unlock(&all->lock);
}

/* ---- life ----------------------------------------------------------------------------------- */

bool workers_open(struct workers **out, size_t n, const struct request_target *target,
                  const struct http_options *options, struct error *err)
{
    struct workers *all = xcalloc(1, sizeof *all);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->has_news, &attributes);
    pthread_condattr_destroy(&attributes);
    all->items = xcalloc(n, sizeof *all->items);
    bool ok = true;
    for (; ok && all->n < n; all->n += ok) {
        struct worker *w = &all->items[all->n];
        w->all = all;
        ok = http_open(&w->http, target, options, err);
        if (!ok)
            break;
        w->transport = http_transport(w->http);
        int code = n > 1 ? pthread_create(&w->thread, NULL, worker_main, w) : 0;
        w->is_started = n > 1 && code == 0;
        if (code != 0) {
            http_close(w->http);
            ok = fail(err, ERR_INTERNAL, "can't start a thread: %s", strerror(code));
        }
    }
    if (!ok) {
        workers_close(all);
        return false;
    }
    *out = all;
    return true;
}

void workers_close(struct workers *all)
{
    if (!all)
        return;
    pthread_mutex_lock(&all->lock);
    all->is_closing = true;
    pthread_mutex_unlock(&all->lock);
    for (size_t i = 0; i < all->n; i++) {
        struct worker *w = &all->items[i];
        if (w->is_started) {
            w->transport.wake(w->transport.self);
            pthread_join(w->thread, NULL);
        }
        free(w->to_cancel);
        http_close(w->http);
    }
    pthread_cond_destroy(&all->has_news);
    pthread_mutex_destroy(&all->lock);
    free(all->items);
    free(all);
}

struct transport workers_transport(struct workers *all)
{
    if (all->n == 1)
        return all->items[0].transport;
    return (struct transport){.self = all,
                              .now_ns = now_ns,
                              .start = start,
                              .wait = wait,
                              .cancel = cancel,
                              .wake = wake};
}
