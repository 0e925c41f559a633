#include "client/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/json.h"
#include "client/devices.h"
#include "client/edit.h"
#include "client/metrics_formats.h"
#include "client/options_table.h"
#include "client/prompts_file.h"
#include "client/random.h"

#define DEFAULT_REQUESTS 10 /* as AIPerf, whatever the concurrency */
#define DEFAULT_ENTRIES 100
#define DEFAULT_GRACE_S 30.0

static const struct options DEFAULTS = {
    .endpoint_type = "image_generation",
    .request_timeout_s = 21600,
    .n_workers = 1,
    .wait_mode = WAIT_INFERENCE,
    .wait_interval_s = 5,
    .isl_mean = 550,
    .image_shape = {.format = EDIT_JPEG},
    .tokenizer = "gpt2",
    .arrival_pattern = ARRIVAL_POISSON,
    .arrival_smoothness = 1,
    .export_level = EXPORT_RECORDS,
    .log_level = "info",
    .server_metrics_formats = "json,csv",
    .telemetry_interval_s = 0.333,
};

bool options_given(const struct options *o, const char *name)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (strcmp(OPTIONS[i].name, name) == 0)
            return o->seen.given[i];
    }
    return false;
}

static bool fail_option(struct error *err, const char *name, const char *text)
{
    return fail_field(err, name, "%s: %s", name, text);
}

/* ---- options of AIPerf that this tool lacks ------------------------------------------------- */

static bool refuse_unsupported(int argc, char **argv, int first, struct error *err)
{
    for (int i = first; i < argc; i++) {
        size_t n = strcspn(argv[i], "=");
        const char *name = options_unsupported(argv[i], n);
        if (name)
            return fail_field(err, name,
                              "%.*s is an option of AIPerf that fluxperf does not support",
                              (int)(n < 60 ? n : 60), argv[i]);
    }
    return true;
}

/* ---- checks --------------------------------------------------------------------------------- */

static bool check_endpoint(struct options *o, struct error *err)
{
    if (!o->model || !*o->model)
        return fail_option(err, "--model", "is required, like black-forest-labs/FLUX.1-dev");
    if (strchr(o->model, ','))
        return fail_option(err, "--model", "several models in one run are not supported");
    o->kind = endpoint_find(o->endpoint_type);
    if (!o->kind)
        return fail_field(err, "--endpoint-type",
                          "--endpoint-type is '%s': must be image_generation or image_edit",
                          o->endpoint_type);
    return true;
}

/* A trace with timestamps is replayed without being asked, unless --no-fixed-schedule. */
static bool check_schedule(struct options *o, struct error *err)
{
    static const char *const OFFSETS[] = {"--fixed-schedule-auto-offset",
                                          "--fixed-schedule-start-offset",
                                          "--fixed-schedule-end-offset"};
    static const char *const OTHER_LOADS[] = {"--request-rate", "--num-conversations",
                                              "--dataset-sampling-strategy"};
    bool has_start = options_given(o, "--fixed-schedule-start-offset");
    bool has_end = options_given(o, "--fixed-schedule-end-offset");
    bool is_implied = o->dataset_format == PROMPTS_MOONCAKE && !o->no_fixed_schedule &&
                      prompts_first_has_timestamp(o->input_file);
    if (o->fixed_schedule && o->no_fixed_schedule)
        return fail_option(err, "--fixed-schedule", "and --no-fixed-schedule exclude each other");
    o->is_fixed_schedule = o->fixed_schedule || is_implied;
    for (size_t i = 0; i < sizeof OFFSETS / sizeof OFFSETS[0]; i++) {
        if (!o->is_fixed_schedule && options_given(o, OFFSETS[i]))
            return fail_option(err, OFFSETS[i], "needs --fixed-schedule");
    }
    for (size_t i = 0; i < sizeof OTHER_LOADS / sizeof OTHER_LOADS[0]; i++) {
        if (o->is_fixed_schedule && options_given(o, OTHER_LOADS[i]))
            return fail_option(err, OTHER_LOADS[i],
                               is_implied ? "the timestamps of the trace are the schedule; "
                                            "--no-fixed-schedule leaves them out"
                                          : "does not go with --fixed-schedule");
    }
    if (o->fixed_schedule && !o->input_file)
        return fail_option(err, "--fixed-schedule", "needs --input-file with timestamps");
    if (o->fixed_schedule && o->dataset_format == PROMPTS_RANDOM_POOL)
        return fail_option(err, "--fixed-schedule", "rows of a random_pool have no timestamps");
    if (o->schedule_auto_offset && has_start)
        return fail_option(err, "--fixed-schedule-auto-offset",
                           "does not go with --fixed-schedule-start-offset: one of them is enough");
    if (has_start && has_end && o->schedule_start_ms > o->schedule_end_ms)
        return fail_option(err, "--fixed-schedule-end-offset",
                           "must not be before --fixed-schedule-start-offset");
    return true;
}

