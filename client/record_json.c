#include "client/record_json.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "client/metrics.h"

#define MAX_EXACT 9e15 /* every integer below is a double */

/* These lines are written for every request, so that their parts are put together here and not by
 * printf. Append a, text and b; both ends have sizes known to the compiler. */
static inline void put_between(struct buf *out, const char *a, size_t n_a, const char *text,
                               const char *b, size_t n_b)
{
    size_t n = strlen(text);
    char *to = buf_reserve(out, n_a + n + n_b);
    memcpy(to, a, n_a);
    memcpy(to + n_a, text, n);
    memcpy(to + n_a + n, b, n_b);
    to[n_a + n + n_b] = '\0';
    out->size += n_a + n + n_b;
}
#define PUT_BETWEEN(out, a, text, b) put_between(out, a, sizeof(a) - 1, text, b, sizeof(b) - 1)

/* Append `"key":` with a comma in front unless an object was just opened. Keys need no escapes. */
static void put_key(struct buf *out, const char *key)
{
    bool is_first = out->size == 0 || out->data[out->size - 1] == '{';
    if (is_first)
        PUT_BETWEEN(out, "\"", key, "\":");
    else
        PUT_BETWEEN(out, ",\"", key, "\":");
}

/* A text of ours, which needs no escapes. */
static void put_plain(struct buf *out, const char *key, const char *text)
{
    put_key(out, key);
    PUT_BETWEEN(out, "\"", text, "\"");
}

static void put_string(struct buf *out, const char *key, const char *text)
{
    put_key(out, key);
    json_print_string(out, text, strlen(text));
}

static void put_int(struct buf *out, const char *key, int64_t value)
{
    put_key(out, key);
    buf_put_int(out, value);
}

static void put_bool(struct buf *out, const char *key, bool value)
{
    put_key(out, key);
    buf_puts(out, value ? "true" : "false");
}

static void put_time(struct buf *out, const char *key, int64_t ns, const struct record_context *c)
{
    if (ns > 0) /* moments that never came are left out */
        put_int(out, key, ns + c->unix_offset_ns);
}

static void put_metadata(struct buf *out, const struct record *r, const struct record_context *c)
{
    const char *phase = r->is_warmup ? "warmup" : "profiling";
    const struct prompts_entry e = prompts_view(r->row);
    put_key(out, "metadata");
    buf_putc(out, '{');
    put_int(out, "session_num", r->session);
    put_plain(out, "x_request_id", r->request_id);
    put_string(out, "x_correlation_id", record_correlation(r));
    put_string(out, "conversation_id", e.session_id);
    put_int(out, "turn_index", (int64_t)e.turn);
    put_time(out, "credit_issued_ns", r->due_ns, c);
    put_time(out, "request_start_ns", r->start_ns, c);
    put_time(out, "request_ack_ns", r->ack_ns, c);
    put_time(out, "request_end_ns", r->end_ns, c);
    put_plain(out, "worker_id", c->worker_id);
    put_plain(out, "record_processor_id", c->processor_id);
    put_plain(out, "benchmark_phase", phase);
    put_int(out, "phase_index", r->phase);
    if (!r->is_warmup)
        put_int(out, "profiling_index", 0);
    put_plain(out, "phase_name", phase);
    put_plain(out, "phase_kind", phase);
    bool is_ours = record_was_canceled(r) || record_was_dropped(r);
    put_bool(out, "was_cancelled", is_ours);
    if (is_ours)
        put_time(out, "cancellation_time_ns", r->end_ns, c);
    if (r->status > 0)
        put_int(out, "http_status", r->status);
    put_bool(out, "context_overflow_skip", false);
    put_int(out, "agent_depth", 0);
    put_string(out, "root_correlation_id", record_correlation(r));
    buf_putc(out, '}');
}

static void put_metric(struct buf *out, const char *tag, const char *unit, double value,
                       bool is_integer)
{
    put_key(out, tag);
    buf_append(out, "{\"value\":", 9);
    if (is_integer && fabs(value) < MAX_EXACT)
        buf_put_int(out, (int64_t)nearbyint(value));
    else if (is_integer)
        buf_printf(out, "%.0f", value);
    else
        json_print_double(out, value);
    PUT_BETWEEN(out, ",\"unit\":\"", unit, "\"}");
}

