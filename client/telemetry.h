/* What others tell while the load runs: /metrics of servers, DCGM exporters, NVML, and /proc of
 * this process. One thread looks at all of them every --telemetry-interval seconds; the threads
 * that send and stamp never wait for it, but for one look between two phases, when nothing is in
 * flight. */
#pragma once

#include <stdatomic.h>

#include "client/gpu.h"
#include "client/options.h"
#include "client/timeline.h"

enum telemetry_kind { TELEMETRY_SERVER, TELEMETRY_DCGM, TELEMETRY_NVML };

struct telemetry_source {
    enum telemetry_kind kind;
    char *address; /* owned: what is asked; may hold a password */
    char *url; /* owned: the same as it may be shown; "pynvml://localhost" for NVML, as AIPerf calls
                  it */
    bool is_asked_for;      /* by an option: its absence is worth a warning */
    bool is_under_load;     /* a server of --url */
    struct timeline values; /* of a server */
    struct gpus gpus;       /* of the others */

    /* looks that succeeded, and those of them that showed something new */
    int64_t n_looks, n_updates;
    int64_t first_ns, last_ns, first_update_ns, last_update_ns;
    int64_t latency_ns; /* sum */
    size_t n_bad_lines; /* of the last text */

    /* the thread's */
    struct nvml *nvml;
    uint64_t hash; /* of the last text */
    int n_failed;  /* looks in a row */
    int64_t retry_at_ns;
    bool is_given_up, was_warned, was_lossy;
};

struct telemetry {
    struct telemetry_source *sources; /* owned */
    size_t n_sources;
    struct timeline self; /* CPU seconds by thread and memory of this process, see self_load.h */
    int64_t start_ns;     /* of the first look: the idle time before the load begins there */

    /* inside */
    struct telemetry_thread *thread;
};

/* Name the sources. By default that is /metrics of every server and, when a server is on this
 * machine, the DCGM exporters on ports 9400 and 9401, else NVML. */
struct telemetry *telemetry_open(const struct options *o);
/* Start looking. */
bool telemetry_start(struct telemetry *t, struct error *err);
/* Look at everything now and wait for that: at the edges of phases. */
void telemetry_edge(struct telemetry *t);
/* The edge before the first phase; with --idle-power-duration and a GPU to ask, it goes on looking
 * for that long first. stop ends it early. */
void telemetry_begin(struct telemetry *t, const atomic_bool *stop);
/* End the thread; afterwards the timelines may be read. NULL is fine, and calling it twice. */
void telemetry_stop(struct telemetry *t);
void telemetry_close(struct telemetry *t); /* NULL is fine */

bool telemetry_has_gpus(const struct telemetry *t);

/* What a live display shows: the newest values, NaN when nobody tells. Any thread. */
struct telemetry_now {
    double queue_depth, in_flight;       /* of servers that name such gauges, summed */
    double power_w, utilization_percent; /* of all GPUs: sum, mean */
    double cpu_share;                    /* of this process: 1 is a whole core */
};
struct telemetry_now telemetry_now(struct telemetry *t);