/* Made-up input pictures are for edits of made-up prompts, which must have their size. */
static bool check_images(const struct options *o, struct error *err)
{
    static const char *const SHAPE[] = {"--image-width-mean", "--image-height-mean",
                                        "--image-width-stddev", "--image-height-stddev",
                                        "--image-format"};
    bool makes_images = o->kind->takes_images && !o->input_file;
    for (size_t i = 0; i < sizeof SHAPE / sizeof SHAPE[0]; i++) {
        if (!makes_images && options_given(o, SHAPE[i]))
            return fail_option(err, SHAPE[i],
                               o->input_file ? "is for made-up pictures, not for --input-file"
                                             : "needs --endpoint-type image_edit");
        if (makes_images && i < 2 && !options_given(o, SHAPE[i]))
            return fail_option(err, SHAPE[i],
                               "is required for image_edit without --input-file, like 1024");
    }
    return true;
}

static bool check_input(struct options *o, struct error *err)
{
    static const char *const SYNTHETIC[] = {"--synthetic-input-tokens-mean",
                                            "--synthetic-input-tokens-stddev", "--num-prompts"};
    o->dataset_format = o->dataset_type ? prompts_format_parse(o->dataset_type) : 0;
    if (o->dataset_format < 0)
        return fail_field(err, "--custom-dataset-type",
                          "--custom-dataset-type is '%s': must be single_turn, random_pool or "
                          "mooncake_trace",
                          o->dataset_type);
    if (o->dataset_type && !o->input_file)
        return fail_option(err, "--custom-dataset-type", "needs --input-file");
    size_t n_refused = o->dataset_format == PROMPTS_RANDOM_POOL ? 2 : 3;
    for (size_t i = 0; i < n_refused; i++) {
        if (o->input_file && options_given(o, SYNTHETIC[i]))
            return fail_option(err, SYNTHETIC[i], "is for synthetic prompts, not for --input-file");
    }
    if (!o->input_file && strcmp(o->tokenizer, "none") == 0)
        return fail_option(err, "--tokenizer",
                           "none: synthetic prompts need one to have their length");
    return check_images(o, err) && check_schedule(o, err);
}

/* "inf" or seconds. */
static bool read_grace(const char *name, const char *text, bool has_duration, double *to,
                       struct error *err)
{
    *to = DEFAULT_GRACE_S;
    if (!text)
        return true;
    if (!has_duration)
        return fail_option(err, name, "needs a duration: a count waits for all its requests");
    char *end;
    *to = strtod(text, &end);
    if (end == text || *end || isnan(*to) || *to < 0)
        return fail_field(err, name, "%s is '%s': must be seconds, 0 or more, or inf", name, text);
    return true;
}

/* Each needs what it ramps. After the warm-up has taken over what it does not set. */
static bool check_ramps(struct options *o, struct error *err)
{
    if (!options_given(o, "--warmup-concurrency-ramp-duration"))
        o->warmup_concurrency_ramp_s = o->concurrency_ramp_s;
    if (!options_given(o, "--warmup-request-rate-ramp-duration"))
        o->warmup_rate_ramp_s = o->rate_ramp_s;
    const struct {
        const char *name, *text;
        bool is_met;
    } needs[] = {
        {"--concurrency-ramp-duration", "needs --concurrency", options_given(o, "--concurrency")},
        {"--request-rate-ramp-duration", "needs --request-rate", o->request_rate_hz > 0},
        {"--warmup-concurrency-ramp-duration", "needs a concurrency", o->warmup_concurrency > 0},
        {"--warmup-request-rate-ramp-duration", "needs a request rate", o->warmup_rate_hz > 0},
    };
    for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++) {
        if (options_given(o, needs[i].name) && !needs[i].is_met)
            return fail_option(err, needs[i].name, needs[i].text);
    }
    return true;
}

