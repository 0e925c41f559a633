#include "client/self_load.h"

#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/kept.h"
#include "client/metrics.h"

/* ---- looking -------------------------------------------------------------------------------- */

/* The first line of a file of /proc, without its end; "" when there is none. */
static void read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    line[0] = '\0';
    if (file && !fgets(line, (int)size, file))
        line[0] = '\0';
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = '\0';
}

/* schedstat begins with the nanoseconds that the thread ran. */
static void sample_thread(struct timeline *t, const char *id)
{
    char path[320], line[256], name[32], label[80];
    snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", id);
    read_line(path, line, sizeof line);
    char *end;
    int64_t run_ns = strtoll(line, &end, 10);
    if (end == line)
        return;
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", id);
    read_line(path, name, sizeof name);
    snprintf(label, sizeof label, "%s-%.20s", name, id);
    timeline_put_one(t, SELF_THREAD, "thread", label, clock_seconds(run_ns));
}

void self_load_sample(struct timeline *t)
{
    timeline_begin(t, clock_now_ns());
    timeline_put_one(t, SELF_CPU, NULL, NULL,
                     clock_seconds(clock_read_ns(CLOCK_PROCESS_CPUTIME_ID)));
    char line[256], *end;
    read_line("/proc/self/statm", line, sizeof line); /* size, then resident set, in pages */
    const char *second = line + strcspn(line, " ");
    double resident = (double)strtoll(second, &end, 10);
    if (end != second)
        timeline_put_one(t, SELF_MEMORY, NULL, NULL, resident * (double)sysconf(_SC_PAGESIZE));
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        if (entry->d_name[0] != '.')
            sample_thread(t, entry->d_name);
    }
    if (tasks)
        closedir(tasks);
}

/* ---- judging -------------------------------------------------------------------------------- */

static double count_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    return (double)sysconf(_SC_NPROCESSORS_ONLN);
}

static double share_of(const struct timeline *t, const struct timeline_series *s, int64_t from_ns,
                       int64_t to_ns)
{
    double rise, seconds;
    return s && timeline_rise(t, s, from_ns, to_ns, &rise, &seconds) ? rise / seconds : NAN;
}

static void find_busiest(struct self_load *out, const struct timeline *t, int64_t from_ns,
                         int64_t to_ns)
{
    for (size_t i = 0; i < t->n_series; i++) {
        const struct timeline_series *s = &t->series[i];
        if (strcmp(s->name, SELF_THREAD) != 0)
            continue;
        double share = share_of(t, s, from_ns, to_ns);
        if (isnan(share) || share <= out->busiest_share)
            continue;
        const char *label = timeline_label(s, "thread");
        const char *end = strrchr(label, '-');
        out->busiest_share = share;
        snprintf(out->busiest, sizeof out->busiest, "%.*s", end ? (int)(end - label) : 30, label);
    }
}

static double start_lag_p99(const struct report_phase *phase)
{
    double *lags = xcalloc(phase->n_flights + 1, sizeof *lags);
    size_t n = 0;
    for (size_t i = 0; i < phase->n_flights; i++) {
        const struct record *r = phase->flights[i];
        if (r->start_ns > 0 && r->due_ns > 0)
            lags[n++] = clock_seconds(r->start_ns - r->due_ns) * 1000;
        kept_pass(phase->kept, i);
    }
    double p99 = stats_compute(lags, n).p[P99];
    free(lags);
    return p99;
}

static void judge(struct self_load *out, double window_s)
{
    bool is_long = window_s >= SELF_MIN_WINDOW_S;
    out->is_bottleneck = true;
    if (is_long && out->busiest_share >= SELF_MAX_SHARE)
        snprintf(out->why, sizeof out->why, "its thread %s used %.0f %% of a core", out->busiest,
                 out->busiest_share * 100);
    else if (is_long && out->cpu_share >= SELF_MAX_SHARE * out->n_cores)
        snprintf(out->why, sizeof out->why, "it used %.0f %% of the %g cores it may run on",
                 out->cpu_share / out->n_cores * 100, out->n_cores);
    else if (out->start_lag_p99_ms > SELF_MAX_LAG_MS)
        snprintf(out->why, sizeof out->why, "1 %% of the requests started %.1f ms late or later",
                 out->start_lag_p99_ms);
    else if (out->held_s > 0)
        snprintf(out->why, sizeof out->why,
                 "sending was held for %.2f s while answers waited to be judged", out->held_s);
    else
        out->is_bottleneck = false;
}

void self_load_fill(struct self_load *out, struct timeline *t, const struct report_phase *phase,
                    const struct options *o)
{
    int64_t from_ns = phase->load.start_ns, to_ns = phase->load.end_ns;
    struct timeline_level memory;
    *out = (struct self_load){.cpu_share = NAN, .busiest_share = -1, .memory_mib = NAN};
    out->cpu_share = share_of(t, timeline_find(t, SELF_CPU, NULL, NULL), from_ns, to_ns);
    find_busiest(out, t, from_ns, to_ns);
    if (out->busiest_share < 0)
        out->busiest_share = NAN;
    const struct timeline_series *s = timeline_find(t, SELF_MEMORY, NULL, NULL);
    if (s && timeline_level(t, s, from_ns, to_ns, &memory))
        out->memory_mib = memory.stats.max / 0x1p20;
    out->n_cores = count_cores();
    out->held_s = clock_seconds(phase->load.held_ns);
    /* a request whose slot or user is busy waits for the server, not for us */
    bool waits_by_design = o->user_rate_hz > 0 ||
                           (o->concurrency > 0 && (o->request_rate_hz > 0 || o->is_fixed_schedule));
    out->start_lag_p99_ms = waits_by_design ? NAN : start_lag_p99(phase);
    judge(out, clock_seconds(to_ns - from_ns));
}
