/* Threads of a run:
 *
 *   main      waits for signals, draws the progress line, writes the reports in the end
 *   load      sends requests and stamps their answers (load.c over http.c)
 *   records   judges answers and writes lines (records.c)
 *   telemetry looks at servers, GPUs and this process (telemetry.c)
 *
 * SIGINT and SIGTERM are blocked everywhere; main takes them with sigtimedwait. The first one ends
 * the run early with all its artifacts, the second one at once. The load thread raises SIGUSR1
 * when it is done, so that main need not poll. */
#include "client/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/artifacts.h"
#include "client/calibrate.h"
#include "client/data_set.h"
#include "client/display.h"
#include "client/file_limit.h"
#include "client/insight.h"
#include "client/profile_end.h"
#include "client/records.h"
#include "client/sampler.h"
#include "client/wait.h"
#include "client/workers.h"

#define MAX_PHASES 2
#define POOL_CONNECTIONS 2500 /* as AIPerf's */
#define DRAW_EVERY_NS (200 * NS_PER_MS)
#define LISTS_PASS 65536 /* requests between two trims of the lists that they are read from */
#define SETTLE_NS (10 * NS_PER_MS) /* poll for the last records */

struct run {
    struct options options;
    struct data_set data;
    struct artifacts artifacts;
    struct workers *workers;
    struct calibration calibration;
    struct transport transport;
    struct records *records;
    struct report report;
    struct telemetry *telemetry;
    struct insight insight;
    struct load_phase phases[MAX_PHASES];

    /* the load thread's */
    int phase;     /* index of the current one */
    size_t n_made; /* requests of all phases: prompts go on where the warm-up left off */
    struct prompts_reader reader;
    struct sampler sampler;
    struct random cancellation; /* which ones of the measurement are hung up on purpose */
    struct error error;

    /* shared */
    struct load_control control;
    atomic_int shown_phase; /* for the progress line; -1 while waiting for the server */
    struct live live;       /* for the display */
    atomic_bool is_loaded;  /* the load thread is done */
    pthread_t main_thread;

    struct profile_outcome *outcome; /* the caller's; NULL: this is the only run */
};

static int64_t to_ns(double seconds)
{
    return seconds >= (double)INT64_MAX / (double)NS_PER_S ? INT64_MAX
                                                           : (int64_t)(seconds * (double)NS_PER_S);
}

/* ---- the load thread ------------------------------------------------------------------------ */

/* Lists of millions are read in order: what was read need not stay in memory. */
static void trim_lists(struct run *run)
{
    if (run->n_made % LISTS_PASS != 0)
        return;
    schedule_trim(&run->data.schedule);
    sampler_trim(&run->sampler);
}

static struct record *make_record(void *self, int64_t i)
{
    struct run *run = self;
    const struct schedule *schedule = &run->data.schedule;
    struct record *r = records_new(run->records);
    bool is_scheduled = schedule->n > 0 && !run->report.phases[run->phase].is_warmup;
    r->entry = is_scheduled ? schedule->entry[i] : sampler_next(&run->sampler);
    const struct prompts_entry e = prompts_take(&run->reader, r->entry, &r->owned_row);
    r->url = run->n_made++ % run->options.target.n_urls;
    r->phase = run->phase;
    r->is_warmup = run->report.phases[run->phase].is_warmup;
    r->row = e.row;
    r->payload = e.body;
    r->payload_bytes = e.body_bytes;
    r->payload_type = e.content_type;
    r->correlation_name = is_scheduled ? e.correlation : NULL;
    random_uuid(r->request_id);
    if (is_scheduled && schedule->user) {
        int64_t next = i + schedule->n_places;
        r->user = schedule->user[i];
        r->is_last_turn = next >= (int64_t)schedule->n || schedule->user[next] != r->user;
        snprintf(r->correlation_id, sizeof r->correlation_id, "%" PRId64, r->user);
    } else
        random_uuid(r->correlation_id);
    trim_lists(run);
    double fraction = run->options.cancellation_rate / 100;
    if (fraction > 0 && !r->is_warmup && random_unit(&run->cancellation) < fraction)
        r->drop_after_ns = 1 + to_ns(run->options.cancellation_delay_s); /* 0 is never */
    return r;
}

static void record_ended(void *self, struct record *r)
{
    records_push(((struct run *)self)->records, r);
}

static bool has_room(void *self) { return records_has_room(((struct run *)self)->records); }

