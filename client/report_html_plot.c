#include "client/report_html_plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/base64.h"
#include "base/clock.h"
#include "client/answer.h"
#include "client/lines.h"
#include "client/manifest.h"
#include "client/report_html.h"
#include "client/telemetry_series.h"

struct plot_options {
    const char *prefix;
};

static const struct option OPTIONS[] = {
    {"--profile-export-prefix", "--profile-export-file", "NAME", ARG_STRING,
     offsetof(struct plot_options, prefix), .group = "Options",
     .help = "first part of the file names, as it was given to profile"},
};
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

struct plot {
    struct report_html_point *points; /* owned */
    size_t n_points;
    struct report_html_images images;
};

/* ---- lines ---------------------------------------------------------------------------------- */

static bool is_measured(const struct json *metadata)
{
    const char *phase = NULL;
    return json_read_string(metadata, "benchmark_phase", &phase, NULL) && phase &&
           strcmp(phase, "profiling") == 0;
}

/* A Unix time in seconds; NaN when it is not told. */
static double seconds_of(const struct json *metadata, const char *key)
{
    const struct json *ns = json_get(metadata, key);
    return ns && json_type(ns) == JSON_NUMBER ? json_number(ns) / (double)NS_PER_S : NAN;
}

/* Leaves *ms as it is when the line does not have the metric. */
static bool read_value(const struct json *metrics, const char *tag, double *ms)
{
    const struct json *value = json_get(json_get(metrics, tag), "value");
    if (!value || json_type(value) != JSON_NUMBER)
        return false;
    *ms = json_number(value);
    return true;
}

/* ---- requests ------------------------------------------------------------------------------- */

static bool read_times(struct report_html_point *p, const struct json *metadata, struct error *err)
{
    p->start_s = seconds_of(metadata, "request_start_ns");
    p->end_s = seconds_of(metadata, "request_end_ns");
    p->due_s = seconds_of(metadata, "credit_issued_ns");
    if (isnan(p->due_s))
        p->due_s = p->start_s;
    return !(isnan(p->start_s) || isnan(p->end_s)) ||
           fail(err, ERR_INVALID,
                "no record of a request: metadata.request_start_ns and request_end_ns must be "
                "numbers");
}

static void read_parts(struct report_html_point *p, const struct json *metrics)
{
    double total = 0;
    p->has_parts = read_value(metrics, "server_total_time", &total);
    for (size_t k = 0; k < REPORT_HTML_PARTS && p->has_parts; k++)
        read_value(metrics, REPORT_HTML_PART[k].tag, &p->part_ms[k]);
    if (p->has_parts)
        report_html_data_close_parts(p, total);
}

static bool add_record(struct plot *plot, const struct json *line, struct error *err)
{
    const struct json *metadata = json_get(line, "metadata"), *metrics = json_get(line, "metrics");
    const struct json *canceled = json_get(metadata, "was_cancelled");
    struct report_html_point p = {.succeeded = true};
    if (metadata && json_get(metadata, "benchmark_phase") && !is_measured(metadata))
        return true; /* warm-up */
    if (!read_times(&p, metadata, err))
        return false;
    if (json_get(line, "error") ||
        (canceled && json_type(canceled) == JSON_BOOL && json_bool(canceled)))
        p.succeeded = false;
    p.ms[REPORT_HTML_RESPONSE] = (p.end_s - p.due_s) * 1000;
    p.ms[REPORT_HTML_LATENCY] = (p.end_s - p.start_s) * 1000;
    read_value(metrics, "response_time", &p.ms[REPORT_HTML_RESPONSE]);
    read_value(metrics, "request_latency", &p.ms[REPORT_HTML_LATENCY]);
    if (p.succeeded)
        read_parts(&p, metrics);
    if ((plot->n_points & (plot->n_points - 1)) == 0) /* full at every power of two */
        plot->points = xrealloc(plot->points,
                                (plot->n_points ? 2 * plot->n_points : 1) * sizeof *plot->points);
    plot->points[plot->n_points++] = p;
    return true;
}

static bool read_record(void *self, const char *line, size_t size, struct error *err)
{
    struct json *record = json_parse(line, size, err);
    bool ok = record && add_record(self, record, err);
    json_free(record);
    return ok;
}

static void fill(struct report_html_data *d, const struct plot *plot)
{
    double from_s = INFINITY, to_s = -INFINITY;
    for (size_t i = 0; i < plot->n_points; i++) {
        from_s = fmin(from_s, plot->points[i].due_s);
        to_s = fmax(to_s, plot->points[i].end_s);
    }
    report_html_data_begin(d, plot->n_points ? from_s : 0, plot->n_points ? to_s : 0);
    for (size_t i = 0; i < plot->n_points; i++)
        report_html_data_add(d, &plot->points[i]);
    report_html_data_finish(d);
}

/* ---- pictures ------------------------------------------------------------------------------- */

static void take_picture(struct plot *plot, const struct json *entry, const char *prompt,
                         double latency_ms)
{
    const char *b64 = NULL;
    struct buf file = {0};
    struct image pixels = {0};
    if (!json_read_string(entry, "b64_json", &b64, NULL) || !b64)
        return;
    if (strncmp(b64, "data:", 5) == 0 && strchr(b64, ','))
        b64 = strchr(b64, ',') + 1;
    if (base64_decode(&file, b64, strlen(b64), NULL) &&
        image_decode(&pixels, file.data, file.size, ANSWER_MAX_SIDE_PX, NULL))
        report_html_images_add(&plot->images, file.data, file.size, &pixels, prompt, latency_ms);
    image_free(&pixels);
    buf_free(&file);
}

