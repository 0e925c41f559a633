#include "client/physics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "client/devices.h"
#include "client/http.h"
#include "client/kept.h"

#define ASK_TIMEOUT_MS 2000
#define BUSY_PERCENT 5.0 /* a GPU that is busier takes part */

/* ---- what the server tells ------------------------------------------------------------------ */

static const struct model_info NOTHING = {NAN, NAN, NAN, "", 0};

static double number_at(const struct json *object, const char *key)
{
    double value = NAN;
    json_read_double(object, key, 0, 1e30, &value, NULL);
    return value;
}

void model_info_read(struct model_info *info, const struct json *list, const char *model)
{
    const struct json *data = json_get(list, "data"), *entry = json_first(data);
    const char *text = NULL;
    *info = NOTHING;
    for (const struct json *m = entry; m; m = json_next(m)) {
        const char *id = NULL;
        if (json_read_string(m, "id", &id, NULL) && id && strcmp(id, model) == 0)
            entry = m;
    }
    if (!entry || json_type(entry) != JSON_OBJECT)
        return;
    info->flops_per_image = number_at(entry, "flops_per_image");
    info->step_weight_bytes = number_at(entry, "step_weight_bytes");
    info->peak_flops = number_at(entry, "device_peak_flops");
    double n = number_at(entry, "device_count");
    info->n_devices = n >= 1 && n < 10000 ? (int)n : 0;
    if (json_read_string(entry, "device", &text, NULL) && text)
        snprintf(info->device, sizeof info->device, "%.127s", text);
}

bool model_info_fetch(struct model_info *info, const struct options *o, struct error *err)
{
    struct buf url = {0}, answer = {0};
    int status = 0;
    *info = NOTHING;
    request_base(&url, o->target.urls[0]);
    buf_puts(&url, "/v1/models");
    bool ok = http_fetch(url.data, &o->target.connect, &o->target.extra, NULL, ASK_TIMEOUT_MS, NULL,
                         &answer, &status, err);
    if (ok && status != 200)
        ok = fail(err, ERR_IO, "GET %s: status %d", url.data, status);
    struct json *list = ok ? json_parse(answer.data ? answer.data : "", answer.size, err) : NULL;
    if (list)
        model_info_read(info, list, o->model);
    json_free(list);
    buf_free(&url);
    buf_free(&answer);
    return list != NULL;
}

/* ---- the arithmetic ------------------------------------------------------------------------- */

static double seconds_of(const struct record *r) { return clock_seconds(r->end_ns - r->start_ns); }

/* Of one successful request; NaN: not known. */
static double flops_of(const struct record *r, double per_image)
{
    if (r->stages && r->stages->flops > 0)
        return r->stages->flops;
    return per_image * (double)r->n_decoded;
}

static void add_up(struct physics *p, const struct report *r, double per_image, const char *source)
{
    const struct report_phase *phase = report_main_phase(r);
    size_t n_told = 0, n_known = 0;
    for (size_t i = 0; i < phase->n_records; i++) {
        const struct record *record = phase->records[i];
        double flops = record_succeeded(record) ? flops_of(record, per_image) : NAN;
        kept_pass(phase->kept, i);
        if (isnan(flops))
            continue;
        n_known++;
        n_told += record->stages && record->stages->flops > 0;
        p->flops += flops;
        p->request_flops_per_s = fmax(p->request_flops_per_s, flops / seconds_of(record));
    }
    double window_s = clock_seconds(phase->load.end_ns - phase->load.start_ns);
    p->is_known = n_known > 0 && window_s > 0;
    p->source = n_told > 0 ? "answers" : source;
    p->flops_per_s = p->flops / window_s;
}

/* ---- the device ----------------------------------------------------------------------------- */

/* The GPUs that took part, when all of them have the same name; how many. */
static int find_gpus(const struct report *r, const char **name)
{
    const struct load_result *window = &report_main_phase(r)->load;
    int n_busy = 0, n_all = 0;
    for (size_t i = 0; r->telemetry && i < r->telemetry->n_sources; i++) {
        struct gpus *g = &r->telemetry->sources[i].gpus;
        for (size_t k = 0; k < g->n; k++) {
            struct timeline_level level;
            const struct timeline_series *s =
                timeline_find(&g->timeline, GPU_UTILIZATION, "gpu", g->items[k].uuid);
            if (*name && strcmp(*name, g->items[k].name) != 0)
                return 0;
            *name = g->items[k].name;
            n_all++;
            n_busy += s &&
                      timeline_level(&g->timeline, s, window->start_ns, window->end_ns, &level) &&
                      level.stats.avg > BUSY_PERCENT;
        }
    }
    return n_busy > 0 ? n_busy : n_all > 0;
}

