#include "hub/parallel.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define DEFAULT_PARALLEL 4
#define TICK_NS (50 * NS_PER_MS)

struct parallel {
    pthread_mutex_t mutex;
    pthread_cond_t ended; /* a worker has */
    size_t next_item, n_running;
    struct error error;
    /* constant */
    struct session *session;
    size_t n_items;
    parallel_fn work;
    void *self;
};

struct worker {
    pthread_t thread;
    struct parallel *shared;
    struct transfer *transfer;
};

/* The next item, or n_items when there is none left to begin. */
static size_t take_item(struct parallel *p)
{
    pthread_mutex_lock(&p->mutex);
    size_t item = p->n_items;
    if (p->next_item < p->n_items && !atomic_load(&p->session->stop))
        item = p->next_item++;
    pthread_mutex_unlock(&p->mutex);
    return item;
}

static void keep_error(struct parallel *p, const struct error *err)
{
    pthread_mutex_lock(&p->mutex);
    /* those that were stopped by the first failure have nothing to say */
    if (p->error.code == ERR_NONE)
        p->error = *err;
    pthread_mutex_unlock(&p->mutex);
    atomic_store(&p->session->stop, true);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct parallel *p = w->shared;
    pthread_setname_np(pthread_self(), "download");
    for (size_t item = take_item(p); item < p->n_items; item = take_item(p)) {
        struct error err = {0};
        if (!p->work(p->self, p->session, w->transfer, item, &err))
            keep_error(p, &err);
    }
    pthread_mutex_lock(&p->mutex);
    p->n_running--;
    pthread_cond_signal(&p->ended);
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

static bool open_transfers(struct session *s, size_t n, struct error *err)
{
    struct transfer_options options = {.endpoint = s->environment.endpoint,
                                       .token = s->environment.token,
                                       .stall_s = s->environment.stall_s,
                                       .stop = &s->stop};
    while (s->n_transfers < n) {
        if (!transfer_open(&s->transfers[s->n_transfers], &options, err))
            return false;
        s->n_transfers++;
    }
    return true;
}

static size_t n_workers(const struct session *s, size_t n_items)
{
    int64_t wanted = s->options->n_parallel > 0 ? s->options->n_parallel : DEFAULT_PARALLEL;
    size_t n = wanted < SESSION_MAX_PARALLEL ? (size_t)wanted : SESSION_MAX_PARALLEL;
    return n < n_items ? n : n_items;
}

/* Show progress until all workers have ended. */
static void attend(struct parallel *p)
{
    struct session *s = p->session;
    pthread_mutex_lock(&p->mutex);
    while (p->n_running > 0) {
        int64_t due = clock_now_ns() + TICK_NS;
        struct timespec until = {.tv_sec = (time_t)(due / NS_PER_S),
                                 .tv_nsec = (long)(due % NS_PER_S)};
        pthread_cond_timedwait(&p->ended, &p->mutex, &until);
        if (s->options->cancel && atomic_load(s->options->cancel))
            atomic_store(&s->stop, true);
        pthread_mutex_unlock(&p->mutex);
        meter_tick(&s->meter, clock_now_ns());
        pthread_mutex_lock(&p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
}

bool parallel_run(struct session *s, size_t n_items, parallel_fn work, void *self,
                  struct error *err)
{
    struct parallel p = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                         .session = s,
                         .n_items = n_items,
                         .work = work,
                         .self = self};
    struct worker workers[SESSION_MAX_PARALLEL];
    size_t n = n_workers(s, n_items), n_started = 0;
    if (!open_transfers(s, n, err))
        return false;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&p.ended, &attributes);
    pthread_condattr_destroy(&attributes);

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the caller's business */
    p.n_running = n;
    for (; n_started < n; n_started++) {
        workers[n_started] = (struct worker){.shared = &p, .transfer = s->transfers[n_started]};
        if (pthread_create(&workers[n_started].thread, NULL, worker_main, &workers[n_started]) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (n_started < n) {
        struct error none = {0};
        fail(&none, ERR_MEMORY, "can't start a thread");
        keep_error(&p, &none);
        pthread_mutex_lock(&p.mutex);
        p.n_running -= n - n_started;
        pthread_mutex_unlock(&p.mutex);
    }
    attend(&p);
    for (size_t i = 0; i < n_started; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_cond_destroy(&p.ended);
    pthread_mutex_destroy(&p.mutex);
    if (p.error.code == ERR_NONE && p.next_item < n_items)
        fail(&p.error, ERR_CANCELED, "interrupted");
    if (p.error.code == ERR_NONE)
        return true;
    return fail(err, p.error.code, "%s", p.error.text);
}
