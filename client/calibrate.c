#include "client/calibrate.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/clock.h"
#include "client/load.h"
#include "client/loopback_server.h"
#include "client/records.h"
#include "client/stats.h"
#include "client/workers.h"

#define TIMEOUT_MS 10000
#define PENDING_BYTES ((size_t)8 << 20)
#define PENDING_LEAST 32

struct probe {
    struct loopback *server;
    struct workers *workers;
    struct transport transport;
    struct records *records;
    struct prompts prompts;
    struct prompts_reader reader;
    struct request_target target;
    double *errors_us; /* owned, room for n_timed */
    size_t n_errors, n_failed;
};

/* ---- hooks of the load ---------------------------------------------------------------------- */

static struct record *make_record(void *self, int64_t session)
{
    struct probe *p = self;
    struct record *r = records_new(p->records);
    r->session = session;
    const struct prompts_entry e = prompts_take(&p->reader, 0, &r->owned_row);
    r->row = e.row;
    r->payload = e.body;
    r->payload_bytes = e.body_bytes;
    random_uuid(r->request_id);
    random_uuid(r->correlation_id);
    return r;
}

static void record_ended(void *self, struct record *r)
{
    struct probe *p = self;
    struct stages *told = r->server_timing ? stages_read(r->server_timing, NULL) : NULL;
    if (told && r->transfer == TRANSFER_DONE) {
        double latency_us = (double)(r->end_ns - r->start_ns) / 1000;
        if (p->errors_us)
            p->errors_us[p->n_errors++] = latency_us - told->ms[STAGE_TOTAL] * 1000;
    } else {
        p->n_failed++;
    }
    stages_free(told);
    records_push(p->records, r);
}

static bool has_room(void *self) { return records_has_room(((struct probe *)self)->records); }

static void on_room(void *self)
{
    struct probe *p = self;
    p->transport.wake(p->transport.self);
}

/* ---- one phase ------------------------------------------------------------------------------ */

static bool make_prompt(struct prompts *p, struct error *err)
{
    const struct fields none = {0};
    const struct draft_options options = {.model = "calibration", .extra = &none};
    struct draft_maker *maker = draft_maker_open(&options);
    struct draft d = {.text = xstrdup("A red fox"), .session_id = xstrdup("calibration")};
    bool ok = draft_finish(maker, &d, err) && prompts_put(p, &d, err) && prompts_done(p, err);
    draft_free(&d);
    draft_maker_close(maker);
    return ok;
}

static bool open_probe(struct probe *p, const struct calibrate_plan *plan, int64_t delay_ns,
                       struct error *err)
{
    const struct loopback_options server = {.delay_ns = delay_ns,
                                            .answer_bytes = plan->answer_bytes};
    const struct http_options http = {
        .timeout_ms = TIMEOUT_MS, .is_pooled = true, .max_connections = (long)plan->n_slots + 1};
    struct records_options records = {
        .context = {.target = &p->target},
        .lines_path = "/dev/null",
        .max_pending_bytes = PENDING_BYTES,
        .min_pending = PENDING_LEAST,
        .on_room = on_room,
        .on_room_self = p,
    };
    if (!loopback_open(&p->server, &server, err))
        return false;
    p->target.urls = xcalloc(1, sizeof *p->target.urls);
    p->target.urls[p->target.n_urls++] =
        xasprintf("http://127.0.0.1:%d/v1/images/generations", loopback_port(p->server));
    if (!make_prompt(&p->prompts, err))
        return false;
    p->reader = prompts_reader(&p->prompts);
    if (!workers_open(&p->workers, plan->n_workers, &p->target, &http, err))
        return false;
    p->transport = workers_transport(p->workers);
    return records_open(&p->records, &records, err);
}

static void close_probe(struct probe *p)
{
    records_close(p->records);
    workers_close(p->workers);
    loopback_close(p->server);
    request_target_free(&p->target);
    prompts_reader_free(&p->reader);
    prompts_free(&p->prompts);
    free(p->errors_us);
}

/* Send n requests; *seconds is from the first one to the last one recorded. */
static bool run_phase(struct probe *p, size_t n, size_t n_slots, double *seconds, struct error *err)
{
    const struct load_phase phase = {.n_slots = (int64_t)n_slots, .n_requests = (int64_t)n};
    const struct load_hooks hooks = {p, make_record, record_ended, has_room};
    struct load_control control = {0};
    struct load_result result;
    load_run(&phase, &p->transport, &hooks, &control, &result);
    if (!records_finish(p->records, err))
        return false;
    *seconds = clock_seconds(clock_now_ns() - result.start_ns);
    int64_t n_judged_bad = atomic_load(&records_counters(p->records)->n_failed);
    if (p->n_failed > 0 || n_judged_bad > 0)
        return fail(err, ERR_IO, "calibration: %zu of %zu requests to the loopback server failed",
                    p->n_failed > 0 ? p->n_failed : (size_t)n_judged_bad, n);
    return true;
}

bool calibrate_run(struct calibration *out, const struct calibrate_plan *plan, struct error *err)
{
    struct probe timed = {0}, rushed = {0};
    double seconds = 0;
    *out = (struct calibration){.plan = *plan};
    timed.errors_us = xcalloc(plan->n_timed + 1, sizeof *timed.errors_us);
    bool ok = open_probe(&timed, plan, plan->delay_ns, err) &&
              run_phase(&timed, plan->n_timed, 1, &seconds, err);
    if (ok && timed.n_errors > 1) { /* the first one connects */
        struct stats s = stats_compute(timed.errors_us + 1, timed.n_errors - 1);
        out->n_timed = timed.n_errors - 1;
        out->error_p50_us = s.p[P50];
        out->error_p99_us = s.p[P99];
    }
    ok = ok && open_probe(&rushed, plan, 0, err) &&
         run_phase(&rushed, plan->n_rushed, plan->n_slots, &seconds, err);
    out->ceiling_rps = seconds > 0 ? (double)plan->n_rushed / seconds : 0;
    close_probe(&timed);
    close_probe(&rushed);
    return ok || error_prefix(err, "calibration");
}