static void *load_main(void *self)
{
    struct run *run = self;
    pthread_setname_np(pthread_self(), "load");
    struct load_hooks hooks = {run, make_record, record_ended, has_room};
    bool ok = run->options.wait_timeout_s <= 0 ||
              wait_for_model(&run->options, &run->control.stop, &run->error);
    if (ok)
        telemetry_begin(run->telemetry, &run->control.stop);
    for (size_t i = 0; ok && i < run->report.n_phases; i++) {
        struct load_result *result = &run->report.phases[i].load;
        run->phase = (int)i;
        atomic_store(&run->shown_phase, (int)i);
        log_info("%s started", run->report.phases[i].name);
        load_run(&run->phases[i], &run->transport, &hooks, &run->control, result);
        log_info("%s ended: sent=%" PRId64 " completed=%" PRId64 " canceled=%" PRId64
                 " elapsed=%.2fs",
                 run->report.phases[i].name, result->n_sent, result->n_ended, result->n_canceled,
                 clock_seconds(result->end_ns - result->start_ns));
        telemetry_edge(run->telemetry);
        ok = !result->was_stopped && !result->was_unreachable;
    }
    atomic_store(&run->is_loaded, true);
    pthread_kill(run->main_thread, SIGUSR1);
    return NULL;
}

/* ---- the main thread while the run goes ----------------------------------------------------- */

static void draw(struct run *run, struct display *display)
{
    int at = atomic_load(&run->shown_phase);
    if (at < 0)
        return;
    const struct load_phase *phase = &run->phases[at];
    int64_t start_ns = atomic_load(&run->control.phase_start_ns);
    struct progress p = {
        .phase = run->report.phases[at].name,
        .n_done = atomic_load(&run->control.n_done_phase),
        .n_in_flight = atomic_load(&run->control.n_sent) - atomic_load(&run->control.n_ended),
        .n_failed = atomic_load(&records_counters(run->records)->n_failed),
        .n_wanted = phase->n_requests,
        .elapsed_s = start_ns ? clock_seconds(clock_now_ns() - start_ns) : 0,
        .duration_s = clock_seconds(phase->duration_ns),
    };
    display_draw(display, &p, phase);
}

/* A run of several has one step more: a first Ctrl-C only says that no other is wanted. SIGTERM
 * does not wait. */
static void on_interrupt(struct run *run, struct display *display, bool is_polite)
{
    struct profile_outcome *outcome = run->outcome;
    bool was_asked = outcome && outcome->wants_end;
    if (outcome)
        outcome->wants_end = true;
    if (outcome && !was_asked && is_polite) {
        fputs("\nfluxperf: interrupted; this run goes on to its end and is the last one (once more "
              "to end it early)\n",
              stderr);
        return;
    }
    if (atomic_exchange(&run->control.stop, true)) {
        display_close(display);
        fputs("\nfluxperf: interrupted twice, stopping at once\n", stderr);
        _exit(1);
    }
    fputs("\nfluxperf: interrupted; writing what has finished (once more to stop at once)\n",
          stderr);
    run->transport.wake(run->transport.self);
    records_hurry(run->records);
}

static void watch(struct run *run, const sigset_t *signals, struct display *display)
{
    for (;;) {
        bool is_loaded = atomic_load(&run->is_loaded);
        int64_t n_left = atomic_load(&run->control.n_ended) -
                         atomic_load(&records_counters(run->records)->n_judged);
        if (is_loaded && n_left <= 0)
            break;
        int64_t wait_ns = is_loaded ? SETTLE_NS : DRAW_EVERY_NS;
        struct timespec timeout = {.tv_nsec = (long)wait_ns};
        int signal_number = sigtimedwait(signals, NULL, &timeout);
        if (signal_number == SIGINT || signal_number == SIGTERM)
            on_interrupt(run, display, signal_number == SIGINT);
        else if (display->kind != DISPLAY_NONE)
            draw(run, display);
    }
}

/* ---- set-up --------------------------------------------------------------------------------- */

static void plan_phases(struct run *run)
{
    const struct options *o = &run->options;
    run->report.phases = xcalloc(MAX_PHASES, sizeof *run->report.phases);
    if (o->has_warmup) {
        size_t i = run->report.n_phases++;
        run->report.phases[i] = (struct report_phase){.name = "warmup", .is_warmup = true};
        run->phases[i] = (struct load_phase){.n_slots = o->warmup_concurrency,
                                             .ramp_ns = to_ns(o->warmup_concurrency_ramp_s),
                                             .n_requests = o->n_warmup,
                                             .duration_ns = to_ns(o->warmup_duration_s),
                                             .grace_ns = to_ns(o->warmup_grace_s)};
        arrivals_init(&run->phases[i].arrivals, (enum arrival_pattern)o->warmup_pattern,
                      o->warmup_rate_hz, o->arrival_smoothness, o->seed);
        run->phases[i].arrivals.ramp_s = o->warmup_rate_ramp_s;
    }
    size_t i = run->report.n_phases++;
    run->report.phases[i] = (struct report_phase){.name = "profiling"};
    run->phases[i] = (struct load_phase){.n_slots = o->concurrency,
                                         .ramp_ns = to_ns(o->concurrency_ramp_s),
                                         .n_requests = o->n_wanted,
                                         .duration_ns = to_ns(o->duration_s),
                                         .grace_ns = to_ns(o->grace_s)};
    arrivals_init(&run->phases[i].arrivals, (enum arrival_pattern)o->arrival_pattern,
                  o->request_rate_hz, o->arrival_smoothness, o->seed);
    run->phases[i].arrivals.ramp_s = o->rate_ramp_s;
}

