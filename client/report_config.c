/* `input_config` of the summary: what was asked for, in the shape AIPerf gives it. Only options
 * that were set appear; defaults are in the documentation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client/prompts_file.h"
#include "client/report.h"
#include "client/sampler.h"

static struct json *put_object(struct json *parent, const char *key)
{
    struct json *child = json_new_object();
    json_set(parent, key, child);
    return child;
}

static void put_string(struct json *o, const char *key, const char *text)
{
    json_set(o, key, json_new_string(text));
}

static void put_double(struct json *o, const char *key, double value)
{
    json_set(o, key, isinf(value) ? json_new_string("inf") : json_new_double(value));
}

static void push_address(struct json *list, const char *url)
{
    char *shown = request_url_shown(url);
    json_push(list, json_new_string(shown));
    free(shown);
}

static struct json *endpoint_of(const struct options *o)
{
    static const char *const REUSE[] = {"pooled", "never", "sticky-user-sessions"};
    struct json *endpoint = json_new_object(), *urls = json_new_array();
    for (size_t i = 0; i < o->urls.n_items; i++)
        push_address(urls, o->urls.items[i]);
    if (o->urls.n_items == 0)
        json_push(urls, json_new_string("http://localhost:8000"));
    json_set(endpoint, "urls", urls);
    put_string(endpoint, "type", o->kind->name);
    if (o->kind->takes_images)
        put_string(endpoint, "request_content_type", "multipart/form-data");
    if (o->endpoint)
        put_string(endpoint, "path", o->endpoint);
    if (o->api_key)
        put_string(endpoint, "api_key", "<redacted>");
    if (options_given(o, "--request-timeout-seconds"))
        put_double(endpoint, "timeout", o->request_timeout_s);
    if (options_given(o, "--connection-reuse-strategy"))
        put_string(endpoint, "connection_reuse", REUSE[o->connection_reuse]);
    if (options_given(o, "--http-version"))
        put_string(endpoint, "http_version", o->http_version ? "2" : "1.1");
    if (o->tls_ca_file)
        put_string(endpoint, "tls_ca_file", o->tls_ca_file);
    if (o->tls_insecure)
        json_set(endpoint, "tls_insecure", json_new_bool(true));
    /* the last of target.extra is the api key's, which is no --header */
    size_t n_headers = o->target.extra.n_items - (o->api_key != NULL);
    if (n_headers > 0) {
        struct json *headers = put_object(endpoint, "headers");
        for (size_t i = 0; i < n_headers; i++) {
            const struct request_header *h = &o->target.extra.items[i];
            put_string(headers, h->name,
                       request_header_is_secret(h->name) ? "<redacted>" : h->value);
        }
    }
    return endpoint;
}

static struct json *images_of(const struct options *o)
{
    static const char *const FORMATS[] = {"png", "jpeg", "random"};
    const struct edit_image_shape *shape = &o->image_shape;
    struct json *images = json_new_object();
    json_set(images, "batch_size", json_new_int(1));
    struct json *width = put_object(images, "width");
    put_double(width, "mean", shape->width_mean);
    if (options_given(o, "--image-width-stddev"))
        put_double(width, "stddev", shape->width_std);
    struct json *height = put_object(images, "height");
    put_double(height, "mean", shape->height_mean);
    if (options_given(o, "--image-height-stddev"))
        put_double(height, "stddev", shape->height_std);
    if (options_given(o, "--image-format"))
        put_string(images, "format", FORMATS[shape->format]);
    return images;
}

static struct json *dataset_of(const struct options *o)
{
    struct json *set = json_new_object();
    put_string(set, "name", "main");
    put_string(set, "type", o->input_file ? "file" : "synthetic");
    if (o->input_file) {
        put_string(set, "path", o->input_file);
        put_string(set, "format", prompts_format_name((enum prompts_format)o->dataset_format));
    }
    if (options_given(o, "--dataset-sampling-strategy"))
        put_string(set, "sampling", sampling_name((enum sampling)o->sampling));
    if (options_given(o, "--request-count") || o->n_prompts > 0 || o->n_conversations > 0)
        json_set(set, "entries", json_new_int(o->n_entries));
    if (o->has_seed)
        json_set(set, "random_seed", json_new_int(o->seed));
    if (!o->input_file) {
        struct json *isl = put_object(put_object(set, "prompts"), "isl");
        put_double(isl, "mean", o->isl_mean);
        if (options_given(o, "--synthetic-input-tokens-stddev"))
            put_double(isl, "stddev", o->isl_std);
        if (o->kind->takes_images)
            json_set(set, "images", images_of(o));
        if (o->n_users > 0) {
            struct json *turns = put_object(set, "turns");
            put_double(turns, "mean", o->turns_mean);
            put_double(turns, "stddev", o->turns_std);
        }
    }
    return set;
}

