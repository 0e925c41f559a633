/* The rows, and the values of a whole run; those of one request are in metrics_record.c.
 * "Window" is the time from the start of the phase to the return of its last
 * request. Failed requests count in: completed, error and effective rows; nowhere else. */
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "client/metrics.h"
#include "client/metrics_record.h"

#define REPLAY_DEGRADED_MS 500 /* AIPerf's */

static double window_s(const struct metrics_input *in)
{
    return clock_seconds(in->end_ns - in->start_ns);
}

/* ---- one run -------------------------------------------------------------------------------- */

static bool scalar(struct stats *s, double value)
{
    s->avg = value;
    return true;
}

/* Sum of a request value over all requests that have it. */
static double sum_of(const struct metrics_input *in, bool (*get)(const struct record *, double *),
                     size_t *n)
{
    double sum = 0, value;
    *n = 0;
    for (size_t i = 0; i < in->n_records; i++) {
        if (get(metrics_record(in, i), &value)) {
            sum += value;
            ++*n;
        }
    }
    return sum;
}

static size_t count_successes(const struct metrics_input *in)
{
    size_t n = 0;
    for (size_t i = 0; i < in->n_records; i++)
        n += record_succeeded(metrics_record(in, i));
    return n;
}

static size_t count_good(const struct metrics_input *in)
{
    size_t n = 0;
    for (size_t i = 0; i < in->n_records; i++)
        n += metrics_record(in, i)->is_good;
    return n;
}

/* Images of all answers, those of failed requests included. */
static void count_images(const struct metrics_input *in, size_t *n_returned, size_t *n_decoded)
{
    *n_returned = *n_decoded = 0;
    for (size_t i = 0; i < in->n_records; i++) {
        *n_returned += metrics_record(in, i)->n_returned;
        *n_decoded += metrics_record(in, i)->n_decoded;
    }
}

static bool request_count(const struct metrics_input *in, struct stats *s)
{
    return scalar(s, (double)count_successes(in));
}

static bool per_window(const struct metrics_input *in, struct stats *s, double amount)
{
    double window = window_s(in);
    return window > 0 && scalar(s, amount / window);
}

static bool request_throughput(const struct metrics_input *in, struct stats *s)
{
    return per_window(in, s, (double)count_successes(in));
}

static bool token_throughput(const struct metrics_input *in, struct stats *s)
{
    size_t n;
    double sum = sum_of(in, metric_input_tokens, &n);
    return n > 0 && per_window(in, s, sum);
}

static bool total_tokens(const struct metrics_input *in, struct stats *s)
{
    size_t n;
    double sum = sum_of(in, metric_input_tokens, &n);
    return n > 0 && scalar(s, sum);
}

static bool total_error_tokens(const struct metrics_input *in, struct stats *s)
{
    size_t n;
    double sum = sum_of(in, metric_error_tokens, &n);
    return n > 0 && scalar(s, sum);
}

static bool total_usage_prompt(const struct metrics_input *in, struct stats *s)
{
    size_t n;
    double sum = sum_of(in, metric_usage_prompt, &n);
    return n > 0 && scalar(s, sum);
}

static bool completed_count(const struct metrics_input *in, struct stats *s)
{
    return scalar(s, (double)in->n_records);
}

static size_t count_errors(const struct metrics_input *in)
{
    return in->n_records - count_successes(in);
}

static bool error_count(const struct metrics_input *in, struct stats *s)
{
    return count_errors(in) > 0 && scalar(s, (double)count_errors(in));
}

static bool error_rate(const struct metrics_input *in, struct stats *s)
{
    return in->n_records > 0 && scalar(s, 100 * (double)count_errors(in) / (double)in->n_records);
}

static bool context_overflows(const struct metrics_input *in, struct stats *s)
{
    return count_errors(in) > 0 && scalar(s, 0); /* pictures have no context to overflow */
}

static bool canceled_count(const struct metrics_input *in, struct stats *s)
{
    return in->n_canceled > 0 && scalar(s, (double)in->n_canceled);
}