/* Users have sessions of made-up prompts and a rate of their own. */
static bool check_users(const struct options *o, struct error *err)
{
    static const char *const PARTS[] = {"--num-users", "--session-turns-mean",
                                        "--session-turns-stddev"};
    static const char *const OTHERS[] = {
        "--request-rate",      "--concurrency",          "--input-file",
        "--num-conversations", "--fixed-schedule",       "--arrival-smoothness",
        "--warmup-duration",   "--warmup-request-count", "--dataset-sampling-strategy"};
    bool has_users = options_given(o, "--user-centric-rate");
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        if (!has_users && options_given(o, PARTS[i]))
            return fail_option(err, PARTS[i], "needs --user-centric-rate");
    }
    for (size_t i = 0; has_users && i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        if (options_given(o, OTHERS[i]))
            return fail_option(err, OTHERS[i], "does not go with --user-centric-rate");
    }
    if (!has_users)
        return true;
    if (o->n_users == 0)
        return fail_option(err, "--user-centric-rate", "needs --num-users");
    if (o->turns_mean < 2)
        return fail_option(err, "--user-centric-rate",
                           "needs --session-turns-mean of at least 2; for single requests there is "
                           "--request-rate");
    if (o->n_requests > 0 && o->n_requests < o->n_users)
        return fail_option(err, "--request-count", "must be at least --num-users");
    return true;
}

static bool check_load(struct options *o, struct error *err)
{
    bool has_rate = options_given(o, "--request-rate");
    bool has_plan = has_rate || o->is_fixed_schedule || o->user_rate_hz > 0;
    if (!check_users(o, err))
        return false;
    if (!has_plan && !options_given(o, "--concurrency"))
        o->concurrency = 1;
    if (has_rate && options_given(o, "--arrival-smoothness") &&
        !options_given(o, "--arrival-pattern"))
        o->arrival_pattern = ARRIVAL_GAMMA; /* the only one that has a smoothness */
    if (!has_rate && options_given(o, "--arrival-pattern"))
        return fail_option(err, "--arrival-pattern", "needs --request-rate");
    if (options_given(o, "--arrival-smoothness") && o->arrival_pattern != ARRIVAL_GAMMA &&
        o->warmup_pattern != ARRIVAL_GAMMA)
        return fail_option(err, "--arrival-smoothness", "needs --arrival-pattern gamma");
    if (options_given(o, "--request-cancellation-delay") && o->cancellation_rate <= 0)
        return fail_option(err, "--request-cancellation-delay",
                           "needs --request-cancellation-rate above 0");
    bool is_bounded = o->n_requests > 0 || o->n_conversations > 0 || o->duration_s > 0;
    if (!is_bounded && !o->is_fixed_schedule)
        o->n_requests = DEFAULT_REQUESTS;
    o->n_wanted = o->n_requests;
    if (o->n_conversations && (!o->n_wanted || o->n_conversations < o->n_wanted))
        o->n_wanted = o->n_conversations;
    bool is_counted = options_given(o, "--request-count");
    o->n_entries = o->n_prompts         ? o->n_prompts
                   : o->n_conversations ? o->n_conversations
                   : is_counted         ? o->n_requests
                                        : DEFAULT_ENTRIES;

    o->has_warmup = o->n_warmup > 0 || o->warmup_duration_s > 0;
    static const char *const WARMUP[] = {
        "--warmup-concurrency", "--warmup-request-rate", "--warmup-arrival-pattern",
        "--warmup-concurrency-ramp-duration", "--warmup-request-rate-ramp-duration"};
    for (size_t i = 0; i < sizeof WARMUP / sizeof WARMUP[0]; i++) {
        if (!o->has_warmup && options_given(o, WARMUP[i]))
            return fail_option(err, WARMUP[i], "needs --warmup-request-count or --warmup-duration");
    }
    /* what the warm-up does not set, it takes from the measurement */
    if (!options_given(o, "--warmup-concurrency"))
        o->warmup_concurrency = o->concurrency;
    if (!options_given(o, "--warmup-request-rate"))
        o->warmup_rate_hz = o->request_rate_hz;
    if (o->warmup_concurrency == 0 && o->warmup_rate_hz <= 0)
        o->warmup_concurrency = 1; /* of a fixed schedule */
    if (!options_given(o, "--warmup-arrival-pattern"))
        o->warmup_pattern = o->arrival_pattern;
    else if (o->warmup_rate_hz <= 0)
        return fail_option(err, "--warmup-arrival-pattern", "needs a request rate");
    return check_ramps(o, err) &&
           read_grace("--benchmark-grace-period", o->grace_text, o->duration_s > 0, &o->grace_s,
                      err) &&
           read_grace("--warmup-grace-period", o->warmup_grace_text, o->warmup_duration_s > 0,
                      &o->warmup_grace_s, err);
}

