/* The bounded line of jobs between connection threads and the workers.
 *
 * A struct job lives on the stack of the connection thread that submits it. Between queue_submit()
 * and the return of queue_wait() the queue and the worker may touch it; queue_wait() returns only
 * when nobody else does. One mutex guards the queue and the marked fields of its jobs. */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "flux/flux.h"

enum job_state { JOB_NEW, JOB_WAITING, JOB_RUNNING, JOB_DONE };

struct job {
    const struct flux_spec *spec; /* the submitting thread's */
    struct flux_result result;    /* written by the worker; freed by the submitting thread */
    struct error error;           /* ERR_NONE: result is there */
    int64_t submitted_ns, started_ns, finished_ns; /* monotonic; 0: has not happened */

    /* guarded by the queue's mutex */
    enum job_state state;
    pthread_cond_t done; /* lives from queue_submit to the end of queue_wait */
    bool is_canceled;
    struct job *next;
};

struct queue;

/* capacity: jobs that may wait, running ones not counted; 0 means that a job is accepted only when
 * a worker is idle. n_workers: threads that will take. */
struct queue *queue_open(int capacity, int n_workers);
void queue_close(struct queue *q); /* frees; no thread may use it any more. NULL is fine */

/* Append a job; ERR_BUSY when the queue is full, ERR_CANCELED when it was shut. */
bool queue_submit(struct queue *q, struct job *job, struct error *err);

/* Wait until the job is done. Every 100 ms is_gone(ctx) is asked whether the client has vanished; a
 * waiting job then leaves the queue at once, a running one is marked and waited for. Returns false
 * with the job's error. */
bool queue_wait(struct queue *q, struct job *job, bool (*is_gone)(void *ctx), void *ctx,
                struct error *err);

/* Worker: take the oldest job, waiting for one; NULL once the queue is shut and empty. */
struct job *queue_take(struct queue *q);
/* Worker: true when nobody wants the running job any more. */
bool queue_is_canceled(struct queue *q, const struct job *job);
/* Worker: hand the job back to its owner; it may be gone when this returns. */
void queue_finish(struct queue *q, struct job *job);

/* Worker: it takes no more, because of why. New jobs are refused from now on; when no worker is
 * left what waits ends with why, too. Returns how many jobs that were. */
int queue_leave(struct queue *q, const struct error *why);

/* Refuse new jobs from now on; what waits is still handed out. */
void queue_shut(struct queue *q);

/* Jobs at this moment: waiting, running, and how many of the running ones nobody wants any more. */
struct queue_depth {
    int waiting, running, canceled;
};
struct queue_depth queue_depth(struct queue *q);
