#include "client/artifacts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/artifacts_telemetry.h"
#include "client/gpu_export.h"
#include "client/manifest.h"
#include "client/telemetry_series.h"

static char *path_of(const struct options *o, const char *standard, const char *tail)
{
    return o->prefix ? xasprintf("%s/%s%s", o->run_dir, o->prefix, tail)
                     : xasprintf("%s/%s%s", o->run_dir, standard, tail);
}

static void name_files(struct artifacts *a, const struct options *o)
{
    a->options = o;
    a->json = path_of(o, "profile_export_aiperf", ".json");
    a->csv = path_of(o, "profile_export_aiperf", ".csv");
    a->console = path_of(o, "profile_export", "_console.txt");
    a->lines = path_of(o, "profile_export", ".jsonl");
    a->raw = path_of(o, "profile_export", "_raw.jsonl");
    a->trace = path_of(o, "profile_export", "_trace.json");
    a->slices_json = path_of(o, "profile_export_aiperf", "_timeslices.json");
    a->slices_csv = path_of(o, "profile_export_aiperf", "_timeslices.csv");
    a->inputs = xasprintf("%s/inputs.json", o->run_dir);
    a->run_manifest = xasprintf("%s/" MANIFEST_FILE, o->run_dir);
    a->manifest = xasprintf("%s/phase_manifest.json", o->run_dir);
    a->report = xasprintf("%s/" REPORT_HTML_FILE, o->run_dir);
    a->ready = xasprintf("%s/.aiperf_results_ready.json", o->run_dir);
}

/* All but inputs.json: it is written anew before the run. */
static void remove_results(const struct artifacts *a)
{
    const char *const old[] = {a->json,     a->csv,         a->console,    a->lines,
                               a->raw,      a->slices_json, a->slices_csv, a->run_manifest,
                               a->manifest, a->trace,       a->report,     a->ready};
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++)
        unlink(old[i]);
    artifacts_telemetry_remove(a->options);
}

bool artifacts_open(struct artifacts *a, const struct options *o, const struct prompts *prompts,
                    struct error *err)
{
    name_files(a, o);
    a->prompts = prompts;
    struct file_writer inputs;
    bool ok = dir_make(o->run_dir, err) && file_begin(&inputs, a->inputs, err);
    if (ok) {
        prompts_print_inputs(prompts, inputs.file);
        ok = file_end(&inputs, err);
    }
    if (!ok)
        error_prefix(err, "artifact directory");
    else
        remove_results(a);
    return ok;
}

void artifacts_remove(const struct options *o)
{
    static const char *const PHASES[] = {"warmup", "profiling"};
    struct artifacts a = {0};
    name_files(&a, o);
    remove_results(&a);
    unlink(a.inputs);
    for (size_t i = 0; i < sizeof PHASES / sizeof PHASES[0]; i++) {
        const char *prefix = o->prefix ? o->prefix : "profile_export_aiperf";
        char *dir = xasprintf("%s/phases/%s", o->run_dir, PHASES[i]);
        char *json = xasprintf("%s/%s.json", dir, prefix),
             *csv = xasprintf("%s/%s.csv", dir, prefix);
        unlink(json);
        unlink(csv);
        rmdir(dir);
        free(dir);
        free(json);
        free(csv);
    }
    char *phases = xasprintf("%s/phases", o->run_dir);
    rmdir(phases);
    rmdir(o->run_dir);
    free(phases);
    artifacts_close(&a);
}

static bool write_buf(const char *path, struct buf *text, struct error *err)
{
    bool ok = file_write(path, text->data ? text->data : "", text->size, err);
    buf_free(text);
    return ok;
}

static bool write_summary(const char *json, const char *csv, const struct report *r,
                          const struct report_phase *phase, struct error *err)
{
    struct buf text = {0};
    report_json(&text, r, phase);
    if (!write_buf(json, &text, err))
        return false;
    report_csv(&text, &phase->metrics);
    if (phase == report_main_phase(r) && r->telemetry && telemetry_has_gpus(r->telemetry))
        gpu_export_csv(&text, r);
    return write_buf(csv, &text, err);
}

/* phases/<name>/ for each phase, when there is more than the measurement. */
static bool write_phases(const struct artifacts *a, const struct report *r, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < r->n_phases; i++) {
        const char *prefix = a->options->prefix ? a->options->prefix : "profile_export_aiperf";
        char *dir = xasprintf("%s/phases/%s", a->options->run_dir, r->phases[i].name);
        char *json = xasprintf("%s/%s.json", dir, prefix);
        char *csv = xasprintf("%s/%s.csv", dir, prefix);
        ok = dir_make(dir, err) && write_summary(json, csv, r, &r->phases[i], err);
        free(dir);
        free(json);
        free(csv);
    }
    struct buf text = {0};
    report_json_manifest(&text, r);
    return write_buf(a->manifest, &text, err) && ok;
}

static bool write_slices(const struct artifacts *a, const struct report *r, struct error *err)
{
    struct buf text = {0};
    report_slices_json(&text, r);
    if (!write_buf(a->slices_json, &text, err))
        return false;
    report_slices_csv(&text, r);
    return write_buf(a->slices_csv, &text, err);
}

/* Together, since the report quotes the manifest. */
static bool write_manifest_and_report(const struct artifacts *a, const struct report *r,
                                      struct error *err)
{
    struct buf manifest = {0}, summary = {0}, series = {0}, page = {0};
    manifest_print(&manifest, r, a->prompts);
    report_json(&summary, r, report_main_phase(r));
    if (r->telemetry)
        telemetry_series_json(&series, r);
    bool ok = file_write(a->run_manifest, manifest.data, manifest.size, err) &&
              (!r->telemetry || artifacts_telemetry_write(r, &series, err)) &&
              report_html(&page, r, &summary, &manifest, &series, &a->images, err) &&
              file_write(a->report, page.data, page.size, err);
    buf_free(&manifest);
    buf_free(&summary);
    buf_free(&series);
    buf_free(&page);
    return ok;
}

/* The last file: whoever watches the directory knows that all others are complete. */
static bool write_ready(const struct artifacts *a, const struct report *r, struct error *err)
{
    struct buf text = {0};
    buf_printf(&text, "{\"ready\":true,\"was_cancelled\":%s,\"partial\":%s}",
               r->was_canceled ? "true" : "false", r->incomplete_reason ? "true" : "false");
    bool ok = write_buf(a->ready, &text, err);
    if (ok)
        chmod(a->ready, S_IRUSR | S_IWUSR);
    return ok;
}

bool artifacts_write(const struct artifacts *a, const struct report *r, struct buf *console,
                     struct error *err)
{
    report_console(console, r);
    return write_summary(a->json, a->csv, r, report_main_phase(r), err) &&
           file_write(a->console, console->data, console->size, err) &&
           (r->n_phases < 2 || write_phases(a, r, err)) &&
           (r->options->slice_s <= 0 || write_slices(a, r, err)) &&
           write_manifest_and_report(a, r, err) && write_ready(a, r, err);
}

void artifacts_close(struct artifacts *a)
{
    char *const paths[] = {a->json,        a->csv,        a->console, a->lines,        a->raw,
                           a->slices_json, a->slices_csv, a->inputs,  a->run_manifest, a->manifest,
                           a->trace,       a->report,     a->ready};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        free(paths[i]);
    report_html_images_free(&a->images);
}