/* Due times of rows or users take the place of a pattern. */
static void plan_schedule(struct run *run)
{
    const struct schedule *schedule = &run->data.schedule;
    struct load_phase *phase = &run->phases[run->report.n_phases - 1];
    int64_t n = (int64_t)schedule->n;
    phase->n_requests = phase->n_requests && phase->n_requests < n ? phase->n_requests : n;
    arrivals_init_schedule(&phase->arrivals, schedule->due_ns, schedule->n);
    if (schedule->n_places > 0) {
        phase->follows = schedule->follows;
        phase->n_places = schedule->n_places;
    }
    if (run->options.is_fixed_schedule) {
        run->report.phases[run->report.n_phases - 1].is_replay = true;
        run->options.n_scheduled = n;
    }
}

static void random_hex(char *out, size_t n_digits)
{
    char uuid[UUID_SIZE];
    random_uuid(uuid);
    for (size_t i = 0, k = 0; k < n_digits; i++) {
        if (uuid[i] != '-')
            out[k++] = uuid[i];
    }
    out[n_digits] = '\0';
}

/* On the records thread: sending may go on. */
static void on_room(void *self)
{
    struct run *run = self;
    run->transport.wake(run->transport.self);
}

static bool open_records(struct run *run, struct error *err)
{
    const struct options *o = &run->options;
    struct records_options options = {
        .context = {.target = &o->target,
                    .unix_offset_ns = run->report.unix_offset_ns,
                    .has_objectives = o->n_objectives > 0},
        .lines_path = o->export_level >= EXPORT_RECORDS ? run->artifacts.lines : NULL,
        .raw_path = o->export_level >= EXPORT_RAW ? run->artifacts.raw : NULL,
        .trace_path = o->has_trace ? run->artifacts.trace : NULL,
        .kept_dir = o->run_dir,
        .objectives = o->objectives,
        .n_objectives = o->n_objectives,
        .live = &run->live,
        .images = &run->artifacts.images,
        .fetch_timeout_ms = (int64_t)(o->request_timeout_s * 1000),
        .max_pending_bytes = PROFILE_MAX_PENDING_BYTES,
        .min_pending = PROFILE_MIN_PENDING,
        .on_room = on_room,
        .on_room_self = run,
    };
    char digits[9];
    random_hex(digits, 8);
    snprintf(options.context.worker_id, sizeof options.context.worker_id, "worker_%s", digits);
    random_hex(digits, 8);
    snprintf(options.context.processor_id, sizeof options.context.processor_id,
             "record_processor_%s", digits);
    return records_open(&run->records, &options, err);
}

static bool open_workers(struct run *run, struct error *err)
{
    const struct options *o = &run->options;
    int64_t n = o->n_workers;
    n = o->concurrency > 0 && n > o->concurrency ? o->concurrency : n;
    long n_pooled = (long)(o->concurrency / n + 1);
    struct http_options http = {.timeout_ms = (int64_t)ceil(o->request_timeout_s * 1000),
                                .is_pooled = o->connection_reuse == 0,
                                .is_sticky = o->connection_reuse == 2 && o->user_rate_hz > 0,
                                .max_connections =
                                    n_pooled > POOL_CONNECTIONS ? n_pooled : POOL_CONNECTIONS};
    return file_limit_check(o->concurrency, err) &&
           workers_open(&run->workers, (size_t)n, &o->target, &http, err);
}

/* A client that can't be measured is no reason not to run. */
static void calibrate(struct run *run)
{
    struct calibrate_plan plan = CALIBRATE_SHORT;
    struct error err = {0};
    if (run->options.no_calibration)
        return;
    plan.n_workers = (size_t)run->options.n_workers;
    if (calibrate_run(&run->calibration, &plan, &err))
        run->report.calibration = &run->calibration;
    else
        log_warning("%s", err.text);
}

static bool set_up(struct run *run, struct error *err)
{
    const struct options *o = &run->options;
    live_open(&run->live);
    run->report.options = o;
    run->report.unix_offset_ns = clock_unix_ns() - clock_now_ns();
    random_hex(run->report.benchmark_id, sizeof run->report.benchmark_id - 1);
    plan_phases(run);
    random_init(&run->cancellation, o->seed, "timing.request.cancellation");
    if (!data_set_open(&run->data, o, err))
        return false;
    run->reader = prompts_reader(&run->data.prompts);
    if (run->data.schedule.n > 0)
        plan_schedule(run);
    return artifacts_open(&run->artifacts, o, &run->data.prompts, err) &&
           sampler_open(&run->sampler, (enum sampling)o->sampling, run->data.prompts.n_entries,
                        o->seed, run->data.dir, err) &&
           open_workers(run, err) && open_records(run, err);
}

