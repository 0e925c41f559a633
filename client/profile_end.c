#include "client/profile_end.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/artifacts_telemetry.h"
#include "client/calibrate.h"
#include "client/insight.h"

/* Files that could not be written, or that were not asked for, are not there. */
static void print_file(const char *what, const char *path)
{
    if (access(path, F_OK) == 0)
        printf("%s: %s\n", what, path);
}

void profile_end_print(const struct artifacts *a, const struct report *report,
                       const struct buf *console)
{
    const struct metric_value *duration =
        metrics_get(&report_main_phase(report)->metrics, "benchmark_duration");
    fputs(console->data, stdout);
    printf("\n\nCLI Command: %s\n", report->options->cli_command);
    printf("Benchmark Duration: %.2f sec\n", duration ? duration->stats.avg : 0);
    if (report->calibration) {
        struct buf line = {0};
        calibrate_print(&line, report->calibration);
        printf("Calibration: %s\n", line.data);
        buf_free(&line);
    }
    print_file("CSV Export", a->csv);
    print_file("JSON Export", a->json);
    print_file("Timeslice CSV Export", a->slices_csv);
    print_file("Timeslice JSON Export", a->slices_json);
    artifacts_telemetry_print(report);
    print_file("Report", a->report);
    print_file("Chrome Trace", a->trace);
    print_file("Records", a->lines);
    print_file("Raw Records", a->raw);
    fflush(stdout);
}

#define MAX_OVERTOLD_MS 1.0 /* clocks are read at different moments */

int profile_end_judge(const struct report *report)
{
    int code = 0;
    for (size_t i = 0; i < report->n_phases; i++) {
        const struct report_phase *p = &report->phases[i];
        size_t n_failed = 0;
        for (size_t k = 0; k < p->n_failures; k++)
            n_failed += record_was_dropped(p->failures[k].first) ? 0 : p->failures[k].count;
        if (n_failed == 0)
            continue;
        code = 1;
        fprintf(stderr, "fluxperf: %zu of %zu %s requests failed\n", n_failed, p->n_records,
                p->name);
        for (size_t k = 0; k < p->n_failures && k < 5; k++) {
            const struct record_error *e = &p->failures[k].first->error;
            if (record_was_dropped(p->failures[k].first))
                continue;
            struct buf line = {0};
            report_clean_text(&line, e->type, 80);
            buf_puts(&line, ": ");
            report_clean_text(&line, e->message, 300);
            fprintf(stderr, "fluxperf:   %zu x ", p->failures[k].count);
            if (e->code)
                fprintf(stderr, "%d ", e->code);
            fprintf(stderr, "%s\n", line.data);
            buf_free(&line);
        }
    }
    const struct report_phase *last = report_main_phase(report);
    if (last->load.n_canceled > 0 && !report->was_canceled)
        fprintf(stderr,
                "fluxperf: %" PRId64 " requests were still in flight at the end of the "
                "grace period; they were canceled and are in no statistics of answers\n",
                last->load.n_canceled);
    const struct metric_value *dropped = metrics_get(&last->metrics, "request_cancellation_count");
    if (dropped)
        fprintf(stderr, "fluxperf: %.0f requests were canceled on purpose\n", dropped->stats.avg);
    const struct metric_value *rest = metrics_get(&last->metrics, "unexplained_time");
    if (rest && rest->stats.min < -MAX_OVERTOLD_MS)
        fprintf(
            stderr,
            "fluxperf: the server tells of up to %.0f ms more than its answer took to come: its "
            "times are wrong\n",
            -rest->stats.min);
    if (last->load.n_unsent > 0)
        fprintf(stderr,
                "fluxperf: %" PRId64
                " requests were due but could not be sent before the end: %s\n",
                last->load.n_unsent,
                report->options->user_rate_hz > 0 ? "their users still waited for an answer"
                                                  : "all slots were taken");
    if (last->load.n_held > 0)
        fprintf(
            stderr,
            "fluxperf: sending was held %" PRId64 " times for %.2f s, since judging the answers "
            "was %zu MiB behind: the client was the bottleneck\n",
            last->load.n_held, clock_seconds(last->load.held_ns), PROFILE_MAX_PENDING_BYTES >> 20);
    struct buf warnings = {0};
    if (report->insight)
        insight_warnings(&warnings, report->insight);
    if (warnings.size)
        fputs(warnings.data, stderr);
    buf_free(&warnings);
    if (last->n_records == 0 && !report->incomplete_reason) {
        fputs("fluxperf: no request was completed\n", stderr);
        code = 1;
    }
    if (report->incomplete_reason) {
        fprintf(stderr, "fluxperf: the run is incomplete: %s\n", report->incomplete_reason);
        code = 1;
    }
    return code;
}

static void put_failure(struct profile_outcome *o, const struct record_error *e)
{
    struct buf text = {0};
    report_clean_text(&text, e->type, 80);
    buf_puts(&text, ": ");
    report_clean_text(&text, e->message, 200);
    snprintf(o->failure, sizeof o->failure, "%s", text.data);
    buf_free(&text);
}

void profile_end_fill(struct profile_outcome *o, const struct report *report,
                      const struct error *unwritten)
{
    const struct report_phase *p = report_main_phase(report);
    size_t n_unconnected = 0;
    const struct record_error *failure = NULL;
    o->has_results = true;
    if (unwritten)
        snprintf(o->unwritten, sizeof o->unwritten, "%.*s", (int)sizeof o->unwritten - 1,
                 unwritten->text);
    o->was_ended_early = report->incomplete_reason != NULL;
    for (size_t i = 0; i < report->n_phases; i++)
        o->is_unreachable = o->is_unreachable || report->phases[i].load.was_unreachable;
    for (size_t i = 0; i < p->n_failures; i++) {
        enum transfer transfer = p->failures[i].first->transfer;
        if (transfer == TRANSFER_NO_CONNECT || transfer == TRANSFER_NO_HOST)
            n_unconnected += p->failures[i].count;
        if (!failure && !record_was_dropped(p->failures[i].first))
            failure = &p->failures[i].first->error;
    }
    if (failure) {
        put_failure(o, failure);
        o->is_unreachable = o->is_unreachable || n_unconnected == p->n_records ||
                            p->load.n_refused_last >= LOAD_MIN_GONE;
    }
    o->metrics.n_values = p->metrics.n_values;
    o->metrics.values = xcalloc(p->metrics.n_values + 1, sizeof *o->metrics.values);
    memcpy(o->metrics.values, p->metrics.values, p->metrics.n_values * sizeof *o->metrics.values);
}