/* Sources of telemetry are either asked for or ruled out. */
static bool check_telemetry(struct options *o, struct error *err)
{
    if (!metrics_formats_check(o->server_metrics_formats, err))
        return false;
    if (o->no_server_metrics && o->server_metrics.n_items > 0)
        return fail_option(err, "--server-metrics", "contradicts --no-server-metrics");
    if (o->no_gpu_telemetry && o->gpu_telemetry.n_items > 0)
        return fail_option(err, "--gpu-telemetry", "contradicts --no-gpu-telemetry");
    if (o->no_gpu_telemetry && o->idle_power_s > 0)
        return fail_option(err, "--idle-power-duration", "contradicts --no-gpu-telemetry");
    if (o->device && !device_find(o->device) && o->device_peak_flops <= 0)
        return fail_field(err, "--device",
                          "--device is '%s': not in the table of docs/metrics.md; give "
                          "--device-peak-flops too",
                          o->device);
    return true;
}

static bool check_output(struct options *o, struct error *err)
{
    if (o->ui && strcasecmp(o->ui, "dashboard") != 0 && strcasecmp(o->ui, "simple") != 0 &&
        strcasecmp(o->ui, "none") != 0)
        return fail_field(err, "--ui", "--ui is '%s': must be dashboard, simple or none", o->ui);
    if (o->prefix && (strchr(o->prefix, '/') || !*o->prefix))
        return fail_field(err, "--profile-export-prefix",
                          "--profile-export-prefix is '%s': must be a file name without '/'",
                          o->prefix);
    /* AIPerf's extra names: NOTICE lies above INFO, SUCCESS above WARNING */
    const char *name = o->log_level;
    if (strcasecmp(name, "notice") == 0)
        name = "warning";
    else if (strcasecmp(name, "success") == 0 || strcasecmp(name, "critical") == 0)
        name = "error";
    int level = log_level_parse(name);
    if (level < 0)
        return fail_field(err, "--log-level",
                          "--log-level is '%s': must be one of trace debug info notice warning "
                          "success error critical",
                          o->log_level);
    o->level = (enum log_level)level;
    if (o->is_verbose && o->level > LOG_DEBUG)
        o->level = LOG_DEBUG;
    if (o->is_very_verbose)
        o->level = LOG_TRACE;
    return !o->goodput || metrics_parse_goodput(o->goodput, &o->objectives, &o->n_objectives, err);
}

/* ---- what follows from the options ---------------------------------------------------------- */

