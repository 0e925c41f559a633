#include "client/options_table.h"

#include <string.h>

#include "client/options.h"

#define AT(field) offsetof(struct options, field)
#define COUNT_MAX 1e9
#define IMAGE_MAX 16384
#define SCHEDULE_MAX 1e15 /* ms */
#define TIME_MAX 1e7      /* seconds */
#define PATTERNS "constant|poisson|gamma"

/* clang-format off */
const struct option OPTIONS[] = {
    {"--model", "-m|--model-names", "NAME", ARG_STRING, AT(model), .group = "Endpoint",
     .help = "model name sent in each request; required"},
    {"--url", "-u", "URL", ARG_LIST, AT(urls),
     .help = "base address of the server; may repeat, requests go round; default http://localhost:8000"},
    {"--endpoint-type", NULL, "TYPE", ARG_STRING, AT(endpoint_type),
     .help = "image_generation (default) or image_edit"},
    {"--endpoint", "--custom-endpoint", "PATH", ARG_STRING, AT(endpoint),
     .help = "path instead of /v1/images/generations or /v1/images/edits; empty: the address as given"},
    {"--extra-inputs", NULL, "KEY:VALUE", ARG_LIST, AT(extra_inputs),
     .help = "field for the request body, as key:value or a JSON object; may repeat"},
    {"--header", "-H", "NAME:VALUE", ARG_LIST, AT(headers), .help = "request header; may repeat"},
    {"--api-key", NULL, "KEY", ARG_STRING, AT(api_key), .help = "sent as Authorization: Bearer KEY"},
    {"--request-timeout-seconds", NULL, "S", ARG_DOUBLE, AT(request_timeout_s), 0.001, TIME_MAX,
     .help = "give a request up after that long; default 21600"},
    {"--connection-reuse-strategy", NULL, "HOW", ARG_CHOICE, AT(connection_reuse), .choices = "pooled|never|sticky-user-sessions",
     .help = "pooled (default) keeps connections alive; never and sticky-user-sessions make one per request"},
    {"--http-version", NULL, "V", ARG_CHOICE, AT(http_version), .choices = "1.1|2",
     .help = "1.1 (default) or 2: requests share a connection; without https the server must expect it"},
    {"--tls-ca-file", NULL, "PATH", ARG_STRING, AT(tls_ca_file),
     .help = "certificates (PEM) that the server's must be signed by; default: those of the system"},
    {"--tls-insecure", NULL, NULL, ARG_FLAG, AT(tls_insecure),
     .help = "accept any certificate of the server"},
    {"--wait-for-model-timeout", NULL, "S", ARG_DOUBLE, AT(wait_timeout_s), 0, TIME_MAX,
     .help = "wait up to that long for the server before the run; default 0: do not wait"},
    {"--wait-for-model-mode", NULL, "MODE", ARG_CHOICE, AT(wait_mode), .choices = "models|inference|both",
     .help = "what must work: models (GET /v1/models lists the model), inference (one image; default), both"},
    {"--wait-for-model-interval", NULL, "S", ARG_DOUBLE, AT(wait_interval_s), 0.01, TIME_MAX,
     .help = "time between two tries; default 5"},

    {"--input-file", NULL, "PATH", ARG_STRING, AT(input_file), .group = "Prompts",
     .help = "JSONL file, one {\"text\": ...} per line; without it prompts are made up"},
    {"--custom-dataset-type", NULL, "TYPE", ARG_STRING, AT(dataset_type),
     .help = "format of the file: single_turn (default), random_pool or mooncake_trace"},
    {"--fixed-schedule", NULL, NULL, ARG_FLAG, AT(fixed_schedule),
     .help = "send each row when its timestamp (ms) says; a mooncake_trace with timestamps does so anyway"},
    {"--no-fixed-schedule", NULL, NULL, ARG_FLAG, AT(no_fixed_schedule),
     .help = "do not use the timestamps of a mooncake_trace"},
    {"--fixed-schedule-auto-offset", NULL, NULL, ARG_FLAG, AT(schedule_auto_offset),
     .help = "begin at the first timestamp, which is the default"},
    {"--fixed-schedule-start-offset", NULL, "MS", ARG_INT, AT(schedule_start_ms), 0, SCHEDULE_MAX,
     .help = "begin at that timestamp and leave out earlier ones"},
    {"--fixed-schedule-end-offset", NULL, "MS", ARG_INT, AT(schedule_end_ms), 0, SCHEDULE_MAX,
     .help = "leave out later timestamps"},
    {"--synthetic-input-tokens-mean", "--isl|--prompt-input-tokens-mean", "N", ARG_DOUBLE, AT(isl_mean), 1, 100000,
     .help = "mean length of made-up prompts in tokens; default 550"},
    {"--synthetic-input-tokens-stddev", "--isl-stddev|--prompt-input-tokens-stddev", "N", ARG_DOUBLE, AT(isl_std), 0, 100000,
     .help = "standard deviation of that length; default 0"},
    {"--num-prompts", "--num-dataset-entries", "N", ARG_INT, AT(n_prompts), 1, 1e6,
     .help = "number of made-up or drawn prompts; default: --num-conversations, --request-count, 100"},
    {"--num-conversations", "--conversation-num|--num-sessions", "N", ARG_INT, AT(n_conversations), 1, 1e6,
     .help = "stop after so many prompts, each asked once"},
    {"--image-width-mean", NULL, "PX", ARG_DOUBLE, AT(image_shape.width_mean), 1, IMAGE_MAX,
     .help = "mean width of made-up input pictures, for image_edit"},
    {"--image-width-stddev", NULL, "PX", ARG_DOUBLE, AT(image_shape.width_std), 0, IMAGE_MAX,
     .help = "standard deviation of that width; default 0"},
    {"--image-height-mean", NULL, "PX", ARG_DOUBLE, AT(image_shape.height_mean), 1, IMAGE_MAX,
     .help = "mean height of made-up input pictures"},
    {"--image-height-stddev", NULL, "PX", ARG_DOUBLE, AT(image_shape.height_std), 0, IMAGE_MAX,
     .help = "standard deviation of that height; default 0"},
    {"--image-format", NULL, "FORMAT", ARG_CHOICE, AT(image_shape.format), .choices = "png|jpeg|random",
     .help = "file format of made-up input pictures; default jpeg"},
    {"--tokenizer", NULL, "NAME", ARG_STRING, AT(tokenizer),
     .help = "counts prompt tokens: gpt2 (built in, default; builtin is the same), none, or a tokenizer folder"},
    {"--random-seed", NULL, "N", ARG_INT, AT(seed),
     .help = "makes prompts and arrival times reproducible"},

    {"--concurrency", NULL, "N", ARG_INT, AT(concurrency), 1, 100000, .group = "Load",
     .help = "requests in flight; with --request-rate the most of them; default 1 without a rate"},
    {"--concurrency-ramp-duration", NULL, "S", ARG_DOUBLE, AT(concurrency_ramp_s), 0.001, TIME_MAX,
     .help = "raise the requests in flight from 1 to --concurrency for that long, one by one"},
    {"--request-rate", NULL, "R", ARG_DOUBLE, AT(request_rate_hz), 1e-6, 1e6,
     .help = "send R requests a second, whatever the answers do"},
    {"--request-rate-ramp-duration", NULL, "S", ARG_DOUBLE, AT(rate_ramp_s), 0.001, TIME_MAX,
     .help = "raise the rate from 0 to --request-rate for that long"},
    {"--arrival-pattern", "--request-rate-mode", "PATTERN", ARG_CHOICE, AT(arrival_pattern), .choices = PATTERNS,
     .help = "gaps between requests: poisson (default), constant or gamma"},
    {"--arrival-smoothness", "--vllm-burstiness", "K", ARG_DOUBLE, AT(arrival_smoothness), 1e-3, 1e6,
     .help = "shape of gamma gaps; 1 is poisson, more is smoother; default 1"},
    {"--request-count", "--num-requests", "N", ARG_INT, AT(n_requests), 1, COUNT_MAX,
     .help = "stop after N requests; default 10 without a duration"},
    {"--benchmark-duration", NULL, "S", ARG_DOUBLE, AT(duration_s), 0.001, TIME_MAX,
     .help = "stop sending after that long"},
    {"--benchmark-grace-period", NULL, "S", ARG_STRING, AT(grace_text),
     .help = "then wait that long for answers, or inf; default 30"},
    {"--request-cancellation-rate", NULL, "P", ARG_DOUBLE, AT(cancellation_rate), 0, 100,
     .help = "hang up on that percentage of the requests on purpose, not in the warm-up; default 0"},
    {"--request-cancellation-delay", NULL, "S", ARG_DOUBLE, AT(cancellation_delay_s), 0, TIME_MAX,
     .help = "so long after the request was sent in full; default 0: at once"},
    {"--warmup-request-count", "--num-warmup-requests", "N", ARG_INT, AT(n_warmup), 1, COUNT_MAX,
     .help = "requests before the measurement, left out of the results"},
    {"--warmup-duration", NULL, "S", ARG_DOUBLE, AT(warmup_duration_s), 0.001, TIME_MAX,
     .help = "length of the warm-up"},
    {"--warmup-concurrency", NULL, "N", ARG_INT, AT(warmup_concurrency), 1, 100000,
     .help = "default: as the measurement"},
    {"--warmup-concurrency-ramp-duration", NULL, "S", ARG_DOUBLE, AT(warmup_concurrency_ramp_s), 0.001, TIME_MAX,
     .help = "default: as the measurement"},
    {"--warmup-request-rate", NULL, "R", ARG_DOUBLE, AT(warmup_rate_hz), 1e-6, 1e6,
     .help = "default: as the measurement"},
    {"--warmup-request-rate-ramp-duration", NULL, "S", ARG_DOUBLE, AT(warmup_rate_ramp_s), 0.001, TIME_MAX,
     .help = "default: as the measurement"},
    {"--warmup-arrival-pattern", NULL, "PATTERN", ARG_CHOICE, AT(warmup_pattern), .choices = PATTERNS,
     .help = "default: as the measurement"},
    {"--warmup-grace-period", NULL, "S", ARG_STRING, AT(warmup_grace_text),
     .help = "after --warmup-duration; default 30"},

    {"--artifact-dir", "--output-artifact-dir", "DIR", ARG_STRING, AT(artifact_dir), .group = "Output",
     .help = "where files go; default artifacts/MODEL-openai-image_generation-LOAD"},
    {"--profile-export-prefix", "--profile-export-file", "NAME", ARG_STRING, AT(prefix),
     .help = "first part of the file names"},
    {"--export-level", "--profile-export-level", "LEVEL", ARG_CHOICE, AT(export_level), .choices = "summary|records|raw",
     .help = "summary, records (default: a line per request) or raw (whole answers too)"},
    {"--export-chrome-trace", NULL, NULL, ARG_FLAG, AT(has_trace),
     .help = "write the timeline of each request for chrome://tracing and Perfetto"},
    {"--slice-duration", NULL, "S", ARG_DOUBLE, AT(slice_s), 0.001, TIME_MAX,
     .help = "report time slices of that length too"},
    {"--goodput", NULL, "TAG:LIMIT", ARG_STRING, AT(goodput),
     .help = "count requests that meet limits, like \"request_latency:250\" (ms)"},
    {"--ui", "--ui-type", "UI", ARG_STRING, AT(ui),
     .help = "simple: a progress line on a terminal (default); none"},
    {"--log-level", NULL, "LEVEL", ARG_STRING, AT(log_level), .help = "default info"},
    {"--verbose", "-v", NULL, ARG_FLAG, AT(is_verbose), .help = "the same as --log-level debug"},
    {"--extra-verbose", "-vv", NULL, ARG_FLAG, AT(is_very_verbose), .help = "the same as --log-level trace"},

    {"--server-metrics", NULL, "URL", ARG_LIST, AT(server_metrics), .group = "Telemetry",
     .help = "Prometheus metrics to scrape besides /metrics of each --url; may repeat"},
    {"--server-metrics-formats", NULL, "FORMATS", ARG_STRING, AT(server_metrics_formats),
     .help = "files of server metrics: json, csv or json,csv (default)"},
    {"--no-server-metrics", NULL, NULL, ARG_FLAG, AT(no_server_metrics),
     .help = "scrape no server"},
    {"--gpu-telemetry", NULL, "SOURCE", ARG_LIST, AT(gpu_telemetry),
     .help = "address of a DCGM exporter, or pynvml for the GPUs of this machine; may repeat; default: "
             "for a server on this machine what of both is there"},
    {"--no-gpu-telemetry", NULL, NULL, ARG_FLAG, AT(no_gpu_telemetry), .help = "ask no GPU"},
    {"--telemetry-interval", NULL, "S", ARG_DOUBLE, AT(telemetry_interval_s), 0.01, 3600,
     .help = "time between two looks at all sources; default 0.333"},
    {"--idle-power-duration", NULL, "S", ARG_DOUBLE, AT(idle_power_s), 0, 3600,
     .help = "measure the power of idle GPUs for that long before the first request; default 0: what "
             "was seen until then"},
    {"--model-flops", NULL, "F", ARG_DOUBLE, AT(model_flops), 1, 1e24,
     .help = "floating-point operations of one image; default: as the server tells"},
    {"--device", NULL, "NAME", ARG_STRING, AT(device),
     .help = "device of the server, like H100; default: as its GPUs or the server tell"},
    {"--device-count", NULL, "N", ARG_INT, AT(n_devices), 1, 4096,
     .help = "how many of them share the work; default: those seen busy, else 1"},
    {"--device-peak-flops", NULL, "F", ARG_DOUBLE, AT(device_peak_flops), 1, 1e24,
     .help = "most operations a second of one device; default: a table of public figures"},
    {"--device-bandwidth", NULL, "B", ARG_DOUBLE, AT(device_bandwidth), 1, 1e18,
     .help = "bytes a second of its memory; default: the same table"},
};
/* clang-format on */

