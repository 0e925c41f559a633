#include "client/gpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

/* clang-format off */
const struct gpu_field GPU_FIELDS[] = {
    {GPU_POWER, "NVIDIA GPU Power Usage", "W", false, {"DCGM_FI_DEV_POWER_USAGE"}, 1},
    {GPU_ENERGY, "NVIDIA Energy Consumption", "MJ", true, {"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"}, 1e-9},
    {GPU_UTILIZATION, "NVIDIA GPU Utilization", "%", false, {"DCGM_FI_DEV_GPU_UTIL"}, 1},
    {"nvidia_memory_utilization", "NVIDIA Memory Utilization", "%", false, {"DCGM_FI_DEV_MEM_COPY_UTIL"}, 1},
    {"nvidia_memory_used", "NVIDIA GPU Memory Used", "GB", false, {"DCGM_FI_DEV_FB_USED"}, 1.048576e-3},
    {"nvidia_temperature", "NVIDIA GPU Temperature", "°C", false, {"DCGM_FI_DEV_GPU_TEMP"}, 1},
    {"nvidia_sm_utilization", "NVIDIA SM Utilization", "%", false, {"DCGM_FI_PROF_SM_ACTIVE"}, 100},
    {"nvidia_sm_clock", "NVIDIA SM Clock", "MHz", false, {"DCGM_FI_DEV_SM_CLOCK"}, 1},
    {"nvidia_memory_clock", "NVIDIA Memory Clock", "MHz", false, {"DCGM_FI_DEV_MEM_CLOCK"}, 1},
    {GPU_THROTTLE, "NVIDIA Throttle Reasons", "bits", false,
     {"DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "DCGM_FI_DEV_CLOCKS_EVENT_REASONS"}, 1},
    {"nvidia_xid_errors", "NVIDIA XID Errors", "count", true, {"DCGM_FI_DEV_XID_ERRORS"}, 1},
    {"nvidia_power_violation", "NVIDIA Power Violation", "us", true, {"DCGM_FI_DEV_POWER_VIOLATION"}, 1e-3},
};
const size_t N_GPU_FIELDS = sizeof GPU_FIELDS / sizeof GPU_FIELDS[0];

/* Source: nvml.h, nvmlClocksThrottleReasons. */
const struct gpu_reason GPU_REASONS[] = {
    {0x1, "idle", false},
    {0x2, "application_clocks", false},
    {0x4, "power_cap", true},
    {0x8, "hardware_slowdown", true},
    {0x10, "sync_boost", false},
    {0x20, "thermal", true},
    {0x40, "hardware_thermal", true},
    {0x80, "power_brake", true},
    {0x100, "display_clocks", false},
};
const size_t N_GPU_REASONS = sizeof GPU_REASONS / sizeof GPU_REASONS[0];
/* clang-format on */

const char *gpus_add(struct gpus *g, const char *uuid, const char *name, const char *host,
                     int index)
{
    for (size_t i = 0; i < g->n; i++) {
        if (strcmp(g->items[i].uuid, uuid) == 0)
            return g->items[i].uuid;
    }
    g->items = xrealloc(g->items, (g->n + 1) * sizeof *g->items);
    g->items[g->n] = (struct gpu){.uuid = xstrdup(uuid),
                                  .name = xstrdup(name ? name : "GPU"),
                                  .host = host ? xstrdup(host) : NULL,
                                  .index = index};
    return g->items[g->n++].uuid;
}

void gpus_put(struct gpus *g, const char *uuid, const char *field, double value)
{
    timeline_put_one(&g->timeline, field, "gpu", uuid, value);
}

/* ---- DCGM ----------------------------------------------------------------------------------- */

#define MAX_GPUS 64 /* of a source; an exporter tells those of one machine */

struct dcgm {
    struct gpus *gpus;
    size_t n_values;
};

static const char *label_of(const struct prometheus_sample *s, const char *name)
{
    for (size_t i = 0; i < s->n_labels; i++) {
        if (strcmp(s->labels[i].name, name) == 0)
            return s->labels[i].value;
    }
    return NULL;
}

static const struct gpu_field *field_of_dcgm(const char *name)
{
    for (size_t i = 0; i < N_GPU_FIELDS; i++) {
        for (size_t k = 0; k < 2 && GPU_FIELDS[i].dcgm[k]; k++) {
            if (strcmp(GPU_FIELDS[i].dcgm[k], name) == 0)
                return &GPU_FIELDS[i];
        }
    }
    return NULL;
}

static void on_sample(void *self, const struct prometheus_sample *s)
{
    struct dcgm *d = self;
    const struct gpu_field *field = field_of_dcgm(s->name);
    const char *index = label_of(s, "gpu"), *uuid = label_of(s, "UUID");
    /* slices of a GPU (MIG) come with the whole one's labels: they would overwrite its values */
    if (!field || (!uuid && !index) || label_of(s, "GPU_I_ID") || d->gpus->n == MAX_GPUS)
        return;
    uuid = gpus_add(d->gpus, uuid ? uuid : index, label_of(s, "modelName"), label_of(s, "Hostname"),
                    index ? (int)(strtol(index, NULL, 10) & 0xffff) : 0);
    gpus_put(d->gpus, uuid, field->tag, s->value * field->dcgm_scale);
    d->n_values++;
}

static void ignore_type(void *self, const char *family, enum prometheus_type type)
{
    (void)self, (void)family, (void)type;
}

static void ignore_help(void *self, const char *family, const char *text)
{
    (void)self, (void)family, (void)text;
}

size_t gpus_scrape_dcgm(struct gpus *g, int64_t at_ns, const char *text, size_t size)
{
    struct dcgm d = {g, 0};
    const struct prometheus_sink sink = {&d, ignore_type, ignore_help, on_sample};
    timeline_begin(&g->timeline, at_ns);
    prometheus_parse(text, size, &sink);
    return d.n_values;
}

void gpus_free(struct gpus *g)
{
    for (size_t i = 0; i < g->n; i++) {
        free(g->items[i].uuid);
        free(g->items[i].name);
        free(g->items[i].host);
    }
    free(g->items);
    timeline_free(&g->timeline);
    *g = (struct gpus){0};
}

/* ---- throttling ----------------------------------------------------------------------------- */

bool gpus_reasons(const struct gpus *g, const char *uuid, int64_t from_ns, int64_t to_ns,
                  double *shares)
{
    const struct timeline *t = &g->timeline;
    const struct timeline_series *s = timeline_find(t, GPU_THROTTLE, "gpu", uuid);
    size_t n = 0;
    memset(shares, 0, N_GPU_REASONS * sizeof *shares);
    for (size_t i = 0; s && i < t->n_columns; i++) {
        double value = s->values[i];
        if (!(value >= 0 && value < 0x1p32) || t->at_ns[i] < from_ns || t->at_ns[i] > to_ns)
            continue;
        n++;
        for (size_t k = 0; k < N_GPU_REASONS; k++)
            shares[k] += ((unsigned)value & GPU_REASONS[k].bit) != 0;
    }
    for (size_t k = 0; k < N_GPU_REASONS && n > 0; k++)
        shares[k] /= (double)n;
    return n > 0;
}

/* ---- energy --------------------------------------------------------------------------------- */

#define J_PER_MJ 1e6 /* a megajoule, as AIPerf has it */

/* The part within the window of a straight line between two looks. */
static double piece(int64_t t0, double v0, int64_t t1, double v1, int64_t from_ns, int64_t to_ns)
{
    int64_t a = t0 > from_ns ? t0 : from_ns, b = t1 < to_ns ? t1 : to_ns;
    if (b <= a)
        return 0;
    double slope = (v1 - v0) / (double)(t1 - t0);
    return (v0 + slope * ((double)(a - t0) + (double)(b - t0)) / 2) * clock_seconds(b - a);
}

/* Power over the window: level before the first look and after the last one. NaN: no look. */
static double integrate(const struct timeline *t, const struct timeline_series *s, int64_t from_ns,
                        int64_t to_ns)
{
    double joules = 0, value = NAN;
    int64_t at_ns = INT64_MIN / 2;
    for (size_t i = 0; i < t->n_columns; i++) {
        if (isnan(s->values[i]))
            continue;
        joules += piece(at_ns, isnan(value) ? s->values[i] : value, t->at_ns[i], s->values[i],
                        from_ns, to_ns);
        value = s->values[i];
        at_ns = t->at_ns[i];
    }
    return joules + piece(at_ns, value, INT64_MAX / 2, value, from_ns, to_ns);
}

/* Mean power of the looks of an idle time; NaN: none. */
static double idle_power(const struct timeline *t, const struct timeline_series *s, int64_t from_ns,
                         int64_t to_ns, struct gpu_energy *e)
{
    double sum = 0;
    size_t n = 0;
    int64_t first_ns = 0, last_ns = 0;
    for (size_t i = 0; i < t->n_columns; i++) {
        if (isnan(s->values[i]) || t->at_ns[i] < from_ns || t->at_ns[i] > to_ns)
            continue;
        sum += s->values[i];
        first_ns = n++ ? first_ns : t->at_ns[i];
        last_ns = t->at_ns[i];
    }
    if (n > e->n_idle) {
        e->n_idle = n;
        e->idle_s = clock_seconds(last_ns - first_ns);
    }
    return n ? sum / (double)n : NAN;
}

bool gpu_energy_add(struct gpu_energy *e, struct gpus *g, int64_t idle_from_ns, int64_t idle_to_ns,
                    int64_t from_ns, int64_t to_ns)
{
    const struct timeline *t = &g->timeline;
    double window_s = clock_seconds(to_ns - from_ns);
    bool has_any = false;
    for (size_t i = 0; i < g->n && window_s > 0; i++) {
        const struct timeline_series *power = timeline_find(t, GPU_POWER, "gpu", g->items[i].uuid);
        const struct timeline_series *meter = timeline_find(t, GPU_ENERGY, "gpu", g->items[i].uuid);
        double rise, seconds, joules;
        bool is_counted = meter && timeline_rise(t, meter, from_ns, to_ns, &rise, &seconds);
        if (is_counted) /* the looks lie a little outside of the window */
            joules = rise * J_PER_MJ / seconds * window_s;
        else if (power)
            joules = integrate(t, power, from_ns, to_ns);
        else
            continue;
        if (isnan(joules))
            continue; /* not a single look */
        double idle_w = power ? idle_power(t, power, idle_from_ns, idle_to_ns, e) : NAN;
        e->is_counted = has_any || e->total_j > 0 ? e->is_counted && is_counted : is_counted;
        e->total_j += joules;
        e->mean_w += joules / window_s;
        e->idle_w += idle_w;
        e->net_j += fmax(joules - idle_w * window_s, 0);
        if (isnan(idle_w)) /* fmax() would take the other one */
            e->net_j = NAN;
        has_any = true;
    }
    return has_any;
}
