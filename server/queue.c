/* A singly linked list under one mutex. Workers sleep on the queue's condition, each owner on
 * the condition of its own job, so that finishing a job wakes exactly one thread. */
#include "server/queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"

enum { PEEK_INTERVAL_MS = 100 };

struct queue {
    pthread_mutex_t mutex;
    /* guarded by mutex */
    pthread_cond_t work; /* a job came, or the queue was shut */
    struct job *first, **end;
    int capacity, n_workers;
    struct queue_depth depth;
    bool is_shut;
};

struct queue *queue_open(int capacity, int n_workers)
{
    struct queue *q = xcalloc(1, sizeof *q);
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->work, NULL);
    q->end = &q->first;
    q->capacity = capacity;
    q->n_workers = n_workers;
    return q;
}

void queue_close(struct queue *q)
{
    if (!q)
        return;
    assert(!q->first && !q->depth.running);
    pthread_cond_destroy(&q->work);
    pthread_mutex_destroy(&q->mutex);
    free(q);
}

static void init_done(struct job *job)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&job->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* Idle workers take the first jobs at once, so that those do not count as waiting. */
static bool is_full(const struct queue *q)
{
    return q->depth.waiting + q->depth.running >= q->capacity + q->n_workers;
}

bool queue_submit(struct queue *q, struct job *job, struct error *err)
{
    bool ok = true;
    pthread_mutex_lock(&q->mutex);
    if (q->is_shut) {
        ok = fail(err, ERR_CANCELED, "the server is shutting down");
    } else if (is_full(q)) {
        ok = fail(err, ERR_BUSY, "%d requests are waiting already, which is the limit: try later",
                  q->depth.waiting);
    } else {
        job->submitted_ns = clock_now_ns();
        job->state = JOB_WAITING;
        job->is_canceled = false;
        job->next = NULL;
        init_done(job);
        *q->end = job;
        q->end = &job->next;
        q->depth.waiting++;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->mutex);
    return ok;
}

static void unlink_job(struct queue *q, struct job *job)
{
    struct job **link = &q->first;
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    if (q->end == &job->next)
        q->end = link;
    q->depth.waiting--;
}

static void cancel(struct queue *q, struct job *job)
{
    job->is_canceled = true;
    if (job->state == JOB_RUNNING) {
        q->depth.canceled++;
    } else {
        unlink_job(q, job);
        job->state = JOB_DONE;
        job->finished_ns = clock_now_ns();
        fail(&job->error, ERR_CANCELED, "the client went away while its request was waiting");
    }
}

/* Sleep until the job is done or the next look at the client's socket is due. */
static void sleep_a_while(struct queue *q, struct job *job)
{
    int64_t due = clock_now_ns() + PEEK_INTERVAL_MS * NS_PER_MS;
    struct timespec t = {.tv_sec = (time_t)(due / NS_PER_S), .tv_nsec = (long)(due % NS_PER_S)};
    pthread_cond_timedwait(&job->done, &q->mutex, &t);
}

bool queue_wait(struct queue *q, struct job *job, bool (*is_gone)(void *ctx), void *ctx,
                struct error *err)
{
    pthread_mutex_lock(&q->mutex);
    while (job->state != JOB_DONE) {
        sleep_a_while(q, job);
        if (job->state == JOB_DONE || job->is_canceled || !is_gone)
            continue;
        pthread_mutex_unlock(&q->mutex);
        bool gone = is_gone(ctx);
        pthread_mutex_lock(&q->mutex);
        if (gone && job->state != JOB_DONE)
            cancel(q, job);
    }
    pthread_mutex_unlock(&q->mutex);
    pthread_cond_destroy(&job->done);
    if (job->error.code == ERR_NONE)
        return true;
    if (err)
        *err = job->error;
    return false;
}

struct job *queue_take(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    while (!q->first && !q->is_shut)
        pthread_cond_wait(&q->work, &q->mutex);
    struct job *job = q->first;
    if (job) {
        unlink_job(q, job);
        q->depth.running++;
        job->state = JOB_RUNNING;
        job->started_ns = clock_now_ns();
    }
    pthread_mutex_unlock(&q->mutex);
    return job;
}

bool queue_is_canceled(struct queue *q, const struct job *job)
{
    pthread_mutex_lock(&q->mutex);
    bool canceled = job->is_canceled;
    pthread_mutex_unlock(&q->mutex);
    return canceled;
}

void queue_finish(struct queue *q, struct job *job)
{
    pthread_mutex_lock(&q->mutex);
    job->finished_ns = clock_now_ns();
    job->state = JOB_DONE;
    q->depth.running--;
    q->depth.canceled -= job->is_canceled;
    pthread_cond_signal(&job->done);
    pthread_mutex_unlock(&q->mutex);
}

int queue_leave(struct queue *q, const struct error *why)
{
    int n = 0;
    pthread_mutex_lock(&q->mutex);
    q->n_workers--;
    q->is_shut = true;
    for (; q->n_workers == 0 && q->first; n++) {
        struct job *job = q->first;
        unlink_job(q, job);
        job->error = *why;
        job->finished_ns = clock_now_ns();
        job->state = JOB_DONE;
        pthread_cond_signal(&job->done);
    }
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->mutex);
    return n;
}

void queue_shut(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    q->is_shut = true;
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->mutex);
}

struct queue_depth queue_depth(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    struct queue_depth depth = q->depth;
    pthread_mutex_unlock(&q->mutex);
    return depth;
}
