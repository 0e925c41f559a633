#include "client/insight.h"

#include <math.h>

#include "base/log.h"
#include "client/kept.h"

/* ---- gathering ------------------------------------------------------------------------------ */

static double count_images(const struct report_phase *phase)
{
    double n = 0;
    for (size_t i = 0; i < phase->n_records; i++) {
        n += record_succeeded(phase->records[i]) ? (double)phase->records[i]->n_decoded : 0;
        kept_pass(phase->kept, i);
    }
    return n;
}

/* Idle is before the first request of the run, warm-up included. */
static void fill_energy(struct insight *in, const struct report *r)
{
    const struct load_result *window = &report_main_phase(r)->load;
    for (size_t i = 0; i < r->telemetry->n_sources; i++) {
        if (gpu_energy_add(&in->energy, &r->telemetry->sources[i].gpus, r->telemetry->start_ns,
                           r->phases[0].load.start_ns, window->start_ns, window->end_ns))
            in->has_energy = true;
    }
}

static bool tells_flops(const struct report_phase *phase)
{
    for (size_t i = 0; i < phase->n_records; i++) {
        if (phase->records[i]->stages && phase->records[i]->stages->flops > 0)
            return true;
        kept_pass(phase->kept, i);
    }
    return false;
}

void insight_fill(struct insight *out, const struct report *r)
{
    const struct report_phase *phase = report_main_phase(r);
    struct model_info info;
    struct error err = {0};
    *out = (struct insight){.n_images = count_images(phase)};
    self_load_fill(&out->self, &r->telemetry->self, phase, r->options);
    fill_energy(out, r);
    /* only a server that tells FLOPs has more to tell; others are left alone */
    bool is_told = tells_flops(phase) && model_info_fetch(&info, r->options, &err);
    if (*err.text)
        log_debug("no model information: %s", err.text);
    physics_compute(&out->physics, r, is_told ? &info : NULL);
}

/* ---- the summary ---------------------------------------------------------------------------- */

static void set_text(struct json *o, const char *key, const char *text)
{
    if (text && *text)
        json_set(o, key, json_new_string(text));
}

static struct json *self_of(const struct self_load *s)
{
    struct json *o = json_new_object();
    json_set_known(o, "cpu_share", s->cpu_share);
    json_set_known(o, "cores", s->n_cores);
    set_text(o, "busiest_thread", s->busiest);
    json_set_known(o, "busiest_thread_share", s->busiest_share);
    json_set_known(o, "memory_mib", s->memory_mib);
    json_set_known(o, "start_lag_p99_ms", s->start_lag_p99_ms);
    json_set(o, "is_bottleneck", json_new_bool(s->is_bottleneck));
    set_text(o, "reason", s->why);
    return o;
}

static struct json *physics_of(const struct physics *p)
{
    struct json *o = json_new_object();
    json_set_known(o, "flops", p->flops);
    set_text(o, "flops_source", p->source);
    json_set_known(o, "flops_per_second", p->flops_per_s);
    json_set_known(o, "request_flops_per_second_max", p->request_flops_per_s);
    set_text(o, "device", p->device);
    set_text(o, "device_source", p->device_source);
    json_set(o, "device_count", json_new_int(p->n_devices));
    json_set_known(o, "peak_flops_per_second", p->peak_flops);
    set_text(o, "peak_source", p->peak_source);
    json_set_known(o, "share_of_peak", p->share);
    json_set_known(o, "request_share_of_peak_max", p->request_share);
    json_set_known(o, "bandwidth_bytes_per_second", p->bandwidth);
    json_set_known(o, "bandwidth_bound_seconds", p->bound_s);
    json_set_known(o, "bandwidth_bound_request_seconds", p->bound_request_s);
    json_set(o, "is_impossible", json_new_bool(p->is_impossible));
    set_text(o, "reason", p->why);
    return o;
}