static bool make_target(struct options *o, struct error *err)
{
    if (o->tls_insecure && o->tls_ca_file)
        return fail_option(err, "--tls-insecure", "and --tls-ca-file exclude each other");
    if (o->tls_ca_file && access(o->tls_ca_file, R_OK) != 0)
        return fail_field(err, "--tls-ca-file", "--tls-ca-file %s: %s", o->tls_ca_file,
                          strerror(errno));
    static const char *const LOCAL[] = {"http://localhost:8000"};
    size_t n = o->urls.n_items ? o->urls.n_items : 1;
    const char *const *bases = o->urls.n_items ? o->urls.items : LOCAL;
    o->target.urls = xcalloc(n, sizeof *o->target.urls);
    for (size_t i = 0; i < n; i++) {
        struct buf url = {0};
        if (!request_url(&url, bases[i], o->endpoint ? o->endpoint : o->kind->path, err))
            return false;
        o->target.urls[o->target.n_urls++] = xstrdup(url.data);
        buf_free(&url);
    }
    for (size_t i = 0; i < o->headers.n_items; i++) {
        if (!request_add_header(&o->target.extra, o->headers.items[i], err))
            return false;
    }
    if (o->kind->takes_images && request_has_header(&o->target.extra, "Content-Type"))
        return fail_option(err, "--header", "Content-Type: the client sets it by the body");
    if (o->api_key) {
        if (strpbrk(o->api_key, "\r\n"))
            return fail_option(err, "--api-key", "has a line break");
        if (request_has_header(&o->target.extra, "Authorization"))
            return fail_option(err, "--api-key", "and --header Authorization exclude each other");
        char *value = xasprintf("Bearer %s", o->api_key);
        request_push_header(&o->target.extra, "Authorization", value);
        free(value);
    }
    for (size_t i = 0; i < o->extra_inputs.n_items; i++) {
        if (!fields_parse(&o->extra, o->extra_inputs.items[i], err))
            return error_prefix(err, "--extra-inputs");
    }
    o->target.connect =
        (struct request_connect){.is_http2 = o->http_version == 1,
                                 .is_insecure = o->tls_insecure,
                                 .says_close = o->connection_reuse == 1 && o->http_version == 0,
                                 .ca_file = o->tls_ca_file};
    return !o->kind->takes_images || edit_check_extra(&o->extra, err) ||
           error_prefix(err, "--extra-inputs");
}

/* <model>-openai-<endpoint type>-<stimulus>, every '/' of the model as '_'. */
static char *make_run_dir(const struct options *o)
{
    if (o->artifact_dir)
        return xstrdup(o->artifact_dir);
    struct buf name = {0};
    char *model = xstrdup(o->model);
    for (char *p = model; (p = strchr(p, '/'));)
        *p = '_';
    buf_printf(&name, "artifacts/%s-openai-%s-", model, o->kind->name);
    if (o->is_fixed_schedule)
        buf_puts(&name, "fixed_schedule");
    else if (o->user_rate_hz > 0)
        buf_printf(&name, "user_centric-users%lld-qps", (long long)o->n_users);
    else if (o->concurrency > 0)
        buf_printf(&name, "concurrency%lld", (long long)o->concurrency);
    if (o->request_rate_hz > 0)
        buf_puts(&name, o->concurrency > 0 ? "-request_rate" : "request_rate");
    if (o->request_rate_hz > 0 || o->user_rate_hz > 0)
        json_print_double(&name, o->user_rate_hz > 0 ? o->user_rate_hz : o->request_rate_hz);
    free(model);
    return name.data; /* the caller's, as from malloc */
}

bool options_parse(struct options *o, int argc, char **argv, int first, struct error *err)
{
    *o = DEFAULTS;
    if (!refuse_unsupported(argc, argv, first, err) ||
        !args_parse(OPTIONS, N_OPTIONS, argc, argv, first, o, NULL, &o->seen, err))
        return false;
    if (!check_endpoint(o, err) || !check_input(o, err) || !check_load(o, err) ||
        !check_telemetry(o, err) || !check_output(o, err) || !make_target(o, err))
        return false;
    o->has_seed = options_given(o, "--random-seed");
    if (!o->has_seed)
        o->seed = random_system_seed();
    o->run_dir = make_run_dir(o);
    struct buf command = {0};
    options_print_command(&command, argc, argv, first);
    o->cli_command = command.data;
    return true;
}

void options_free(struct options *o)
{
    args_free(&o->urls);
    args_free(&o->extra_inputs);
    args_free(&o->headers);
    args_free(&o->server_metrics);
    args_free(&o->gpu_telemetry);
    fields_free(&o->extra);
    request_target_free(&o->target);
    free(o->objectives);
    free(o->run_dir);
    free(o->cli_command);
}

void options_help(void)
{
    args_help("fluxperf profile --model NAME --url URL [option...]",
              "Send image requests to a server and report latencies. Options, files and numbers "
              "are those of AIPerf for its image_generation and image_edit endpoints.",
              OPTIONS, N_OPTIONS);
}
