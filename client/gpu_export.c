#include "client/gpu_export.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/server_metrics.h"

/* In the order of STATS_RANKS. */
static const char *const RANKS[STATS_PERCENTILES] = {"p1",  "p5",  "p10", "p25", "p50",
                                                     "p75", "p90", "p95", "p99"};

/* ---- one field of one GPU ------------------------------------------------------------------- */

/* A level as a distribution; a counter as its rise, in avg. False: nothing in the window. */
static bool summarise(struct gpus *g, const struct gpu *gpu, const struct gpu_field *field,
                      const struct load_result *window, struct stats *out)
{
    const struct timeline_series *s = timeline_find(&g->timeline, field->tag, "gpu", gpu->uuid);
    struct timeline_level level;
    double rise, seconds;
    if (!s)
        return false;
    if (field->is_counter) {
        if (!timeline_rise(&g->timeline, s, window->start_ns, window->end_ns, &rise, &seconds))
            return false;
        *out = stats_compute(NULL, 0);
        out->avg = rise;
        return true;
    }
    if (!timeline_level(&g->timeline, s, window->start_ns, window->end_ns, &level))
        return false;
    *out = level.stats;
    return true;
}

static struct json *metric_of(const struct stats *s, const char *unit)
{
    struct json *o = json_new_object();
    json_set(o, "unit", json_new_string(unit));
    json_set_known(o, "avg", s->avg);
    for (size_t i = 0; i < STATS_PERCENTILES; i++)
        json_set_known(o, RANKS[i], s->p[i]);
    json_set_known(o, "min", s->min);
    json_set_known(o, "max", s->max);
    json_set_known(o, "std", s->std);
    if (s->count > 0)
        json_set(o, "count", json_new_int((int64_t)s->count));
    json_set_known(o, "sum", s->sum);
    return o;
}

/* ---- the summary ---------------------------------------------------------------------------- */

static struct json *reasons_of(const struct gpus *g, const struct gpu *gpu,
                               const struct load_result *window)
{
    double shares[16];
    struct json *o = json_new_object();
    if (gpus_reasons(g, gpu->uuid, window->start_ns, window->end_ns, shares)) {
        for (size_t i = 0; i < N_GPU_REASONS; i++) {
            if (shares[i] > 0)
                json_set_known(o, GPU_REASONS[i].name, shares[i]);
        }
    }
    return o;
}

static struct json *gpu_of(struct gpus *g, const struct gpu *gpu, const struct load_result *window)
{
    struct json *o = json_new_object(), *metrics = json_new_object();
    json_set(o, "gpu_index", json_new_int(gpu->index));
    json_set(o, "gpu_name", json_new_string(gpu->name));
    json_set(o, "gpu_uuid", json_new_string(gpu->uuid));
    json_set(o, "platform", json_new_string("nvidia"));
    json_set(o, "hostname", gpu->host ? json_new_string(gpu->host) : json_new_null());
    for (size_t i = 0; i < N_GPU_FIELDS; i++) {
        struct stats stats;
        if (summarise(g, gpu, &GPU_FIELDS[i], window, &stats))
            json_set(metrics, GPU_FIELDS[i].tag, metric_of(&stats, GPU_FIELDS[i].unit));
    }
    json_set(o, "metrics", metrics);
    json_set(o, "throttle_reasons", reasons_of(g, gpu, window));
    return o;
}

static struct json *endpoint_of(struct telemetry_source *s, const struct load_result *window)
{
    struct json *o = json_new_object(), *gpus = json_new_object();
    for (size_t i = 0; i < s->gpus.n; i++) {
        char key[32];
        snprintf(key, sizeof key, "gpu_%d", s->gpus.items[i].index);
        json_set(gpus, key, gpu_of(&s->gpus, &s->gpus.items[i], window));
    }
    json_set(o, "gpus", gpus);
    return o;
}

struct json *gpu_export_summary(const struct report *r)
{
    const struct load_result *window = &report_main_phase(r)->load;
    struct json *root = json_new_object(), *summary = json_new_object();
    struct json *configured = json_new_array(), *successful = json_new_array();
    struct json *endpoints = json_new_object();
    char date[REPORT_DATE_SIZE];
    for (size_t i = 0; i < r->telemetry->n_sources; i++) {
        struct telemetry_source *s = &r->telemetry->sources[i];
        if (s->kind == TELEMETRY_SERVER)
            continue;
        json_push(configured, json_new_string(s->url));
        if (s->gpus.n == 0)
            continue;
        json_push(successful, json_new_string(s->url));
        struct buf name = {0};
        server_metrics_put_endpoint(&name, s->url);
        json_set(endpoints, name.data, endpoint_of(s, window));
        buf_free(&name);
    }
    json_set(summary, "endpoints_configured", configured);
    json_set(summary, "endpoints_successful", successful);
    report_date(date, window->start_ns + r->unix_offset_ns);
    json_set(summary, "start_time", json_new_string(date));
    report_date(date, window->end_ns + r->unix_offset_ns);
    json_set(summary, "end_time", json_new_string(date));
    json_set(root, "summary", summary);
    json_set(root, "endpoints", endpoints);
    json_set(root, "error_summary", json_new_array());
    return root;
}