static void find_device(struct physics *p, const struct report *r, const struct model_info *info)
{
    const struct options *o = r->options;
    const char *gpu = NULL, *name = o->device;
    int n_gpus = find_gpus(r, &gpu);
    p->device_source = name ? "--device" : NULL;
    if (!name && n_gpus > 0) {
        name = gpu;
        p->device_source = "gpu";
    } else if (!name && info && *info->device) {
        name = info->device;
        p->device_source = "server";
    }
    snprintf(p->device, sizeof p->device, "%.127s", name ? name : "");
    p->n_devices = o->n_devices > 0              ? (int)o->n_devices
                   : info && info->n_devices > 0 ? info->n_devices
                   : n_gpus > 0                  ? n_gpus
                                                 : 1;
    const struct device *known = name ? device_find(name) : NULL;
    double peak = NAN, bandwidth = o->device_bandwidth > 0 ? o->device_bandwidth : NAN;
    if (o->device_peak_flops > 0) {
        peak = o->device_peak_flops;
        p->peak_source = "--device-peak-flops";
    } else if (known) {
        peak = known->peak_flops;
        p->peak_source = "table";
    } else if (info && info->peak_flops > 0) {
        peak = info->peak_flops;
        p->peak_source = "measured";
    }
    if (isnan(bandwidth) && known)
        bandwidth = known->bandwidth;
    p->peak_flops = peak * p->n_devices;
    p->bandwidth = bandwidth * p->n_devices;
    p->share = p->flops_per_s / p->peak_flops;
    p->request_share = p->request_flops_per_s / p->peak_flops;
}

/* Whatever is batched, each step of a request waits for all weights to come by once. */
static void find_bound(struct physics *p, const struct report *r, const struct model_info *info)
{
    const struct report_phase *phase = report_main_phase(r);
    p->bound_s = p->bound_request_s = NAN;
    if (!info || !(info->step_weight_bytes >= PHYSICS_CACHE_BYTES) || isnan(p->bandwidth))
        return;
    for (size_t i = 0; i < phase->n_records; i++) {
        const struct record *record = phase->records[i];
        kept_pass(phase->kept, i);
        if (!record_succeeded(record) || !record->stages || record->stages->n_steps == 0)
            continue;
        double bound_s = (double)record->stages->n_steps * info->step_weight_bytes / p->bandwidth;
        double took_s = seconds_of(record);
        if (isnan(p->bound_s) || took_s / bound_s < p->bound_request_s / p->bound_s) {
            p->bound_s = bound_s;
            p->bound_request_s = took_s;
        }
    }
}

static void judge(struct physics *p)
{
    bool is_measured = p->peak_source && strcmp(p->peak_source, "measured") == 0;
    if (p->share > 1 && !is_measured)
        snprintf(p->why, sizeof p->why,
                 "the run did %.0f %% of what %d x %.60s can do: images were not made in this time",
                 p->share * 100, p->n_devices, *p->device ? p->device : "the device");
    else if (p->request_share > 1 && !is_measured)
        snprintf(p->why, sizeof p->why,
                 "a request did %.0f %% of what %d x %.60s can do in its time",
                 p->request_share * 100, p->n_devices, *p->device ? p->device : "the device");
    else if (p->bound_request_s < p->bound_s)
        snprintf(p->why, sizeof p->why,
                 "a request took %.3g s, but reading the weights once a step takes %.3g s",
                 p->bound_request_s, p->bound_s);
    p->is_impossible = *p->why != '\0';
}

void physics_compute(struct physics *p, const struct report *r, const struct model_info *info)
{
    *p = (struct physics){.peak_flops = NAN, .bandwidth = NAN};
    bool is_given = r->options->model_flops > 0;
    double per_image = is_given ? r->options->model_flops : info ? info->flops_per_image : NAN;
    add_up(p, r, per_image, is_given ? "--model-flops" : "model");
    if (!p->is_known)
        return;
    find_device(p, r, info);
    find_bound(p, r, info);
    judge(p);
}

void physics_put_scaled(struct buf *out, double value, const char *unit)
{
    static const char *const PREFIXES[] = {"", "K", "M", "G", "T", "P", "E", "Z"};
    size_t power = 0;
    while (value >= 1000 && power + 1 < sizeof PREFIXES / sizeof PREFIXES[0]) {
        value /= 1000;
        power++;
    }
    buf_printf(out, "%.4g %s%s", value, PREFIXES[power], unit);
}
