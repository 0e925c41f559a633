#include "client/records_queue.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

#define SMALL_PARTS ((size_t)512) /* header values of a record and what malloc adds */
#define ROW_SHARE 3               /* a row of an edit has the picture in base64 beside the body */

static void push(_Atomic(struct record *) *stack, struct record *r)
{
    r->next = atomic_load(stack);
    while (!atomic_compare_exchange_weak(stack, &r->next, r)) {}
}

/* The whole stack as a list, the oldest first. */
static struct record *take_all(_Atomic(struct record *) *stack)
{
    struct record *r = atomic_exchange(stack, NULL), *list = NULL;
    while (r) {
        struct record *next = r->next;
        r->next = list;
        list = r;
        r = next;
    }
    return list;
}

/* ---- life ----------------------------------------------------------------------------------- */

void records_queue_open(struct records_queue *q, size_t max_bytes, size_t min_n)
{
    *q = (struct records_queue){.max_bytes = max_bytes, .min_n = min_n};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->has_work, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void free_list(struct record *r)
{
    while (r) {
        struct record *next = r->next;
        record_free(r);
        r = next;
    }
}

void records_queue_close(struct records_queue *q)
{
    free_list(take_all(&q->ended));
    free_list(take_all(&q->spare));
    free_list(q->own_spare);
    q->own_spare = NULL;
    pthread_cond_destroy(&q->has_work);
    pthread_mutex_destroy(&q->lock);
}

/* ---- the load thread ------------------------------------------------------------------------ */

struct record *records_queue_new(struct records_queue *q)
{
    if (!q->own_spare)
        q->own_spare = take_all(&q->spare);
    struct record *r = q->own_spare;
    if (!r)
        return xcalloc(1, sizeof *r);
    q->own_spare = r->next;
    record_reset(r);
    return r;
}

static void wake(struct records_queue *q)
{
    if (!atomic_exchange(&q->is_sleeping, false))
        return;
    pthread_mutex_lock(&q->lock); /* it sleeps only behind this lock */
    pthread_cond_signal(&q->has_work);
    pthread_mutex_unlock(&q->lock);
}

void records_queue_push(struct records_queue *q, struct record *r)
{
    atomic_fetch_add(&q->bytes, records_queue_bytes(r));
    atomic_fetch_add(&q->n, 1);
    push(&q->ended, r);
    wake(q);
}

static bool has_room_now(struct records_queue *q)
{
    return atomic_load(&q->bytes) < q->max_bytes || atomic_load(&q->n) < q->min_n;
}

bool records_queue_has_room(struct records_queue *q)
{
    if (has_room_now(q))
        return true;
    atomic_store(&q->is_starved, true);
    return has_room_now(q); /* once more: the last release may not have seen that it is owed */
}

void records_queue_end(struct records_queue *q)
{
    atomic_store(&q->is_closing, true);
    wake(q);
}

/* ---- the records thread --------------------------------------------------------------------- */

/* False when the time is over. */
static bool sleep_until(struct records_queue *q, int64_t until_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                                   .tv_nsec = (long)(until_ns % NS_PER_S)};
    return pthread_cond_timedwait(&q->has_work, &q->lock, &until) != ETIMEDOUT;
}

struct record *records_queue_take(struct records_queue *q, int64_t until_ns)
{
    bool has_time = true;
    if (!atomic_load(&q->ended)) {
        pthread_mutex_lock(&q->lock);
        do {
            atomic_store(&q->is_sleeping, true);
            if (!atomic_load(&q->ended) && !atomic_load(&q->is_closing))
                has_time = sleep_until(q, until_ns);
        } while (has_time && !atomic_load(&q->ended) && !atomic_load(&q->is_closing));
        atomic_store(&q->is_sleeping, false);
        pthread_mutex_unlock(&q->lock);
    }
    return take_all(&q->ended);
}

size_t records_queue_bytes(const struct record *r)
{
    size_t row = r->owned_row ? ROW_SHARE * r->payload_bytes : 0;
    return sizeof *r + r->body.capacity + SMALL_PARTS + row;
}

bool records_queue_release(struct records_queue *q, size_t n, size_t bytes)
{
    atomic_fetch_sub(&q->n, n);
    atomic_fetch_sub(&q->bytes, bytes);
    return has_room_now(q) && atomic_exchange(&q->is_starved, false);
}

void records_queue_give_back(struct records_queue *q, struct record *r) { push(&q->spare, r); }