/* ---- CSV ------------------------------------------------------------------------------------ */

static void put_row(struct buf *out, const struct telemetry_source *s, const struct gpu *gpu,
                    const struct gpu_field *field, const struct stats *stats)
{
    const double values[] = {stats->avg,    stats->min,    stats->max,    stats->sum,
                             stats->p[P1],  stats->p[P5],  stats->p[P10], stats->p[P25],
                             stats->p[P50], stats->p[P75], stats->p[P90], stats->p[P95],
                             stats->p[P99], stats->std};
    struct buf text = {0};
    server_metrics_put_endpoint(&text, s->url);
    report_csv_cell(out, text.data);
    buf_printf(out, ",%d,", gpu->index);
    report_csv_cell(out, gpu->name);
    buf_putc(out, ',');
    report_csv_cell(out, gpu->uuid);
    buf_printf(out, ",nvidia,%s (%s)", field->name, field->unit);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        buf_putc(out, ',');
        if (isfinite(values[i]))
            buf_printf(out, "%.2f", values[i]);
    }
    buf_puts(out, "\r\n");
    buf_free(&text);
}

void gpu_export_csv(struct buf *out, const struct report *r)
{
    const struct load_result *window = &report_main_phase(r)->load;
    buf_puts(out, "\r\n\r\nEndpoint,GPU_Index,GPU_Name,GPU_UUID,Platform,Metric");
    for (size_t k = 0; REPORT_STATS[k]; k++)
        buf_printf(out, ",%s", REPORT_STATS[k]);
    buf_puts(out, "\r\n");
    for (size_t i = 0; i < r->telemetry->n_sources; i++) {
        struct telemetry_source *s = &r->telemetry->sources[i];
        for (size_t k = 0; k < s->gpus.n * N_GPU_FIELDS; k++) {
            const struct gpu *gpu = &s->gpus.items[k / N_GPU_FIELDS];
            const struct gpu_field *field = &GPU_FIELDS[k % N_GPU_FIELDS];
            struct stats stats;
            if (summarise(&s->gpus, gpu, field, window, &stats))
                put_row(out, s, gpu, field, &stats);
        }
    }
}

/* ---- lines ---------------------------------------------------------------------------------- */

static struct json *values_of(const struct gpus *g, const struct gpu *gpu, size_t column)
{
    struct json *o = json_new_object();
    for (size_t i = 0; i < N_GPU_FIELDS; i++) {
        const struct timeline_series *s =
            timeline_find(&g->timeline, GPU_FIELDS[i].tag, "gpu", gpu->uuid);
        if (s)
            json_set_known(o, GPU_FIELDS[i].tag, s->values[column]);
    }
    return o;
}

static void put_line(struct buf *out, const struct telemetry_source *s, const struct gpu *gpu,
                     int64_t unix_ns, struct json *values)
{
    struct json *line = json_new_object();
    json_set(line, "gpu_index", json_new_int(gpu->index));
    json_set(line, "gpu_uuid", json_new_string(gpu->uuid));
    json_set(line, "gpu_model_name", json_new_string(gpu->name));
    if (gpu->host)
        json_set(line, "hostname", json_new_string(gpu->host));
    json_set(line, "platform", json_new_string("nvidia"));
    json_set(line, "timestamp_ns", json_new_int(unix_ns));
    json_set(line, "telemetry_source_url", json_new_string(s->url));
    json_set(line, "telemetry_data", values);
    json_print(out, line, 0);
    buf_putc(out, '\n');
    json_free(line);
}

void gpu_export_lines(struct buf *out, const struct report *r)
{
    for (size_t i = 0; i < r->telemetry->n_sources; i++) {
        const struct telemetry_source *s = &r->telemetry->sources[i];
        const struct timeline *t = &s->gpus.timeline;
        for (size_t k = 0; k < t->n_columns * s->gpus.n; k++) {
            size_t column = k / s->gpus.n;
            const struct gpu *gpu = &s->gpus.items[k % s->gpus.n];
            struct json *values = values_of(&s->gpus, gpu, column);
            if (json_size(values) > 0)
                put_line(out, s, gpu, t->at_ns[column] + r->unix_offset_ns, values);
            else
                json_free(values);
        }
    }
}