struct load_shape {
    int64_t n_requests, n_sessions, concurrency; /* 0: not set */
    int64_t n_users;
    bool is_replay;
    double rate_hz, duration_s;
    double concurrency_ramp_s, rate_ramp_s;
    double grace_s; /* negative: not set */
    int pattern;
    double smoothness;
    double cancellation_rate;    /* 0: none */
    double cancellation_delay_s; /* negative: not set */
};

static struct json *phase_of(const char *name, struct load_shape s)
{
    struct json *phase = json_new_object();
    put_string(phase, "name", name);
    put_string(phase, "kind", name);
    put_string(phase, "type",
               s.is_replay     ? "fixed_schedule"
               : s.n_users > 0 ? "user_centric"
               : s.rate_hz > 0 ? arrival_pattern_name((enum arrival_pattern)s.pattern)
                               : "concurrency");
    if (strcmp(name, "warmup") == 0)
        json_set(phase, "exclude_from_results", json_new_bool(true));
    if (s.n_requests > 0)
        json_set(phase, "requests", json_new_int(s.n_requests));
    if (s.n_sessions > 0)
        json_set(phase, "sessions", json_new_int(s.n_sessions));
    if (s.duration_s > 0)
        put_double(phase, "duration", s.duration_s);
    if (s.concurrency > 0)
        json_set(phase, "concurrency", json_new_int(s.concurrency));
    if (s.concurrency_ramp_s > 0)
        put_double(put_object(phase, "concurrency_ramp"), "duration", s.concurrency_ramp_s);
    if (s.grace_s >= 0)
        put_double(phase, "grace_period", s.grace_s);
    if (s.rate_hz > 0)
        put_double(phase, "rate", s.rate_hz);
    if (s.n_users > 0)
        json_set(phase, "users", json_new_int(s.n_users));
    if (s.rate_ramp_s > 0)
        put_double(put_object(phase, "rate_ramp"), "duration", s.rate_ramp_s);
    if (s.rate_hz > 0 && s.pattern == ARRIVAL_GAMMA)
        put_double(phase, "smoothness", s.smoothness);
    if (s.cancellation_rate > 0) {
        struct json *cancellation = put_object(phase, "cancellation");
        put_double(cancellation, "rate", s.cancellation_rate);
        if (s.cancellation_delay_s >= 0)
            put_double(cancellation, "delay", s.cancellation_delay_s);
    }
    return phase;
}

static void put_schedule(struct json *phase, const struct options *o)
{
    static const char START[] = "--fixed-schedule-start-offset";
    if (o->schedule_auto_offset || options_given(o, START))
        json_set(phase, "auto_offset", json_new_bool(o->schedule_auto_offset));
    if (options_given(o, START))
        json_set(phase, "start_offset", json_new_int(o->schedule_start_ms));
    if (options_given(o, "--fixed-schedule-end-offset"))
        json_set(phase, "end_offset", json_new_int(o->schedule_end_ms));
}

static struct json *phases_of(const struct options *o)
{
    struct json *phases = json_new_array();
    bool sets_concurrency = options_given(o, "--concurrency");
    struct load_shape warmup = {
        .n_requests = o->n_warmup,
        .concurrency =
            sets_concurrency || options_given(o, "--warmup-concurrency") || o->warmup_rate_hz <= 0
                ? o->warmup_concurrency
                : 0,
        .rate_hz = o->warmup_rate_hz,
        .duration_s = o->warmup_duration_s,
        .concurrency_ramp_s = o->warmup_concurrency_ramp_s,
        .rate_ramp_s = o->warmup_rate_hz > 0 ? o->warmup_rate_ramp_s : 0,
        .grace_s = o->warmup_grace_text ? o->warmup_grace_s : -1,
        .pattern = o->warmup_pattern,
        .smoothness = o->arrival_smoothness,
    };
    struct load_shape profiling = {
        .n_requests = o->n_requests ? o->n_requests : o->n_scheduled,
        .n_sessions = o->n_conversations,
        .is_replay = o->is_fixed_schedule,
        .concurrency = sets_concurrency ? o->concurrency : 0,
        .rate_hz = o->user_rate_hz > 0 ? o->user_rate_hz : o->request_rate_hz,
        .n_users = o->n_users,
        .duration_s = o->duration_s,
        .concurrency_ramp_s = o->concurrency_ramp_s,
        .rate_ramp_s = o->rate_ramp_s,
        .grace_s = o->grace_text ? o->grace_s : -1,
        .pattern = o->arrival_pattern,
        .smoothness = o->arrival_smoothness,
        .cancellation_rate = o->cancellation_rate,
        .cancellation_delay_s =
            options_given(o, "--request-cancellation-delay") ? o->cancellation_delay_s : -1,
    };
    if (o->has_warmup)
        json_push(phases, phase_of("warmup", warmup));
    struct json *phase = phase_of("profiling", profiling);
    put_schedule(phase, o);
    json_push(phases, phase);
    return phases;
}