static void put_metrics(struct buf *out, const struct record *r, const struct record_context *c)
{
    put_key(out, "metrics");
    buf_putc(out, '{');
    for (size_t i = 0; i < N_METRICS; i++) {
        const struct metric *m = &METRICS[i];
        double value;
        if (m->in_jsonl && m->get(r, &value))
            put_metric(out, m->tag, m->unit, value, m->is_integer);
    }
    if (c->has_objectives && record_succeeded(r))
        put_metric(out, "good_request_count", "requests", r->is_good, true);
    buf_putc(out, '}');
}

static void put_hex(struct buf *out, const uint8_t *bytes, size_t size)
{
    static const char DIGITS[] = "0123456789abcdef";
    char *to = buf_reserve(out, 2 * size + 2);
    *to++ = '"';
    for (size_t i = 0; i < size; i++) {
        *to++ = DIGITS[bytes[i] >> 4];
        *to++ = DIGITS[bytes[i] & 15];
    }
    *to++ = '"';
    *to = '\0';
    out->size += 2 * size + 2;
}

static void put_images(struct buf *out, const struct record *r)
{
    put_key(out, "images");
    buf_putc(out, '[');
    for (size_t i = 0; i < r->n_returned && r->images; i++) {
        const struct record_image *image = &r->images[i];
        buf_puts(out, i ? ",{" : "{");
        put_bool(out, "decoded", image->format != NULL);
        if (image->format) {
            put_plain(out, "format", image->format);
            put_int(out, "width", image->width_px);
            put_int(out, "height", image->height_px);
        }
        put_int(out, "bytes", (int64_t)image->bytes);
        if (image->bytes > 0 && r->digests) {
            put_key(out, "sha256");
            put_hex(out, r->digests[i], SHA256_SIZE);
        }
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_error(struct buf *out, const struct record *r)
{
    put_key(out, "error");
    buf_putc(out, '{');
    if (r->error.code)
        put_int(out, "code", r->error.code);
    put_string(out, "type", r->error.type);
    put_string(out, "message", r->error.message);
    buf_putc(out, '}');
}

void record_print_line(struct buf *out, const struct record *r, const struct record_context *c)
{
    buf_putc(out, '{');
    put_metadata(out, r, c);
    put_metrics(out, r, c);
    if (r->n_returned > 0)
        put_images(out, r);
    if (!record_succeeded(r))
        put_error(out, r);
    buf_putc(out, '}');
}

/* ---- raw ------------------------------------------------------------------------------------ */

static void put_headers(struct buf *out, const struct record *r, const struct record_context *c)
{
    struct request_headers headers = {0};
    request_make_headers(&headers, c->target, r);
    bool is_form =
        r->payload_type != NULL; /* its type, with the boundary, is left out as in AIPerf */
    put_key(out, "request_headers");
    buf_putc(out, '{');
    for (size_t i = 0; i < headers.n_items; i++) {
        const struct request_header *h = &headers.items[i];
        if (is_form && strcmp(h->name, "Content-Type") == 0)
            continue;
        put_string(out, h->name, request_header_is_secret(h->name) ? "<redacted>" : h->value);
    }
    buf_putc(out, '}');
    request_headers_free(&headers);
}

/* The answer of a request that failed by its status is in the error already, and half an answer is
 * none; scripts that read pictures out of responses[] should not stumble over them. */
static bool has_response(const struct record *r)
{
    return r->transfer == TRANSFER_DONE && r->status >= 200 && r->status <= 299 &&
           record_body(r)->size > 0;
}

void record_print_raw(struct buf *out, const struct record *r, const struct record_context *c)
{
    buf_putc(out, '{');
    put_metadata(out, r, c);
    put_int(out, "start_perf_ns", r->start_ns);
    put_headers(out, r, c);
    if (r->status)
        put_int(out, "status", r->status);
    put_key(out, "responses");
    buf_putc(out, '[');
    if (has_response(r)) {
        buf_putc(out, '{');
        put_int(out, "perf_ns", r->end_ns);
        put_key(out, "text");
        json_print_string(out, record_body(r)->data, record_body(r)->size);
        if (r->content_type) {
            size_t n = strcspn(r->content_type, ";"); /* the type without parameters */
            put_key(out, "content_type");
            json_print_string(out, r->content_type, n);
        }
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
    put_key(out, "payload");
    const struct prompts_entry e = prompts_view(r->row);
    buf_append(out, e.json, e.json_bytes);
    if (!record_succeeded(r))
        put_error(out, r);
    buf_putc(out, '}');
}