/* Hung up because --request-cancellation-rate said so. */
static bool dropped_count(const struct metrics_input *in, struct stats *s)
{
    size_t n = 0;
    for (size_t i = 0; i < in->n_records; i++)
        n += record_was_dropped(metrics_record(in, i));
    return n > 0 && scalar(s, (double)n);
}

static bool late_count(const struct metrics_input *in, struct stats *s)
{
    size_t n = 0;
    for (size_t i = 0; i < in->n_flights; i++)
        n += metrics_flight(in, i)->start_ns - metrics_flight(in, i)->due_ns > METRICS_LATE_NS;
    return scalar(s, (double)n);
}

/* How unevenly late the requests of a replay started: their lateness beyond that of the least late
 * one, which is what AIPerf can know. */
static struct stats replay_lag(const struct metrics_input *in)
{
    double *lags = xcalloc(in->n_records + 1, sizeof *lags);
    size_t n = 0;
    for (size_t i = 0; i < in->n_records; i++) {
        const struct record *r = metrics_record(in, i);
        if (record_succeeded(r))
            lags[n++] = (double)(r->start_ns - r->due_ns) / (double)NS_PER_MS;
    }
    struct stats stats = stats_compute(lags, n);
    free(lags);
    return stats;
}

static bool replay_percentile(const struct metrics_input *in, int which, struct stats *s)
{
    if (!in->is_replay)
        return false;
    const struct stats lag = replay_lag(in);
    return lag.count > 0 && scalar(s, lag.p[which] - lag.min);
}

static bool replay_p50(const struct metrics_input *in, struct stats *s)
{
    return replay_percentile(in, P50, s);
}

static bool replay_p90(const struct metrics_input *in, struct stats *s)
{
    return replay_percentile(in, P90, s);
}

static bool replay_p99(const struct metrics_input *in, struct stats *s)
{
    return replay_percentile(in, P99, s);
}

static bool replay_degraded(const struct metrics_input *in, struct stats *s)
{
    return replay_percentile(in, P99, s) && scalar(s, s->avg > REPLAY_DEGRADED_MS);
}

static bool unsent_count(const struct metrics_input *in, struct stats *s)
{
    return scalar(s, (double)in->n_unsent);
}

static bool held_count(const struct metrics_input *in, struct stats *s)
{
    return in->n_held > 0 && scalar(s, (double)in->n_held);
}

static bool held_time(const struct metrics_input *in, struct stats *s)
{
    return in->n_held > 0 && scalar(s, clock_seconds(in->held_ns));
}

static bool good_count(const struct metrics_input *in, struct stats *s)
{
    return in->has_objectives && scalar(s, (double)count_good(in));
}

static bool good_fraction(const struct metrics_input *in, struct stats *s)
{
    return in->has_objectives && in->n_records > 0 &&
           scalar(s, (double)count_good(in) / (double)in->n_records);
}

static bool goodput(const struct metrics_input *in, struct stats *s)
{
    return in->has_objectives && per_window(in, s, (double)count_good(in));
}

/* From the first start to the last end, successes only. */
static bool benchmark_duration(const struct metrics_input *in, struct stats *s)
{
    int64_t first_ns = INT64_MAX, last_ns = INT64_MIN;
    for (size_t i = 0; i < in->n_records; i++) {
        const struct record *r = metrics_record(in, i);
        if (!record_succeeded(r))
            continue;
        first_ns = r->start_ns < first_ns ? r->start_ns : first_ns;
        last_ns = r->end_ns > last_ns ? r->end_ns : last_ns;
    }
    return last_ns > INT64_MIN && scalar(s, clock_seconds(last_ns - first_ns));
}

/* Each failure counts as infinitely slow. Only of interest when there is one. */
static bool adjusted_latency(const struct metrics_input *in, struct stats *s)
{
    if (count_errors(in) == 0)
        return false;
    double *values = xcalloc(in->n_records, sizeof *values);
    for (size_t i = 0; i < in->n_records; i++) {
        if (!metric_request_latency(metrics_record(in, i), &values[i]))
            values[i] = INFINITY;
    }
    *s = stats_compute_nearest(values, in->n_records);
    free(values);
    return true;
}

