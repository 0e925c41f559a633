#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "client/gpu_export.h"
#include "client/insight.h"
#include "client/report.h"

#define INDENT 2

static void line(struct buf *out, int depth) { buf_printf(out, "\n%*s", INDENT * depth, ""); }

static void key(struct buf *out, const char *name, int depth)
{
    if (out->data[out->size - 1] != '{')
        buf_putc(out, ',');
    line(out, depth);
    json_print_string(out, name, strlen(name));
    buf_puts(out, ": ");
}

static void string(struct buf *out, const char *name, const char *text, int depth)
{
    key(out, name, depth);
    json_print_string(out, text, strlen(text));
}

static void boolean(struct buf *out, const char *name, bool value, int depth)
{
    key(out, name, depth);
    buf_puts(out, value ? "true" : "false");
}

static void integer(struct buf *out, const char *name, int64_t value, int depth)
{
    key(out, name, depth);
    buf_printf(out, "%" PRId64, value);
}

static void number(struct buf *out, const char *name, double value, int depth)
{
    if (isnan(value)) /* what does not exist is left out */
        return;
    key(out, name, depth);
    json_print_double(out, value);
}

void report_date(char whole[REPORT_DATE_SIZE], int64_t unix_ns)
{
    time_t seconds = (time_t)(unix_ns / NS_PER_S);
    struct tm t;
    char text[64];
    localtime_r(&seconds, &t);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(whole, REPORT_DATE_SIZE, "%s.%06d", text, (int)(unix_ns % NS_PER_S / 1000));
}

static void date(struct buf *out, const char *name, int64_t unix_ns, int depth)
{
    char text[REPORT_DATE_SIZE];
    report_date(text, unix_ns);
    string(out, name, text, depth);
}

/* ---- metrics -------------------------------------------------------------------------------- */

void report_json_metric(struct buf *out, const struct metric_value *v, int depth)
{
    static const char *const ORDER[] = {"avg", "p1",  "p5",  "p10", "p25", "p50", "p75",
                                        "p90", "p95", "p99", "min", "max", "std"};
    buf_putc(out, '{');
    string(out, "unit", v->metric->unit, depth + 1);
    for (size_t i = 0; i < sizeof ORDER / sizeof ORDER[0]; i++)
        number(out, ORDER[i], report_stat(v, ORDER[i]), depth + 1);
    if (v->metric->kind == METRIC_RECORD)
        integer(out, "count", (int64_t)v->stats.count, depth + 1);
    number(out, "sum", report_stat(v, "sum"), depth + 1);
    line(out, depth);
    buf_putc(out, '}');
}

/* These stand at the top of the file, in this order; the others follow at its end. */
static const char *const FIRST[] = {"request_throughput",
                                    "request_latency",
                                    "request_count",
                                    "output_sequence_length",
                                    "input_sequence_length",
                                    "goodput",
                                    "good_request_count",
                                    "benchmark_duration",
                                    "total_isl",
                                    "error_request_count",
                                    "error_isl",
                                    "total_error_isl"};
#define N_FIRST (sizeof FIRST / sizeof FIRST[0])

static void put_metric(struct buf *out, const struct metric_value *v, int depth)
{
    key(out, v->metric->tag, depth);
    report_json_metric(out, v, depth);
}

static void put_first_metrics(struct buf *out, const struct metrics *m)
{
    for (size_t i = 0; i < N_FIRST; i++) {
        const struct metric_value *v = metrics_get(m, FIRST[i]);
        if (v)
            put_metric(out, v, 1);
    }
}

static void put_other_metrics(struct buf *out, const struct metrics *m)
{
    for (size_t i = 0; i < m->n_values; i++) {
        size_t at = 0;
        while (at < N_FIRST && strcmp(FIRST[at], m->values[i].metric->tag) != 0)
            at++;
        if (at == N_FIRST)
            put_metric(out, &m->values[i], 1);
    }
}

/* ---- failures ------------------------------------------------------------------------------- */

void report_json_failures(struct buf *out, const struct report_phase *phase, int depth)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < phase->n_failures; i++) {
        const struct record_error *e = &phase->failures[i].first->error;
        buf_puts(out, i ? "," : "");
        line(out, depth + 1);
        buf_putc(out, '{');
        key(out, "error_details", depth + 2);
        buf_putc(out, '{');
        if (e->code)
            integer(out, "code", e->code, depth + 3);
        string(out, "type", e->type, depth + 3);
        string(out, "message", e->message, depth + 3);
        line(out, depth + 2);
        buf_putc(out, '}');
        integer(out, "count", (int64_t)phase->failures[i].count, depth + 2);
        line(out, depth + 1);
        buf_putc(out, '}');
    }
    if (phase->n_failures)
        line(out, depth);
    buf_putc(out, ']');
}

/* ---- the summary ---------------------------------------------------------------------------- */

static void put_run_info(struct buf *out, const struct report *r)
{
    key(out, "run_info", 1);
    buf_putc(out, '{');
    string(out, "benchmark_id", r->benchmark_id, 2);
    if (r->options->has_seed)
        integer(out, "random_seed", r->options->seed, 2);
    integer(out, "trial", 0, 2);
    string(out, "cli_command", r->options->cli_command, 2);
    line(out, 1);
    buf_putc(out, '}');
}

/* A tree that was built, at depth 1. */
static void put_tree(void *self, const char *name, const struct json *value)
{
    struct buf *out = self, text = {0};
    key(out, name, 1);
    json_print(&text, value, INDENT);
    for (const char *p = text.data; *p; p++) {
        if (*p == '\n')
            line(out, 1);
        else
            buf_putc(out, *p);
    }
    buf_free(&text);
}

