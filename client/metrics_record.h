/* The values of one request, rows of kind METRIC_RECORD in metrics_table.c. Each writes *v and
 * returns true when the request has such a value; most are for successes only. Internal to
 * metrics. */
#pragma once

#include "client/record.h"

bool metric_request_latency(const struct record *r, double *v);
bool metric_input_tokens(const struct record *r, double *v);
bool metric_output_tokens(const struct record *r, double *v);
bool metric_error_tokens(const struct record *r, double *v);
bool metric_effective_latency(const struct record *r, double *v);
bool metric_due_to_start(const struct record *r, double *v);
bool metric_response_time(const struct record *r, double *v);
bool metric_service_time(const struct record *r, double *v);
bool metric_send_lag(const struct record *r, double *v);
bool metric_http_blocked(const struct record *r, double *v);
bool metric_http_dns(const struct record *r, double *v);
bool metric_http_connecting(const struct record *r, double *v);
bool metric_http_sending(const struct record *r, double *v);
bool metric_http_waiting(const struct record *r, double *v);
bool metric_http_receiving(const struct record *r, double *v);
bool metric_http_reused(const struct record *r, double *v);
bool metric_http_data_sent(const struct record *r, double *v);
bool metric_http_chunks_sent(const struct record *r, double *v);
bool metric_http_data_received(const struct record *r, double *v);
bool metric_http_chunks_received(const struct record *r, double *v);
bool metric_http_overhead(const struct record *r, double *v);
bool metric_http_duration(const struct record *r, double *v);
bool metric_http_total(const struct record *r, double *v);
bool metric_usage_prompt(const struct record *r, double *v);
bool metric_usage_completion(const struct record *r, double *v);
bool metric_usage_prompt_difference(const struct record *r, double *v);
bool metric_stage_queue(const struct record *r, double *v);
bool metric_stage_text(const struct record *r, double *v);
bool metric_stage_denoise(const struct record *r, double *v);
bool metric_stage_vae(const struct record *r, double *v);
bool metric_stage_encode(const struct record *r, double *v);
bool metric_stage_other(const struct record *r, double *v);
bool metric_stage_total(const struct record *r, double *v);
bool metric_stage_unexplained(const struct record *r, double *v);
bool metric_step_time(const struct record *r, double *v);
bool metric_inference_time(const struct record *r, double *v);
bool metric_peak_memory(const struct record *r, double *v);
bool metric_images_returned(const struct record *r, double *v);
bool metric_images_decoded(const struct record *r, double *v);
bool metric_image_latency(const struct record *r, double *v);
bool metric_image_size(const struct record *r, double *v);