/* ---- telling -------------------------------------------------------------------------------- */

/* Digits beyond these are noise. */
static double rounded(double value, double unit) { return nearbyint(value / unit) * unit; }

struct json *calibrate_json(const struct calibration *c)
{
    struct json *o = json_new_object();
    json_set(o, "latency_error_p50_us", json_new_double(rounded(c->error_p50_us, 0.125)));
    json_set(o, "latency_error_p99_us", json_new_double(rounded(c->error_p99_us, 0.125)));
    json_set(o, "requests", json_new_int((int64_t)c->n_timed));
    json_set(o, "delay_us", json_new_double((double)c->plan.delay_ns / 1000));
    json_set(o, "ceiling_rps", json_new_double(rounded(c->ceiling_rps, 1)));
    json_set(o, "ceiling_requests", json_new_int((int64_t)c->plan.n_rushed));
    json_set(o, "ceiling_concurrency", json_new_int((int64_t)c->plan.n_slots));
    json_set(o, "answer_bytes", json_new_int((int64_t)c->plan.answer_bytes));
    json_set(o, "workers", json_new_int((int64_t)c->plan.n_workers));
    return o;
}

void calibrate_print(struct buf *out, const struct calibration *c)
{
    buf_printf(out,
               "latency error p50 %.0f us, p99 %.0f us (%zu requests); ceiling %.0f requests/s "
               "(%zu in flight, answers of %zu bytes)",
               c->error_p50_us, c->error_p99_us, c->n_timed, c->ceiling_rps, c->plan.n_slots,
               c->plan.answer_bytes);
}

/* ---- the command ---------------------------------------------------------------------------- */

struct calibrate_options {
    int64_t n_timed, n_rushed, n_slots, n_workers, answer_bytes;
    double delay_ms;
    bool is_json;
};

#define AT(field) offsetof(struct calibrate_options, field)

static const struct option OPTIONS[] = {
    {"--requests", NULL, "N", ARG_INT, AT(n_timed), 2, 1e6, .group = "Options",
     .help = "requests one at a time, for the error of latencies; default 1000"},
    {"--delay", NULL, "MS", ARG_DOUBLE, AT(delay_ms), 0.001, 10000,
     .help = "what the loopback server waits before it answers them; default 1"},
    {"--ceiling-requests", NULL, "N", ARG_INT, AT(n_rushed), 1, 1e7,
     .help = "requests as fast as they go, for the ceiling; default 20000"},
    {"--concurrency", NULL, "N", ARG_INT, AT(n_slots), 1, 1000,
     .help = "so many of these in flight; default 64"},
    {"--answer-bytes", NULL, "N", ARG_INT, AT(answer_bytes), 1, (double)LOOPBACK_MAX_ANSWER,
     .help = "size of an answer, the JSON with its picture; default 1024"},
    {"--workers-max", "--max-workers", "N", ARG_INT, AT(n_workers), 1, WORKERS_MAX,
     .help = "event loops; default 1"},
    {"--json", NULL, NULL, ARG_FLAG, AT(is_json), .help = "print a JSON object instead of a line"},
};
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

static void print_result(const struct calibration *c, bool is_json)
{
    struct buf text = {0};
    if (is_json) {
        struct json *o = calibrate_json(c);
        json_print(&text, o, 2);
        json_free(o);
    } else {
        calibrate_print(&text, c);
    }
    puts(text.data);
    buf_free(&text);
}

int calibrate_main(int argc, char **argv, int first)
{
    struct calibrate_options o = {.n_timed = 1000,
                                  .delay_ms = 1,
                                  .n_rushed = 20000,
                                  .n_slots = 64,
                                  .answer_bytes = 1024,
                                  .n_workers = 1};
    struct error err = {0};
    struct calibration c;
    signal(SIGPIPE, SIG_IGN);
    bool ok =
        args_parse(OPTIONS, N_OPTIONS, argc, argv, first, &o, NULL, NULL, &err) && http_setup(&err);
    if (ok) {
        const struct calibrate_plan plan = {.n_timed = (size_t)o.n_timed,
                                            .delay_ns = (int64_t)(o.delay_ms * NS_PER_MS),
                                            .n_rushed = (size_t)o.n_rushed,
                                            .n_slots = (size_t)o.n_slots,
                                            .n_workers = (size_t)o.n_workers,
                                            .answer_bytes = (size_t)o.answer_bytes};
        ok = calibrate_run(&c, &plan, &err);
        http_teardown();
    }
    if (ok) {
        print_result(&c, o.is_json);
        return 0;
    }
    fprintf(stderr, "fluxperf: error: %s\n", err.text);
    if (err.code == ERR_INVALID)
        fputs("fluxperf: see fluxperf calibrate --help\n", stderr);
    return error_exit_code(err.code);
}

void calibrate_help(void)
{
    args_help("fluxperf calibrate [option...]",
              "Profile a loopback server inside this program, which tells how long it really took, "
              "and print what the client adds to a latency and how many requests a second it can "
              "send, judge and record.",
              OPTIONS, N_OPTIONS);
}