/* ---- levels over time ----------------------------------------------------------------------- */

static int compare_times(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int64_t clamp(int64_t ns, int64_t low, int64_t high)
{
    return ns < low ? low : ns > high ? high : ns;
}

/* When requests of the window start, and when they end: two lists of n moments, each in order. */
struct edges {
    int64_t *starts, *ends; /* owned */
    size_t n;
};

static void find_edges(struct edges *e, const struct metrics_input *in)
{
    e->starts = xcalloc(in->n_flights + 1, sizeof *e->starts);
    e->ends = xcalloc(in->n_flights + 1, sizeof *e->ends);
    for (size_t i = 0; i < in->n_flights; i++) {
        const struct record *r = metrics_flight(in, i);
        if (r->end_ns <= in->start_ns || r->start_ns >= in->end_ns)
            continue; /* a slice sees the few around it */
        e->starts[e->n] = clamp(r->start_ns, in->start_ns, in->end_ns);
        e->ends[e->n++] = clamp(r->end_ns, in->start_ns, in->end_ns);
    }
    qsort(e->starts, e->n, sizeof *e->starts, compare_times);
    qsort(e->ends, e->n, sizeof *e->ends, compare_times);
}

/* Requests in flight at each moment of the window. */
static bool effective_concurrency(const struct metrics_input *in, struct stats *s)
{
    struct edges e = {0};
    find_edges(&e, in);
    double *time = xcalloc(e.n + 1, sizeof *time);
    size_t level = 0, n_started = 0, n_ended = 0, n_spans = 0;
    for (int64_t at_ns = in->start_ns; at_ns < in->end_ns;) {
        while (n_started < e.n && e.starts[n_started] <= at_ns)
            n_started++;
        while (n_ended < n_started && e.ends[n_ended] <= at_ns)
            n_ended++;
        level = n_started - n_ended;
        int64_t until_ns = n_started < e.n ? e.starts[n_started] : in->end_ns;
        if (n_ended < n_started && e.ends[n_ended] < until_ns)
            until_ns = e.ends[n_ended];
        time[level] += (double)(until_ns - at_ns);
        n_spans++;
        at_ns = until_ns;
    }
    *s = stats_compute_levels(time, e.n + 1, n_spans);
    free(time);
    free(e.starts);
    free(e.ends);
    return s->count > 0;
}

/* Token rates of answers. A picture has no tokens, so the level is 0 all the time; the rows exist
 * because scripts made for AIPerf's files look for them. */
static bool no_tokens(const struct metrics_input *in, struct stats *s)
{
    const double time = (double)(in->end_ns - in->start_ns);
    *s = stats_compute_levels(&time, 1, time > 0);
    return s->count > 0;
}

/* ---- images --------------------------------------------------------------------------------- */

static bool total_returned(const struct metrics_input *in, struct stats *s)
{
    size_t n_returned, n_decoded;
    count_images(in, &n_returned, &n_decoded);
    return scalar(s, (double)n_returned);
}

static bool total_decoded(const struct metrics_input *in, struct stats *s)
{
    size_t n_returned, n_decoded;
    count_images(in, &n_returned, &n_decoded);
    return scalar(s, (double)n_decoded);
}

static bool image_throughput(const struct metrics_input *in, struct stats *s)
{
    size_t n_returned, n_decoded;
    count_images(in, &n_returned, &n_decoded);
    return per_window(in, s, (double)n_decoded);
}

static bool megapixel_throughput(const struct metrics_input *in, struct stats *s)
{
    double pixels = 0;
    for (size_t i = 0; i < in->n_records; i++) {
        pixels += (double)metrics_record(in, i)->image_pixels;
    }
    return per_window(in, s, pixels / 1e6);
}

/* Bodies of all answers, those of failed requests included. */
static bool byte_throughput(const struct metrics_input *in, struct stats *s)
{
    double bytes = 0;
    for (size_t i = 0; i < in->n_records; i++)
        bytes += (double)metrics_record(in, i)->bytes_received;
    return per_window(in, s, bytes / 1e6);
}

/* Denoising steps of all answers that tell them. */
static bool step_throughput(const struct metrics_input *in, struct stats *s)
{
    size_t n = 0;
    for (size_t i = 0; i < in->n_records; i++)
        n += metrics_record(in, i)->stages ? metrics_record(in, i)->stages->n_steps : 0;
    return n > 0 && per_window(in, s, (double)n);
}

/* ---- the table ------------------------------------------------------------------------------ */

/* clang-format off */
#define RECORD(tag, name, unit, table, get) {tag, name, unit, METRIC_RECORD, table, true, false, false, false, get, NULL}
#define WHOLE(tag, name, unit, table, get)  {tag, name, unit, METRIC_RECORD, table, true, true, false, false, get, NULL}
#define HIDDEN(tag, name, unit, table, get) {tag, name, unit, METRIC_RECORD, table, false, false, false, true, get, NULL}
#define SCALAR(tag, name, unit, table, get) {tag, name, unit, METRIC_SCALAR, table, false, false, true, false, NULL, get}
#define WHOLE_RUN(tag, name, unit, table, get) {tag, name, unit, METRIC_SCALAR, table, false, false, false, true, NULL, get}
#define STEPS(tag, name, unit, table, get)  {tag, name, unit, METRIC_STEPS, table, false, false, false, false, NULL, get}

const struct metric METRICS[] = {
    STEPS("effective_concurrency", "Effective Concurrency", "requests", TABLE_EFFECTIVE, effective_concurrency),
    HIDDEN("effective_latency", "Effective Latency (CO-aware)", "ms", TABLE_EFFECTIVE, metric_effective_latency),

    WHOLE("usage_prompt_tokens", "Usage Prompt Tokens", "tokens", TABLE_USAGE, metric_usage_prompt),
    WHOLE("usage_completion_tokens", "Usage Completion Tokens", "tokens", TABLE_USAGE, metric_usage_completion),
    SCALAR("total_usage_prompt_tokens", "Total Usage Prompt Tokens", "tokens", TABLE_USAGE, total_usage_prompt),
    RECORD("usage_prompt_tokens_diff_pct", "Usage Prompt Diff %", "%", TABLE_NONE, metric_usage_prompt_difference),

    RECORD("request_latency", "Request Latency", "ms", TABLE_MAIN, metric_request_latency),
    WHOLE("output_sequence_length", "Output Sequence Length", "tokens", TABLE_MAIN, metric_output_tokens),
    WHOLE("input_sequence_length", "Input Sequence Length", "tokens", TABLE_MAIN, metric_input_tokens),
    SCALAR("input_token_throughput", "Input Token Throughput", "tokens/sec", TABLE_MAIN, token_throughput),
    SCALAR("request_throughput", "Request Throughput", "requests/sec", TABLE_MAIN, request_throughput),
    SCALAR("goodput", "Goodput", "requests/sec", TABLE_MAIN, goodput),
    SCALAR("completed_request_count", "Completed Requests (Success + Error)", "requests", TABLE_MAIN, completed_count),
    SCALAR("request_error_rate", "Request Error Rate", "%", TABLE_MAIN, error_rate),
    SCALAR("request_count", "Request Count", "requests", TABLE_MAIN, request_count),
    SCALAR("canceled_request_count", "Canceled Requests", "requests", TABLE_MAIN, canceled_count),
    SCALAR("request_cancellation_count", "Requests Canceled on Purpose", "requests", TABLE_MAIN, dropped_count),
    {"adj_request_latency", "Request Latency (error-adjusted)", "ms", METRIC_RECORD, TABLE_MAIN, false, false, false, true, NULL, adjusted_latency},

    RECORD("response_time", "Response Time (from due)", "ms", TABLE_TIMING, metric_response_time),
    RECORD("service_time", "Service Time (from send)", "ms", TABLE_TIMING, metric_service_time),
    RECORD("send_lag", "Send Lag", "ms", TABLE_TIMING, metric_send_lag),
    WHOLE_RUN("late_request_count", "Late Requests", "requests", TABLE_TIMING, late_count),
    WHOLE_RUN("unsent_request_count", "Unsent Requests", "requests", TABLE_TIMING, unsent_count),
    WHOLE_RUN("sending_held_count", "Sending Held", "count", TABLE_TIMING, held_count),
    WHOLE_RUN("sending_held_time", "Sending Held Time", "sec", TABLE_TIMING, held_time),

    SCALAR("images_returned", "Images Returned", "images", TABLE_IMAGES, total_returned),
    SCALAR("images_decoded", "Images Decoded", "images", TABLE_IMAGES, total_decoded),
    SCALAR("image_throughput", "Image Throughput", "images/sec", TABLE_IMAGES, image_throughput),
    SCALAR("megapixel_throughput", "Megapixel Throughput", "MP/sec", TABLE_IMAGES, megapixel_throughput),
    SCALAR("response_byte_throughput", "Response Throughput", "MB/sec", TABLE_IMAGES, byte_throughput),
    {"image_latency", "Image Latency", "ms/image", METRIC_RECORD, TABLE_IMAGES, true, false, false, false, metric_image_latency, NULL},
    {"image_file_size", "Image File Size", "KB", METRIC_RECORD, TABLE_IMAGES, true, false, false, false, metric_image_size, NULL},
    {"num_images_returned", "Images Returned per Request", "images", METRIC_RECORD, TABLE_NONE, true, true, true, false, metric_images_returned, NULL},
    {"num_images_decoded", "Images Decoded per Request", "images", METRIC_RECORD, TABLE_NONE, true, true, true, false, metric_images_decoded, NULL},

    RECORD("server_queue_time", "Queue", "ms", TABLE_STAGES, metric_stage_queue),
    RECORD("server_text_encoding_time", "Text Encoding", "ms", TABLE_STAGES, metric_stage_text),
    RECORD("server_denoising_time", "Denoising", "ms", TABLE_STAGES, metric_stage_denoise),
    RECORD("server_vae_time", "VAE", "ms", TABLE_STAGES, metric_stage_vae),
    RECORD("server_image_coding_time", "Image Coding", "ms", TABLE_STAGES, metric_stage_encode),
    RECORD("server_other_time", "Other", "ms", TABLE_STAGES, metric_stage_other),
    RECORD("server_total_time", "Total in the Server", "ms", TABLE_STAGES, metric_stage_total),
    RECORD("unexplained_time", "Unexplained", "ms", TABLE_STAGES, metric_stage_unexplained),
    RECORD("denoising_step_time", "Denoising Step", "ms", TABLE_STAGES, metric_step_time),
    SCALAR("denoising_step_throughput", "Denoising Step Throughput", "steps/sec", TABLE_STAGES, step_throughput),
    RECORD("inference_time", "Inference Time", "sec", TABLE_STAGES, metric_inference_time),
    {"peak_memory_mb", "Peak Memory of the Server", "MB", METRIC_RECORD, TABLE_STAGES, true, false, false, false, metric_peak_memory, NULL},

    WHOLE_RUN("replay_sched_lag_p50", "Replay Schedule Lag p50", "ms", TABLE_NONE, replay_p50),
    WHOLE_RUN("replay_sched_lag_p90", "Replay Schedule Lag p90", "ms", TABLE_NONE, replay_p90),
    WHOLE_RUN("replay_sched_lag_p99", "Replay Schedule Lag p99", "ms", TABLE_NONE, replay_p99),
    WHOLE_RUN("replay_sched_degraded", "Replay Schedule Degraded", "count", TABLE_NONE, replay_degraded),

    SCALAR("good_request_count", "Good Request Count", "requests", TABLE_NONE, good_count),
    SCALAR("good_request_fraction", "GoodRequestFraction", "ratio", TABLE_NONE, good_fraction),
    SCALAR("benchmark_duration", "Benchmark Duration", "sec", TABLE_NONE, benchmark_duration),
    SCALAR("total_isl", "Total Input Sequence Length", "tokens", TABLE_NONE, total_tokens),
    SCALAR("error_request_count", "Error Request Count", "requests", TABLE_NONE, error_count),
    {"error_isl", "Error Input Sequence Length", "tokens", METRIC_RECORD, TABLE_NONE, true, true, false, false, metric_error_tokens, NULL},
    SCALAR("total_error_isl", "Total Error Input Sequence Length", "tokens", TABLE_NONE, total_error_tokens),
    SCALAR("context_overflow_count", "Context Overflow Count", "requests", TABLE_NONE, context_overflows),
    HIDDEN("credit_to_start_latency", "Credit-to-Start Latency", "ms", TABLE_NONE, metric_due_to_start),

    RECORD("http_req_blocked", "HTTP Blocked", "ms", TABLE_NONE, metric_http_blocked),
    RECORD("http_req_dns_lookup", "HTTP DNS Lookup", "ms", TABLE_NONE, metric_http_dns),
    RECORD("http_req_connecting", "HTTP Connecting", "ms", TABLE_NONE, metric_http_connecting),
    RECORD("http_req_sending", "HTTP Sending", "ms", TABLE_NONE, metric_http_sending),
    RECORD("http_req_waiting", "HTTP Waiting (TTFB)", "ms", TABLE_NONE, metric_http_waiting),
    RECORD("http_req_receiving", "HTTP Receiving", "ms", TABLE_NONE, metric_http_receiving),
    WHOLE("http_req_connection_reused", "HTTP Connection Reused", "ratio", TABLE_NONE, metric_http_reused),
    RECORD("http_req_data_sent", "HTTP Data Sent", "KB", TABLE_NONE, metric_http_data_sent),
    WHOLE("http_req_chunks_sent", "HTTP Chunks Sent", "count", TABLE_NONE, metric_http_chunks_sent),
    RECORD("http_req_data_received", "HTTP Data Received", "KB", TABLE_NONE, metric_http_data_received),
    WHOLE("http_req_chunks_received", "HTTP Chunks Received", "count", TABLE_NONE, metric_http_chunks_received),
    RECORD("http_req_connection_overhead", "HTTP Connection Overhead", "ms", TABLE_NONE, metric_http_overhead),
    RECORD("http_req_duration", "HTTP Duration (excl. conn)", "ms", TABLE_NONE, metric_http_duration),
    RECORD("http_req_total", "HTTP Total Time", "ms", TABLE_NONE, metric_http_total),

    STEPS("effective_decode_throughput", "Effective Decode Throughput", "tokens/sec", TABLE_NONE, no_tokens),
    STEPS("effective_prefill_throughput", "Effective Prefill Throughput", "tokens/sec", TABLE_NONE, no_tokens),
    STEPS("effective_decode_concurrency", "Effective Decode Concurrency", "requests", TABLE_NONE, no_tokens),
    STEPS("effective_prefill_concurrency", "Effective Prefill Concurrency", "requests", TABLE_NONE, no_tokens),
    STEPS("effective_total_throughput", "Effective Total Throughput", "tokens/sec", TABLE_NONE, no_tokens),
    STEPS("effective_decode_throughput_per_user", "Effective Decode Throughput Per User", "tokens/sec/user", TABLE_NONE, no_tokens),
    STEPS("effective_prefill_throughput_per_user", "Effective Prefill Throughput Per User", "tokens/sec/user", TABLE_NONE, no_tokens),
    STEPS("tokens_in_flight", "Tokens In Flight", "tokens", TABLE_NONE, no_tokens),
    STEPS("active_decode_throughput", "Active Decode Throughput", "tokens/sec", TABLE_NONE, no_tokens),
    STEPS("active_prefill_throughput", "Active Prefill Throughput", "tokens/sec", TABLE_NONE, no_tokens),
    STEPS("active_decode_throughput_per_user", "Active Decode Throughput Per User", "tokens/sec/user", TABLE_NONE, no_tokens),
    STEPS("active_prefill_throughput_per_user", "Active Prefill Throughput Per User", "tokens/sec/user", TABLE_NONE, no_tokens),
    STEPS("active_total_throughput", "Active Total Throughput", "tokens/sec", TABLE_NONE, no_tokens),
};
/* clang-format on */

const size_t N_METRICS = sizeof METRICS / sizeof METRICS[0];
