/* Times inside a record are nanoseconds; the values here are in the units of the table (ms, KB =
 * 1024 bytes). */
#include "client/metrics_record.h"

#include <math.h>

#include "base/clock.h"

#define BYTES_PER_KB 1024.0

static double to_ms(int64_t ns) { return (double)ns / (double)NS_PER_MS; }

static bool give(const struct record *r, double value, double *to)
{
    *to = value;
    return record_succeeded(r);
}

static int64_t between(int64_t from_ns, int64_t to_ns)
{
    return from_ns > 0 && to_ns > from_ns ? to_ns - from_ns : 0;
}

bool metric_request_latency(const struct record *r, double *v)
{
    return give(r, to_ms(r->end_ns - r->start_ns), v);
}

bool metric_input_tokens(const struct record *r, double *v)
{
    return give(r, (double)r->isl, v) && r->isl >= 0;
}

bool metric_output_tokens(const struct record *r, double *v)
{
    return give(r, 0, v); /* pictures have no tokens */
}

bool metric_error_tokens(const struct record *r, double *v)
{
    *v = (double)r->isl;
    return !record_succeeded(r) && !record_was_canceled(r) && r->isl >= 0;
}

bool metric_effective_latency(const struct record *r, double *v)
{
    *v = to_ms(r->end_ns - r->due_ns);
    return true;
}

bool metric_due_to_start(const struct record *r, double *v)
{
    *v = to_ms(r->start_ns - r->due_ns);
    return true;
}

/* The first byte leaves; for a request that never got so far, when it was handed over. */
static int64_t sent_ns(const struct record *r)
{
    return r->send_start_ns > 0 ? r->send_start_ns : r->start_ns;
}

bool metric_response_time(const struct record *r, double *v)
{
    return give(r, to_ms(r->end_ns - r->due_ns), v);
}

bool metric_service_time(const struct record *r, double *v)
{
    return give(r, to_ms(r->end_ns - sent_ns(r)), v);
}

bool metric_send_lag(const struct record *r, double *v)
{
    return give(r, to_ms(sent_ns(r) - r->due_ns), v);
}

static int64_t sending_ns(const struct record *r)
{
    return between(r->send_start_ns, r->send_end_ns);
}
static int64_t waiting_ns(const struct record *r) { return between(r->send_end_ns, r->first_ns); }
static int64_t receiving_ns(const struct record *r) { return between(r->first_ns, r->end_ns); }

bool metric_http_blocked(const struct record *r, double *v)
{
    return give(r, to_ms(r->blocked_ns), v);
}
bool metric_http_dns(const struct record *r, double *v) { return give(r, to_ms(r->dns_ns), v); }

bool metric_http_connecting(const struct record *r, double *v)
{
    return give(r, to_ms(r->connect_ns), v);
}

bool metric_http_sending(const struct record *r, double *v)
{
    return give(r, to_ms(sending_ns(r)), v);
}
bool metric_http_waiting(const struct record *r, double *v)
{
    return give(r, to_ms(waiting_ns(r)), v);
}

bool metric_http_receiving(const struct record *r, double *v)
{
    return give(r, to_ms(receiving_ns(r)), v);
}

bool metric_http_reused(const struct record *r, double *v) { return give(r, r->is_reused, v); }

bool metric_http_data_sent(const struct record *r, double *v)
{
    return give(r, (double)((int64_t)r->payload_bytes - r->bytes_unsent) / BYTES_PER_KB, v);
}

bool metric_http_chunks_sent(const struct record *r, double *v)
{
    return give(r, (double)r->n_chunks_sent, v);
}

bool metric_http_data_received(const struct record *r, double *v)
{
    return give(r, (double)r->bytes_received / BYTES_PER_KB, v);
}

bool metric_http_chunks_received(const struct record *r, double *v)
{
    return give(r, (double)r->n_chunks_received, v);
}