const size_t N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0];

const struct option *options_find(const char *word, size_t size)
{
    return args_find(OPTIONS, N_OPTIONS, word, size);
}

/* Names; one that ends in '-' stands for all that begin so. */
static const char *const UNSUPPORTED[] = {
    "--adaptive-",
    "--aggregate-",
    "--api-port",
    "--audio-",
    "--auto-plot",
    "--confidence-level",
    "--config",
    "-f",
    "--convergence-",
    "--conversation-",
    "--custom-",
    "--dataset-sampling-strategy",
    "--export-http-trace",
    "--export-outputs-json",
    "--failed-request-threshold",
    "--image-batch-size",
    "--image-source",
    "--image-source-sampling",
    "--mlflow-",
    "--model-selection-strategy",
    "--network-latency-",
    "--num-profile-runs",
    "--num-users",
    "--num-warmup-sessions",
    "--osl",
    "--osl-stddev",
    "--otel-",
    "--output-tokens-",
    "--plot-required",
    "--prefill-",
    "--profile-run-",
    "--prompt-batch-size",
    "--prompt-corpus",
    "--prompt-prefix-",
    "--random-range-ratio",
    "--record-processors",
    "--request-rate-series",
    "--search-",
    "--seq-dist",
    "--session-",
    "--set-consistent-seed",
    "--show-trace-timing",
    "--stats-interval",
    "--streaming",
    "--sweep-type",
    "--tokenizer-revision",
    "--tokenizer-trust-remote-code",
    "--use-server-token-count",
    "--user-centric-rate",
    "--video-",
    "--wandb-",
    "--warmup-prefill-",
    "--workers-max",
    "--max-workers",
};

const char *options_unsupported(const char *word, size_t size)
{
    if (options_find(word, size))
        return NULL;
    for (size_t i = 0; i < sizeof UNSUPPORTED / sizeof UNSUPPORTED[0]; i++) {
        const char *name = UNSUPPORTED[i];
        size_t n = strlen(name);
        bool is_prefix = name[n - 1] == '-';
        if (is_prefix ? size > n && memcmp(name, word, n) == 0
                      : size == n && memcmp(name, word, n) == 0)
            return name;
    }
    return NULL;
}
