/* The command line of `fluxperf profile`. Names, aliases and defaults are AIPerf's; an option of
 * AIPerf that is not supported is an error that says so, never ignored. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/args.h"
#include "base/log.h"
#include "client/arrivals.h"
#include "client/edit_image.h"
#include "client/endpoint.h"
#include "client/fields.h"
#include "client/metrics.h"
#include "client/request.h"

enum export_level { EXPORT_SUMMARY, EXPORT_RECORDS, EXPORT_RAW };
enum wait_mode { WAIT_MODELS, WAIT_INFERENCE, WAIT_BOTH };

/* As parsed; "none" below means 0 or NULL unless said otherwise. */
struct options {
    /* endpoint */
    const char *model;
    struct arg_list urls;
    const char *endpoint_type;
    const char *endpoint; /* path; NULL: that of the type */
    struct arg_list extra_inputs, headers;
    const char *api_key;
    double request_timeout_s;
    int connection_reuse; /* 0 pooled, 1 never, 2 sticky-user-sessions */
    int64_t n_workers;
    bool no_calibration;
    int http_version; /* 0: 1.1, 1: 2 */
    const char *tls_ca_file;
    bool tls_insecure;
    double wait_timeout_s, wait_interval_s;
    int wait_mode; /* enum wait_mode */

    /* input */
    const char *input_file;
    const char *dataset_type;
    int sampling; /* of the data set: enum sampling */
    bool fixed_schedule, no_fixed_schedule, schedule_auto_offset;
    int64_t schedule_start_ms, schedule_end_ms;
    int64_t n_conversations;
    double isl_mean, isl_std;
    struct edit_image_shape image_shape; /* of made-up input pictures */
    int64_t n_prompts;
    const char *tokenizer;
    int64_t seed;

    /* load */
    int64_t concurrency;
    double concurrency_ramp_s, rate_ramp_s;
    double request_rate_hz;
    double user_rate_hz; /* of all users together */
    int64_t n_users;
    double turns_mean, turns_std; /* of the users' sessions */
    int arrival_pattern;          /* enum arrival_pattern */
    double arrival_smoothness;
    int64_t n_requests;
    double duration_s;
    const char *grace_text;
    double cancellation_rate, cancellation_delay_s; /* percent of requests; after sending */
    int64_t n_warmup;
    double warmup_duration_s;
    int64_t warmup_concurrency;
    double warmup_rate_hz;
    double warmup_concurrency_ramp_s, warmup_rate_ramp_s;
    int warmup_pattern;
    const char *warmup_grace_text;

    /* output */
    const char *artifact_dir;
    const char *prefix;
    int export_level; /* enum export_level */
    double slice_s;
    bool has_trace; /* --export-chrome-trace */
    const char *goodput;
    const char *ui, *log_level;
    bool is_verbose, is_very_verbose;

    /* telemetry */
    struct arg_list server_metrics, gpu_telemetry; /* addresses, or lists of them */
    const char *server_metrics_formats;            /* of json, csv and jsonl, with commas */
    bool no_gpu_telemetry, no_server_metrics;
    double telemetry_interval_s, idle_power_s;
    double model_flops; /* of an image */
    const char *device;
    int64_t n_devices;
    double device_peak_flops, device_bandwidth; /* of one; a second */

    /* derived by options_parse */
    bool has_seed; /* --random-seed was given; else seed is from the system */
    bool has_warmup;
    const struct endpoint *kind;    /* of --endpoint-type */
    int dataset_format;             /* enum prompts_format */
    int64_t n_wanted;               /* requests to send: the least of the bounds; 0: none */
    int64_t n_scheduled;            /* rows of a fixed schedule; set when they are read */
    bool is_fixed_schedule;         /* asked for, or implied by a trace with timestamps */
    int64_t n_entries;              /* of prompts that are made up or drawn */
    double grace_s, warmup_grace_s; /* may be infinite */
    struct fields extra;
    struct request_target target;
    struct metrics_objective *objectives;
    size_t n_objectives;
    enum log_level level;
    char *run_dir;     /* where the artifacts go */
    char *cli_command; /* canonical, secrets replaced */
    struct args_seen seen;
};

/* Parse argv[first..argc), check it and derive the rest. Fails with ERR_INVALID. */
bool options_parse(struct options *o, int argc, char **argv, int first, struct error *err);
void options_free(struct options *o);
void options_help(void);

/* True when the option of that name was given on the command line. */
bool options_given(const struct options *o, const char *name);

/* Append the command as AIPerf records it: strings in single quotes, numbers bare, credentials
 * replaced by <redacted>. */
void options_print_command(struct buf *out, int argc, char **argv, int first);
