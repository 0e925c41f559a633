#include "client/judges.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/buf.h"

struct judges {
    size_t n_threads, n_started;
    pthread_t *threads;   /* owned, n_threads */
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t has_work, is_done;
    void (*work)(void *self, size_t i);
    void *self;
    size_t n_items, n_taken, n_done;
    bool is_closing;
};

struct judges *judges_open(size_t n)
{
    struct judges *j = xcalloc(1, sizeof *j);
    j->n_threads = n;
    j->threads = xcalloc(n, sizeof *j->threads);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->has_work, NULL);
    pthread_cond_init(&j->is_done, NULL);
    return j;
}

/* Work until the list is empty; with the lock held, which is given up meanwhile. */
static void work_on(struct judges *j)
{
    while (j->n_taken < j->n_items) {
        size_t i = j->n_taken++;
        pthread_mutex_unlock(&j->lock);
        j->work(j->self, i);
        pthread_mutex_lock(&j->lock);
        if (++j->n_done == j->n_items)
            pthread_cond_signal(&j->is_done);
    }
}

static void *judge_main(void *self)
{
    struct judges *j = self;
    pthread_setname_np(pthread_self(), "judge");
    pthread_mutex_lock(&j->lock);
    while (!j->is_closing) {
        work_on(j);
        if (!j->is_closing)
            pthread_cond_wait(&j->has_work, &j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

void judges_run(struct judges *j, size_t n, void (*work)(void *self, size_t i), void *self)
{
    /* A thread that can't be started is one less. It has the niceness of the caller. */
    while (n > 1 && j->n_started < j->n_threads &&
           pthread_create(&j->threads[j->n_started], NULL, judge_main, j) == 0)
        j->n_started++;
    pthread_mutex_lock(&j->lock);
    j->work = work;
    j->self = self;
    j->n_items = n;
    j->n_taken = j->n_done = 0;
    if (n > 1)
        pthread_cond_broadcast(&j->has_work);
    work_on(j);
    while (j->n_done < j->n_items)
        pthread_cond_wait(&j->is_done, &j->lock);
    pthread_mutex_unlock(&j->lock);
}

void judges_close(struct judges *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->is_closing = true;
    pthread_cond_broadcast(&j->has_work);
    pthread_mutex_unlock(&j->lock);
    for (size_t i = 0; i < j->n_started; i++)
        pthread_join(j->threads[i], NULL);
    pthread_cond_destroy(&j->has_work);
    pthread_cond_destroy(&j->is_done);
    pthread_mutex_destroy(&j->lock);
    free(j->threads);
    free(j);
}
