#include "client/runs.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/artifacts.h"
#include "client/data_set.h"
#include "client/profile.h"
#include "client/random.h"

/* ---- options -------------------------------------------------------------------------------- */

bool runs_read(struct runs *r, const char *command, const struct option *rows, size_t n_rows,
               int argc, char **argv, int first, void *config, struct arg_list *positionals,
               struct error *err)
{
    *r = (struct runs){.command = command};
    runs_args_split(&r->base, &r->own, rows, n_rows, argc, argv, first);
    return args_parse(rows, n_rows, (int)r->own.n_items, r->own.items, 0, config, positionals, NULL,
                      err);
}

bool runs_check(const struct runs_args *args, struct options *out, struct error *err)
{
    struct options unwanted;
    struct options *o = out ? out : &unwanted;
    struct data_set data = {0};
    bool ok = options_parse(o, (int)args->n_items, args->items, 0, err) &&
              (o->input_file ? data_set_open(&data, o, err)
                             : tokens_open(&data.tokens, o->tokenizer, err));
    data_set_close(&data);
    if (!out)
        options_free(&unwanted);
    return ok;
}

/* ---- begin and end -------------------------------------------------------------------------- */

static void set_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
}

/* A comparison of this command's runs must not take those of an earlier one for its own. */
void runs_clear(const char *dir, const struct options *example)
{
    for (int i = 1; i <= RUNS_MAX; i++) {
        struct options o = {.prefix = example->prefix};
        o.run_dir = xasprintf("%s/run_%04d", dir, i);
        bool is_there = file_exists(o.run_dir);
        if (is_there)
            artifacts_remove(&o);
        free(o.run_dir);
        if (!is_there)
            return;
    }
}

bool runs_open(struct runs *r, const struct options *example, struct error *err)
{
    sigset_t signals;
    char seed[24];
    r->dir = example->artifact_dir ? xstrdup(example->artifact_dir)
                                   : xasprintf("%s-%s", example->run_dir, r->command);
    r->seed = example->seed;
    snprintf(seed, sizeof seed, "%" PRId64, r->seed);
    runs_args_set(&r->base, "--random-seed", seed);
    if (!dir_make(r->dir, err))
        return error_prefix(err, "artifact directory");
    runs_clear(r->dir, example);
    set_signals(&signals);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return true;
}

void runs_close(struct runs *r)
{
    runs_args_free(&r->base);
    runs_args_free(&r->own);
    free(r->dir);
}

bool runs_stop(struct runs *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!r->reason[0])
        vsnprintf(r->reason, sizeof r->reason, format, args);
    va_end(args);
    r->code = r->code ? r->code : 1;
    return false;
}

/* ---- one run -------------------------------------------------------------------------------- */

/* Wait, less than a moment when seconds is 0. True when a signal came meanwhile or before. */
static bool wait_for_signal(double seconds)
{
    sigset_t signals;
    int64_t end_ns = clock_now_ns() + (int64_t)(seconds * (double)NS_PER_S);
    set_signals(&signals);
    for (;;) {
        int64_t left_ns = end_ns - clock_now_ns();
        left_ns = left_ns > 0 ? left_ns : 0;
        struct timespec left = {.tv_sec = left_ns / NS_PER_S, .tv_nsec = left_ns % NS_PER_S};
        if (sigtimedwait(&signals, NULL, &left) >= 0)
            return true;
        if (errno == EAGAIN)
            return false;
    }
}

static void tell(const struct runs *r, const struct runs_result *result)
{
    double latency_ms = runs_value(result, "request_latency", "avg");
    fprintf(stderr, "fluxperf: %s: run %zu (%s/%s): %zu requests succeeded, %zu failed", r->command,
            result->number, r->dir, result->name, result->n_succeeded, result->n_failed);
    if (!isnan(latency_ms))
        fprintf(stderr, ", mean latency %.1f ms", latency_ms);
    fputc('\n', stderr);
}

static void take(struct runs_result *out, struct profile_outcome *o)
{
    out->metrics = o->metrics;
    o->metrics = (struct metrics){0};
    out->is_unreachable = o->is_unreachable;
    memcpy(out->failure, o->failure, sizeof out->failure);
    double n_failed = runs_value(out, "error_request_count", "avg");
    double n_dropped = runs_value(out, "request_cancellation_count", "avg"); /* on purpose */
    n_failed -= n_dropped > 0 ? n_dropped : 0;
    double n_succeeded = runs_value(out, "request_count", "avg");
    out->n_failed = n_failed > 0 ? (size_t)n_failed : 0;
    out->n_succeeded = n_succeeded > 0 ? (size_t)n_succeeded : 0;
}

bool runs_make(struct runs *r, const char *name, const struct runs_args *args,
               struct runs_result *out)
{
    struct runs_args whole = {0};
    struct profile_outcome outcome;
    *out = (struct runs_result){.number = r->n_begun + 1};
    snprintf(out->name, sizeof out->name, "%s", name);
    if (r->wants_end || wait_for_signal(r->n_begun > 0 ? r->pause_s : 0)) {
        r->wants_end = true;
        return runs_stop(r, "interrupted");
    }
    r->n_begun++;
    char *dir = xasprintf("%s/%s", r->dir, name);
    runs_args_append(&whole, args);
    runs_args_set(&whole, "--artifact-dir", dir);
    profile_run((int)whole.n_items, whole.items, 0, &outcome);
    runs_args_free(&whole);
    free(dir);
    r->wants_end = outcome.wants_end;
    r->code = outcome.code > r->code ? outcome.code : r->code;
    if (!outcome.has_results) {
        runs_stop(r, outcome.wants_end ? "interrupted" : "run %zu could not be made", r->n_begun);
    } else {
        take(out, &outcome);
        tell(r, out);
        if (out->is_unreachable)
            runs_stop(r, "the server could not be reached in run %zu: %s", r->n_begun,
                      out->failure);
        else if (outcome.was_ended_early)
            runs_stop(r, "interrupted in run %zu", r->n_begun);
        else if (outcome.unwritten[0])
            runs_stop(r, "run %zu: %s", r->n_begun, outcome.unwritten);
    }
    profile_outcome_free(&outcome);
    return !r->reason[0];
}

void runs_result_free(struct runs_result *out) { metrics_free(&out->metrics); }

bool runs_need_success(struct runs *r, const struct runs_result *result)
{
    return result->n_succeeded > 0 ||
           runs_stop(r, "no request of run %zu succeeded: %s", result->number,
                     result->failure[0] ? result->failure : "none was completed");
}

/* ---- the last words ------------------------------------------------------------------------- */

int runs_conclude(const struct runs *r, size_t n_made, const char *what)
{
    if (r->reason[0])
        fprintf(stderr, "fluxperf: %s is incomplete after %zu %s: %s\n", r->command, n_made, what,
                r->reason);
    return r->code;
}

int runs_break(const struct error *err)
{
    fprintf(stderr, "fluxperf: error: %s\n", err->text);
    return 1;
}

int runs_fail(const char *command, const struct error *err)
{
    int code = error_exit_code(err->code);
    fprintf(stderr, "fluxperf: error: %s\n", err->text);
    if (code == 2)
        fprintf(stderr, "fluxperf: see fluxperf %s --help\n", command);
    return code;
}