static struct json *artifacts_of(const struct options *o)
{
    struct json *artifacts = json_new_object();
    char *absolute = realpath(o->run_dir, NULL);
    put_string(artifacts, "dir", absolute ? absolute : o->run_dir);
    free(absolute);
    if (o->prefix)
        put_string(artifacts, "prefix", o->prefix);
    if (o->export_level == EXPORT_SUMMARY) {
        json_set(artifacts, "records", json_new_bool(false));
        json_set(artifacts, "raw", json_new_bool(false));
    } else if (options_given(o, "--export-level")) {
        struct json *records = json_new_array();
        json_push(records, json_new_string("jsonl"));
        json_set(artifacts, "records", records);
        if (o->export_level == EXPORT_RAW)
            json_set(artifacts, "raw", json_new_bool(true));
    }
    if (o->slice_s > 0)
        put_double(artifacts, "slice_duration", o->slice_s);
    return artifacts;
}

static void put_sources(struct json *to, bool is_enabled, const struct arg_list *urls)
{
    json_set(to, "enabled", json_new_bool(is_enabled));
    if (urls->n_items == 0)
        return;
    struct json *list = json_new_array();
    for (size_t i = 0; i < urls->n_items; i++)
        push_address(list, urls->items[i]);
    json_set(to, "urls", list);
}

static struct json *tree_of(const struct options *o)
{
    struct json *root = json_new_object(), *list = json_new_array(), *model = json_new_object();
    put_string(model, "name", o->model);
    json_push(list, model);
    json_set(put_object(root, "models"), "items", list);
    json_set(root, "endpoint", endpoint_of(o));
    list = json_new_array();
    json_push(list, dataset_of(o));
    json_set(root, "datasets", list);
    json_set(root, "phases", phases_of(o));
    json_set(root, "artifacts", artifacts_of(o));
    if (o->n_objectives > 0) {
        struct json *slos = put_object(root, "slos");
        for (size_t i = 0; i < o->n_objectives; i++)
            put_double(slos, o->objectives[i].metric->tag, o->objectives[i].limit);
    }
    put_string(put_object(root, "tokenizer"), "name", o->tokenizer);
    put_sources(put_object(root, "gpu_telemetry"), !o->no_gpu_telemetry, &o->gpu_telemetry);
    put_sources(put_object(root, "server_metrics"), !o->no_server_metrics, &o->server_metrics);
    json_set(put_object(root, "network_latency"), "enabled", json_new_bool(false));
    put_string(put_object(root, "runtime"), "ui", o->ui ? o->ui : "none");
    if (options_given(o, "--log-level"))
        put_string(put_object(root, "logging"), "level", o->log_level);
    return root;
}

/* The extra inputs keep their exact number text, so they are put in as text. */
void report_json_config(struct buf *out, const struct options *o, int depth)
{
    static const char PLACE[] = "\"__extra_inputs__\"";
    struct json *root = tree_of(o);
    if (o->extra.n_items > 0)
        put_string(json_get(root, "endpoint"), "extra", "__extra_inputs__");
    struct buf flat = {0}, whole = {0};
    json_print(&flat, root, 0);
    const char *at = o->extra.n_items > 0 ? strstr(flat.data, PLACE) : NULL;
    if (at) {
        buf_append(&whole, flat.data, (size_t)(at - flat.data));
        fields_print(&whole, &o->extra, 0, 0);
        buf_puts(&whole, at + sizeof PLACE - 1);
    } else {
        buf_puts(&whole, flat.data);
    }
    fields_format_json(out, whole.data, 2, depth);
    buf_free(&flat);
    buf_free(&whole);
    json_free(root);
}