/* ---- the run and its outcome ---------------------------------------------------------------- */

static bool execute(struct run *run, const sigset_t *signals, struct error *err)
{
    pthread_t load;
    struct display display;
    run->main_thread = pthread_self();
    run->transport = workers_transport(run->workers);
    atomic_store(&run->shown_phase, -1);
    run->telemetry = telemetry_open(&run->options);
    if (!telemetry_start(run->telemetry, err))
        return false;
    int code = pthread_create(&load, NULL, load_main, run);
    if (code != 0)
        return fail(err, ERR_INTERNAL, "can't start a thread: %s", strerror(code));
    display_open(&display, &run->options, &run->live, run->telemetry);
    watch(run, signals, &display);
    display_close(&display);
    pthread_join(load, NULL);
    telemetry_stop(run->telemetry);
    return records_finish(run->records, err);
}

static bool gather(struct run *run, struct error *err)
{
    struct report *report = &run->report;
    size_t n_all;
    malloc_trim(0); /* what the other threads used */
    struct record *const *all = records_all(run->records, &n_all);
    report->server_build = records_server_build(run->records);
    report->served_model = records_served_model(run->records);
    for (size_t i = 0; i < report->n_phases; i++) {
        struct load_result *load = &report->phases[i].load;
        if (load->start_ns == 0) /* never begun: the run ended before */
            load->start_ns = load->end_ns = clock_now_ns();
        report->phases[i].kept = records_kept(run->records);
        report_phase_fill(&report->phases[i], (int)i, all, n_all, run->options.n_objectives > 0);
        if (load->was_unreachable)
            report->incomplete_reason = "the server can't be reached";
    }
    if (atomic_load(&run->control.stop)) {
        report->was_canceled = true;
        report->incomplete_reason = "interrupted";
    }
    report->telemetry = run->telemetry;
    insight_fill(&run->insight, report);
    report->insight = &run->insight;
    return run->options.slice_s <= 0 ||
           report_make_slices(report, to_ns(run->options.slice_s), err);
}

static int fail_run(const struct error *err)
{
    fprintf(stderr, "fluxperf: error: %s\n", err->text);
    return error_exit_code(err->code);
}

static int run_profile(struct run *run, struct error *err)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before the first thread: all inherit it */
    if (!set_up(run, err))
        return fail_run(err);
    calibrate(run);
    bool ok = execute(run, &signals, err);
    if (ok && run->error.code != ERR_NONE) /* the server never became ready */
        return fail_run(&run->error);
    ok = gather(run, err) && ok;
    struct buf console = {0};
    ok = artifacts_write(&run->artifacts, &run->report, &console, err) && ok;
    if (run->outcome)
        profile_end_fill(run->outcome, &run->report, ok ? NULL : err);
    else
        profile_end_print(&run->artifacts, &run->report, &console);
    buf_free(&console);
    int code = profile_end_judge(&run->report);
    if (!ok)
        fail_run(err);
    return ok ? code : 1;
}

static int profile(int argc, char **argv, int first, struct profile_outcome *outcome)
{
    struct error err = {0};
    struct run *run = xcalloc(1, sizeof *run);
    int code;
    run->outcome = outcome;
    signal(SIGPIPE, SIG_IGN);
    file_limit_raise();
    if (!options_parse(&run->options, argc, argv, first, &err)) {
        code = fail_run(&err);
        if (code == 2)
            fputs("fluxperf: see fluxperf profile --help\n", stderr);
    } else if (!http_setup(&err)) {
        code = fail_run(&err);
    } else {
        log_set_level(run->options.level);
        code = run_profile(run, &err);
        report_free(&run->report);
        telemetry_close(run->telemetry);
        records_close(run->records);
        live_close(&run->live);
        workers_close(run->workers);
        artifacts_close(&run->artifacts);
        sampler_close(&run->sampler);
        prompts_reader_free(&run->reader);
        data_set_close(&run->data);
        http_teardown();
    }
    options_free(&run->options);
    free(run);
    return code;
}

int profile_main(int argc, char **argv, int first) { return profile(argc, argv, first, NULL); }

void profile_run(int argc, char **argv, int first, struct profile_outcome *out)
{
    *out = (struct profile_outcome){0};
    out->code = profile(argc, argv, first, out);
}

void profile_outcome_free(struct profile_outcome *o) { metrics_free(&o->metrics); }