static struct json *energy_of(const struct insight *in)
{
    const struct gpu_energy *e = &in->energy;
    struct json *o = json_new_object();
    double per_image = in->n_images > 0 ? in->n_images : NAN;
    json_set_known(o, "total_joules", e->total_j);
    set_text(o, "total_source", e->is_counted ? "energy_counter" : "power_integral");
    json_set_known(o, "mean_watts", e->mean_w);
    json_set_known(o, "idle_watts", e->idle_w);
    json_set(o, "idle_samples", json_new_int((int64_t)e->n_idle));
    json_set_known(o, "idle_seconds", e->idle_s);
    json_set_known(o, "net_joules", e->net_j);
    json_set_known(o, "joules_per_image", e->total_j / per_image);
    json_set_known(o, "net_joules_per_image", e->net_j / per_image);
    return o;
}

static void put_and_free(void *self, void (*put)(void *, const char *, const struct json *),
                         const char *key, struct json *value)
{
    put(self, key, value);
    json_free(value);
}

void insight_json(const struct insight *in, void *self,
                  void (*put)(void *self, const char *key, const struct json *value))
{
    put_and_free(self, put, "client_load", self_of(&in->self));
    if (in->physics.is_known)
        put_and_free(self, put, "physics", physics_of(&in->physics));
    if (in->has_energy)
        put_and_free(self, put, "energy", energy_of(in));
}

/* ---- the console ---------------------------------------------------------------------------- */

static void put_compute(struct buf *out, const struct physics *p)
{
    buf_puts(out, "Compute: ");
    physics_put_scaled(out, p->flops, "FLOP");
    buf_puts(out, ", ");
    physics_put_scaled(out, p->flops_per_s, "FLOP/s");
    if (!isnan(p->share)) {
        buf_printf(out, p->share < 10 ? ", %.3g %% of the peak of " : ", %.0f %% of the peak of ",
                   p->share * 100);
        if (p->n_devices > 1)
            buf_printf(out, "%d x ", p->n_devices);
        report_clean_text(out, *p->device ? p->device : "the device", 60);
        buf_puts(out, " (");
        physics_put_scaled(out, p->peak_flops, "FLOP/s");
        buf_printf(out, ", %s)", p->peak_source);
    }
    buf_puts(out, "\n");
    if (p->is_impossible)
        buf_printf(out, "Impossible: %s\n", p->why);
}

static void put_energy(struct buf *out, const struct insight *in)
{
    const struct gpu_energy *e = &in->energy;
    buf_printf(out, "Energy: %.4g J, %.4g W", e->total_j, e->mean_w);
    if (in->n_images > 0)
        buf_printf(out, ", %.4g J/image", e->total_j / in->n_images);
    if (in->n_images > 0 && !isnan(e->net_j))
        buf_printf(out,
                   ", %.4g J/image above idle (%.4g W: %zu samples over %.3g s before the load)",
                   e->net_j / in->n_images, e->idle_w, e->n_idle, e->idle_s);
    buf_puts(out, "\n");
}

static void put_self(struct buf *out, const struct self_load *s)
{
    if (isnan(s->cpu_share))
        return;
    buf_printf(out, "Client: %.0f %% of a core", s->cpu_share * 100);
    if (!isnan(s->busiest_share))
        buf_printf(out, ", busiest thread %s %.0f %%", s->busiest, s->busiest_share * 100);
    if (!isnan(s->start_lag_p99_ms))
        buf_printf(out, ", p99 of start - due %.2f ms", s->start_lag_p99_ms);
    buf_printf(out, "%s\n", s->is_bottleneck ? "; it was the bottleneck" : "");
}

void insight_console(struct buf *out, const struct insight *in)
{
    if (in->physics.is_known)
        put_compute(out, &in->physics);
    if (in->has_energy)
        put_energy(out, in);
    put_self(out, &in->self);
}

void insight_warnings(struct buf *out, const struct insight *in)
{
    if (in->self.is_bottleneck)
        buf_printf(out, "fluxperf: the client was the bottleneck: %s\n", in->self.why);
    if (in->physics.is_impossible)
        buf_printf(out, "fluxperf: the result is impossible: %s\n", in->physics.why);
}
