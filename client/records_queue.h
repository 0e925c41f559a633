/* The hand-over of records that have ended from the load thread to the records thread, and of used
 * ones back. Neither waits for the other: both ways are stacks with an atomic head, taken whole. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/record.h"

struct records_queue {
    _Atomic(struct record *) ended; /* pushed, not taken; the newest first */
    _Atomic(struct record *) spare; /* used and given back */
    struct record *own_spare;       /* likewise; the load thread's */
    atomic_size_t n, bytes;         /* pushed and not released */
    size_t max_bytes, min_n;        /* there is room below these */
    atomic_bool is_starved;         /* has_room said no */
    atomic_bool is_sleeping;        /* the records thread waits, or is about to */
    atomic_bool is_closing;
    pthread_mutex_t lock; /* for sleeping alone */
    pthread_cond_t has_work;
};

void records_queue_open(struct records_queue *q, size_t max_bytes, size_t min_n);
/* Both threads are done; frees what is left. */
void records_queue_close(struct records_queue *q);

/* ---- the load thread ------------------------------------------------------------------------ */

/* A record without content, used before if there is one. The caller's. */
struct record *records_queue_new(struct records_queue *q);
void records_queue_push(struct records_queue *q, struct record *r);
bool records_queue_has_room(struct records_queue *q);
/* Nothing more will be pushed. Any thread, once that is so. */
void records_queue_end(struct records_queue *q);

/* ---- the records thread --------------------------------------------------------------------- */

/* All that has ended, as a list, oldest first. Waits for some until until_ns; NULL then, and at the
 * end (is_closing). */
struct record *records_queue_take(struct records_queue *q, int64_t until_ns);
/* What a record counts towards max_bytes. */
size_t records_queue_bytes(const struct record *r);
/* So much of what was taken is done with. True: there is room again, and somebody waits for it. */
bool records_queue_release(struct records_queue *q, size_t n, size_t bytes);
/* Hand back a record whose verdict was freed (record_free_verdict). */
void records_queue_give_back(struct records_queue *q, struct record *r);
