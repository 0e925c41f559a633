/* Nestable asynchronous events ("b" and "e"), since requests overlap: those of one id make a row.
 */
#include "client/trace.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

struct row {
    struct buf *out;
    const struct record *r;
    int64_t offset_ns;
};

static void put_event(const struct row *row, const char *name, char phase, int64_t at_ns)
{
    int64_t unix_ns = at_ns + row->offset_ns;
    buf_printf(row->out,
               "{\"name\": \"%s\", \"cat\": \"request\", \"ph\": \"%c\", \"pid\": 1, \"tid\": 1, "
               "\"id\": \"%s-%" PRId64 "\", \"ts\": %" PRId64 ".%03d",
               name, phase, row->r->is_warmup ? "warmup" : "profiling", row->r->session,
               unix_ns / 1000, (int)(unix_ns % 1000));
}

static void span(const struct row *row, const char *name, int64_t from_ns, int64_t to_ns)
{
    if (from_ns <= 0 || to_ns <= from_ns)
        return; /* did not happen, or took no time */
    put_event(row, name, 'b', from_ns);
    buf_puts(row->out, "},\n");
    put_event(row, name, 'e', to_ns);
    buf_puts(row->out, "},\n");
}

/* A stage of the server from at_ns on; returns its end. */
static int64_t stage_span(const struct row *row, const char *name, int64_t at_ns, double ms)
{
    int64_t end_ns = isnan(ms) ? at_ns : at_ns + (int64_t)(ms * (double)NS_PER_MS);
    span(row, name, at_ns, end_ns);
    return end_ns;
}

static void put_stages(const struct row *row, int64_t at_ns)
{
    const struct stages *s = row->r->stages;
    at_ns = stage_span(row, "queue", at_ns, s->ms[STAGE_QUEUE]);
    at_ns = stage_span(row, "text encoding", at_ns, s->ms[STAGE_TEXT]);
    for (size_t i = 0; i < s->n_steps; i++)
        at_ns = stage_span(row, "step", at_ns, s->step_ms[i]);
    if (s->n_steps == 0)
        at_ns = stage_span(row, "denoising", at_ns, s->ms[STAGE_DENOISE]);
    at_ns = stage_span(row, "VAE", at_ns, s->ms[STAGE_VAE]);
    at_ns = stage_span(row, "image coding", at_ns, s->ms[STAGE_ENCODE]);
    at_ns = stage_span(row, "other", at_ns, s->ms[STAGE_OTHER]);
    span(row, "unexplained", at_ns, row->r->first_ns);
}

void trace_print(struct buf *out, const struct record *r, int64_t unix_offset_ns)
{
    const struct row row = {out, r, unix_offset_ns};
    put_event(&row, "request", 'b', r->due_ns);
    buf_printf(out, ", \"args\": {\"x_request_id\": \"%s\", \"status\": %d, \"images\": %zu",
               r->request_id, r->status, r->n_decoded);
    if (!record_succeeded(r)) {
        buf_puts(out, ", \"error\": ");
        json_print_string(out, r->error.type, strlen(r->error.type));
    }
    buf_puts(out, "}},\n");
    span(&row, "waiting to be sent", r->due_ns, r->start_ns);
    span(&row, "connecting", r->start_ns, r->send_start_ns);
    span(&row, "sending", r->send_start_ns, r->send_end_ns);
    if (r->stages && r->send_end_ns > 0)
        put_stages(&row, r->send_end_ns);
    else
        span(&row, "waiting", r->send_end_ns, r->first_ns);
    span(&row, "receiving", r->first_ns, r->end_ns);
    put_event(&row, "request", 'e', r->end_ns);
    buf_puts(out, "},\n");
}