/* Answers without pictures are no error here: the records say so. */
static void take_pictures(struct plot *plot, const struct json *line)
{
    const struct json *metadata = json_get(line, "metadata");
    const char *prompt = NULL, *text = NULL;
    if (plot->images.is_full || !is_measured(metadata))
        return;
    double latency_ms =
        (seconds_of(metadata, "request_end_ns") - seconds_of(metadata, "request_start_ns")) * 1000;
    json_read_string(json_get(line, "payload"), "prompt", &prompt, NULL);
    for (const struct json *r = json_first(json_get(line, "responses")); r; r = json_next(r)) {
        struct json *answer = json_read_string(r, "text", &text, NULL) && text
                                  ? json_parse(text, strlen(text), NULL)
                                  : NULL;
        const struct json *data = json_get(answer, "data");
        for (const struct json *entry = json_first(data); entry; entry = json_next(entry))
            take_picture(plot, entry, prompt, latency_ms);
        json_free(answer);
    }
}

static bool read_raw(void *self, const char *line, size_t size, struct error *err)
{
    struct json *exchange = json_parse(line, size, err);
    if (!exchange)
        return false;
    take_pictures(self, exchange);
    json_free(exchange);
    return true;
}

/* ---- the command ---------------------------------------------------------------------------- */

static char *path_of(const char *dir, const char *prefix, const char *standard, const char *tail)
{
    return xasprintf("%s/%s%s", dir, prefix ? prefix : standard, tail);
}

/* Read the lines of a run, and its pictures when they were kept. */
static bool read_run(struct plot *p, const char *dir, const char *prefix, struct error *err)
{
    char *lines = path_of(dir, prefix, "profile_export", ".jsonl");
    char *raw = path_of(dir, prefix, "profile_export", "_raw.jsonl");
    bool ok = file_exists(lines) ||
              fail(err, ERR_INVALID,
                   "%s: not there; profile writes it with --export-level records or raw", lines);
    ok = ok && lines_read(lines, read_record, p, err) &&
         (!file_exists(raw) || lines_read(raw, read_raw, p, err));
    free(lines);
    free(raw);
    return ok;
}

static bool write_page(const struct plot *p, const char *path, const struct json *summary,
                       const struct json *manifest, const struct json *series, struct error *err)
{
    struct report_html_data *data = xcalloc(1, sizeof *data);
    struct buf page = {0};
    fill(data, p);
    report_html_print(&page, summary, manifest, series, data, &p->images);
    bool ok = file_write(path, page.data, page.size, err);
    buf_free(&page);
    report_html_data_free(data);
    free(data);
    return ok;
}

static struct json *read_summary(const char *path, struct error *err)
{
    struct json *summary = NULL;
    if (!file_exists(path))
        fail(err, ERR_INVALID, "%s: not there; DIR must be the artifact directory of a run", path);
    else
        summary = json_read_file(path, err);
    if (summary && json_type(summary) != JSON_OBJECT) {
        fail(err, ERR_INVALID, "%s: must be a JSON object, not a %s", path,
             json_type_name(json_type(summary)));
        json_free(summary);
        return NULL;
    }
    return summary;
}

static bool draw(const char *dir, const char *prefix, struct error *err)
{
    struct plot p = {0};
    char *summary_path = path_of(dir, prefix, "profile_export_aiperf", ".json");
    char *manifest_path = xasprintf("%s/" MANIFEST_FILE, dir);
    char *page_path = xasprintf("%s/" REPORT_HTML_FILE, dir);
    char *series_path = prefix ? xasprintf("%s/%s_" TELEMETRY_SERIES_FILE, dir, prefix)
                               : xasprintf("%s/" TELEMETRY_SERIES_FILE, dir);
    struct json *summary = read_summary(summary_path, err), *manifest = NULL, *series = NULL;
    bool ok = summary != NULL;
    if (ok && file_exists(manifest_path)) {
        manifest = json_read_file(manifest_path, err);
        ok = manifest != NULL;
    }
    if (ok && file_exists(series_path)) {
        series = json_read_file(series_path, err);
        ok = series != NULL;
    }
    ok = ok && read_run(&p, dir, prefix, err) &&
         write_page(&p, page_path, summary, manifest, series, err);
    if (ok)
        printf("Report: %s\n", page_path);
    json_free(summary);
    json_free(manifest);
    json_free(series);
    free(series_path);
    report_html_images_free(&p.images);
    free(p.points);
    free(summary_path);
    free(manifest_path);
    free(page_path);
    return ok;
}

int report_html_plot_main(int argc, char **argv, int first)
{
    struct plot_options options = {0};
    struct arg_list names = {0};
    struct error err = {0};
    bool ok = args_parse(OPTIONS, N_OPTIONS, argc, argv, first, &options, &names, NULL, &err);
    if (ok && names.n_items != 1)
        ok = fail(&err, ERR_INVALID, "plot takes one directory, not %zu", names.n_items);
    ok = ok && draw(names.items[0], options.prefix, &err);
    args_free(&names);
    if (ok)
        return 0;
    int code = error_exit_code(err.code);
    fprintf(stderr, "fluxperf: error: %s\n", err.text);
    if (code == 2)
        fputs("fluxperf: see fluxperf plot --help\n", stderr);
    return code;
}

void report_html_plot_help(void)
{
    args_help("fluxperf plot DIR [option...]",
              "Draw " REPORT_HTML_FILE " again from the files that profile left in DIR: the "
              "summary, the record lines, and the raw export when there is one (it has the "
              "pictures).",
              OPTIONS, N_OPTIONS);
}
