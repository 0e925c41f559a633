#include "client/artifacts_telemetry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/gpu_export.h"
#include "client/metrics_formats.h"
#include "client/server_metrics.h"
#include "client/server_metrics_lines.h"
#include "client/telemetry_series.h"

enum { SERVER_CSV, SERVER_JSON, SERVER_LINES, GPU_LINES, SERIES, N_FILES };

static const struct {
    const char *standard, *tail; /* without and behind a prefix */
    const char *title;           /* on stdout; NULL: not named */
} FILES[N_FILES] = {
    [SERVER_CSV] = {"server_metrics_export.csv", "_server_metrics.csv",
                    "Server Metrics CSV Export"},
    [SERVER_JSON] = {"server_metrics_export.json", "_server_metrics.json",
                     "Server Metrics JSON Export"},
    [SERVER_LINES] = {"server_metrics_export.jsonl", "_server_metrics.jsonl",
                      "Server Metrics JSONL Export"},
    [GPU_LINES] = {"gpu_telemetry_export.jsonl", "_gpu_telemetry.jsonl", "GPU Telemetry Export"},
    [SERIES] = {TELEMETRY_SERIES_FILE, "_" TELEMETRY_SERIES_FILE, NULL},
};

static char *path_of(const struct options *o, int file)
{
    return o->prefix ? xasprintf("%s/%s%s", o->run_dir, o->prefix, FILES[file].tail)
                     : xasprintf("%s/%s", o->run_dir, FILES[file].standard);
}

static bool is_wanted(const struct report *r, int file)
{
    if (!r->telemetry)
        return false;
    if (file == SERIES)
        return true;
    if (file == GPU_LINES)
        return telemetry_has_gpus(r->telemetry);
    static const char *const FORMATS[] = {
        [SERVER_CSV] = "csv", [SERVER_JSON] = "json", [SERVER_LINES] = "jsonl"};
    return server_metrics_exist(r->telemetry) &&
           metrics_formats_have(r->options->server_metrics_formats, FORMATS[file]);
}

void artifacts_telemetry_remove(const struct options *o)
{
    for (int i = 0; i < N_FILES; i++) {
        char *path = path_of(o, i);
        unlink(path);
        free(path);
    }
}

static void print(struct buf *out, const struct report *r, int file,
                  const struct server_metrics *metrics)
{
    if (file == SERVER_CSV)
        server_metrics_csv(out, metrics, r);
    else if (file == SERVER_JSON)
        server_metrics_json(out, metrics, r);
    else
        gpu_export_lines(out, r);
}

/* Line by line: there may be many. */
static bool write_lines(const char *path, const struct report *r, struct error *err)
{
    struct file_writer file;
    if (!file_begin(&file, path, err))
        return false;
    server_metrics_lines(file.file, r);
    return file_end(&file, err);
}

bool artifacts_telemetry_write(const struct report *r, const struct buf *series, struct error *err)
{
    struct server_metrics metrics = {0};
    bool ok = true;
    if (r->telemetry)
        server_metrics_compute(&metrics, r->telemetry, report_main_phase(r)->load.start_ns,
                               report_main_phase(r)->load.end_ns);
    for (int i = 0; ok && i < N_FILES; i++) {
        struct buf text = {0};
        char *path = path_of(r->options, i);
        if (is_wanted(r, i) && i == SERIES) {
            ok = file_write(path, series->data, series->size, err);
        } else if (is_wanted(r, i) && i == SERVER_LINES) {
            ok = write_lines(path, r, err);
        } else if (is_wanted(r, i)) {
            print(&text, r, i, &metrics);
            ok = file_write(path, text.data ? text.data : "", text.size, err);
        }
        free(path);
        buf_free(&text);
    }
    server_metrics_free(&metrics);
    return ok;
}

void artifacts_telemetry_print(const struct report *r)
{
    for (int i = 0; i < N_FILES; i++) {
        char *path = path_of(r->options, i);
        if (FILES[i].title && is_wanted(r, i))
            printf("%s: %s\n", FILES[i].title, path);
        free(path);
    }
}
