/* Time in nanoseconds. Intervals are measured on the monotonic clock, dates on the wall clock. */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

static inline int64_t clock_read_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Monotonic now; never goes back. */
static inline int64_t clock_now_ns(void) { return clock_read_ns(CLOCK_MONOTONIC); }

/* Unix time. */
static inline int64_t clock_unix_ns(void) { return clock_read_ns(CLOCK_REALTIME); }

/* Sleep until the monotonic clock shows due_ns; returns at once when that has passed. */
static inline void clock_sleep_until_ns(int64_t due_ns)
{
    struct timespec t = {.tv_sec = (time_t)(due_ns / NS_PER_S),
                         .tv_nsec = (long)(due_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

static inline double clock_seconds(int64_t ns) { return (double)ns / (double)NS_PER_S; }