static void put_gpus(struct buf *out, const struct report *r)
{
    if (!r->telemetry || !telemetry_has_gpus(r->telemetry))
        return;
    struct json *gpus = gpu_export_summary(r);
    put_tree(out, "telemetry_data", gpus);
    json_free(gpus);
}

static void put_warmup(struct buf *out, const struct report *r)
{
    for (size_t i = 0; i < r->n_phases; i++) {
        if (!r->phases[i].is_warmup)
            continue;
        key(out, "warmup_metrics", 1);
        buf_putc(out, '{');
        for (size_t k = 0; k < r->phases[i].metrics.n_values; k++)
            put_metric(out, &r->phases[i].metrics.values[k], 2);
        line(out, 1);
        buf_putc(out, '}');
    }
}

void report_json(struct buf *out, const struct report *r, const struct report_phase *phase)
{
    buf_putc(out, '{');
    string(out, "schema_version", REPORT_SCHEMA_VERSION, 1);
    /* a version as Python's packaging reads it: ours, with the name as its local part */
    string(out, "aiperf_version", FLUXBENCH_VERSION "+fluxperf", 1);
    string(out, "generator", "fluxperf " FLUXBENCH_VERSION, 1);
    string(out, "benchmark_id", r->benchmark_id, 1);
    put_first_metrics(out, &phase->metrics);
    bool is_main = phase == report_main_phase(r);
    if (is_main)
        put_gpus(out, r);
    key(out, "input_config", 1);
    report_json_config(out, r->options, 1);
    put_run_info(out, r);
    boolean(out, "was_cancelled", r->was_canceled, 1);
    boolean(out, "is_complete", r->incomplete_reason == NULL, 1);
    if (r->incomplete_reason)
        string(out, "incomplete_reason", r->incomplete_reason, 1);
    key(out, "error_summary", 1);
    report_json_failures(out, phase, 1);
    date(out, "start_time", phase->load.start_ns + r->unix_offset_ns, 1);
    date(out, "end_time", phase->load.end_ns + r->unix_offset_ns, 1);
    if (!phase->is_warmup && is_main)
        put_warmup(out, r);
    put_other_metrics(out, &phase->metrics);
    key(out, "percentile_intervals", 1);
    report_json_quantiles(out, &phase->metrics, 1);
    if (is_main && r->insight)
        insight_json(r->insight, out, put_tree);
    buf_puts(out, "\n}");
}

/* ---- the phases ----------------------------------------------------------------------------- */

static size_t count_failed(const struct report_phase *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_failures; i++)
        n += p->failures[i].count;
    return n;
}

static void put_phase(struct buf *out, const struct report *r, size_t index)
{
    const struct report_phase *p = &r->phases[index];
    const char *prefix = r->options->prefix ? r->options->prefix : "profile_export_aiperf";
    char path[512];
    line(out, 2);
    buf_putc(out, '{');
    integer(out, "end_ns", p->load.end_ns + r->unix_offset_ns, 3);
    integer(out, "error_request_count", (int64_t)count_failed(p), 3);
    key(out, "error_summary", 3);
    report_json_failures(out, p, 3);
    snprintf(path, sizeof path, "phases/%s/%s.csv", p->name, prefix);
    string(out, "metrics_csv", path, 3);
    snprintf(path, sizeof path, "phases/%s/%s.json", p->name, prefix);
    string(out, "metrics_json", path, 3);
    integer(out, "phase_index", (int64_t)index, 3);
    string(out, "phase_kind", p->name, 3);
    string(out, "phase_name", p->name, 3);
    key(out, "profiling_index", 3);
    buf_puts(out, p->is_warmup ? "null" : "0");
    integer(out, "start_ns", p->load.start_ns + r->unix_offset_ns, 3);
    integer(out, "successful_request_count", (int64_t)(p->n_records - count_failed(p)), 3);
    integer(out, "total_request_count", (int64_t)p->n_records, 3);
    boolean(out, "was_cancelled", p->load.was_stopped, 3);
    line(out, 2);
    buf_putc(out, '}');
}

void report_json_manifest(struct buf *out, const struct report *r)
{
    buf_puts(out, "{\n  \"phases\": [");
    for (size_t i = 0; i < r->n_phases; i++) {
        buf_puts(out, i ? "," : "");
        put_phase(out, r, i);
    }
    buf_puts(out, "\n  ],\n  \"schema_version\": 1\n}");
}

void report_slices_json(struct buf *out, const struct report *r)
{
    buf_puts(out, "{\n  \"timeslices\": [");
    for (size_t i = 0; i < r->n_slices; i++) {
        const struct report_slice *s = &r->slices[i];
        buf_puts(out, i ? "," : "");
        line(out, 2);
        buf_putc(out, '{');
        integer(out, "start_ns", s->start_ns + r->unix_offset_ns, 3);
        integer(out, "end_ns", s->end_ns + r->unix_offset_ns, 3);
        if (!s->is_complete)
            boolean(out, "is_complete", false, 3);
        for (size_t k = 0; k < s->metrics.n_values; k++)
            put_metric(out, &s->metrics.values[k], 3);
        line(out, 2);
        buf_putc(out, '}');
    }
    buf_puts(out, "\n  ],\n  \"input_config\": ");
    report_json_config(out, r->options, 1);
    buf_puts(out, "\n}");
}