bool metric_http_overhead(const struct record *r, double *v)
{
    return give(r, to_ms(r->blocked_ns + r->dns_ns + r->connect_ns), v);
}

bool metric_http_duration(const struct record *r, double *v)
{
    return give(r, to_ms(between(r->send_start_ns, r->end_ns)), v);
}

bool metric_http_total(const struct record *r, double *v)
{
    return give(r,
                to_ms(r->blocked_ns + r->dns_ns + r->connect_ns + sending_ns(r) + waiting_ns(r) +
                      receiving_ns(r)),
                v);
}

bool metric_usage_prompt(const struct record *r, double *v)
{
    return give(r, (double)r->usage_prompt_tokens, v) && r->usage_prompt_tokens >= 0;
}

bool metric_usage_completion(const struct record *r, double *v)
{
    return give(r, (double)r->usage_completion_tokens, v) && r->usage_completion_tokens >= 0;
}

/* How far the server's count of the prompt is from ours. */
bool metric_usage_prompt_difference(const struct record *r, double *v)
{
    if (r->usage_prompt_tokens < 0 || r->isl <= 0)
        return false;
    double own = (double)r->isl;
    return give(r, fabs((double)r->usage_prompt_tokens - own) / own * 100, v);
}

bool metric_images_returned(const struct record *r, double *v)
{
    return give(r, (double)r->n_returned, v);
}

bool metric_images_decoded(const struct record *r, double *v)
{
    return give(r, (double)r->n_decoded, v);
}

bool metric_image_latency(const struct record *r, double *v)
{
    return r->n_decoded > 0 && give(r, to_ms(r->end_ns - r->start_ns) / (double)r->n_decoded, v);
}

/* Mean size of the picture files of a request. */
bool metric_image_size(const struct record *r, double *v)
{
    return r->n_decoded > 0 &&
           give(r, (double)r->image_bytes / BYTES_PER_KB / (double)r->n_returned, v);
}

/* ---- what the server tells ------------------------------------------------------------------ */

static bool give_stage(const struct record *r, enum stage stage, double *v)
{
    return r->stages && !isnan(r->stages->ms[stage]) && give(r, r->stages->ms[stage], v);
}

bool metric_stage_queue(const struct record *r, double *v) { return give_stage(r, STAGE_QUEUE, v); }
bool metric_stage_text(const struct record *r, double *v) { return give_stage(r, STAGE_TEXT, v); }
bool metric_stage_denoise(const struct record *r, double *v)
{
    return give_stage(r, STAGE_DENOISE, v);
}
bool metric_stage_vae(const struct record *r, double *v) { return give_stage(r, STAGE_VAE, v); }
bool metric_stage_encode(const struct record *r, double *v)
{
    return give_stage(r, STAGE_ENCODE, v);
}
bool metric_stage_other(const struct record *r, double *v) { return give_stage(r, STAGE_OTHER, v); }
bool metric_stage_total(const struct record *r, double *v) { return give_stage(r, STAGE_TOTAL, v); }

/* Between the last byte sent and the first byte back, but not in the server's own account: base64,
 * the network, the system, and what the server does not time. */
bool metric_stage_unexplained(const struct record *r, double *v)
{
    double total;
    return give_stage(r, STAGE_TOTAL, &total) && give(r, to_ms(waiting_ns(r)) - total, v);
}

bool metric_step_time(const struct record *r, double *v)
{
    return r->stages && r->stages->n_steps > 0 &&
           give(r, r->stages->ms[STAGE_DENOISE] / (double)r->stages->n_steps, v);
}

bool metric_inference_time(const struct record *r, double *v)
{
    return r->stages && !isnan(r->stages->inference_s) && give(r, r->stages->inference_s, v);
}

bool metric_peak_memory(const struct record *r, double *v)
{
    return r->stages && !isnan(r->stages->peak_memory_mib) &&
           give(r, r->stages->peak_memory_mib, v);
}
