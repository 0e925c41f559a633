/* One request through the server, on its connection's thread: parse, judge, queue, wait, encode,
 * answer. The worker only makes pixels; compression and base64 happen here, so that they never hold
 * up the next image. */
#include "server/generations.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "server/images_answer.h"
#include "server/service.h"

/* Everything that one request owns. */
struct generation {
    struct service *service;
    const struct http_request *http;
    struct http_response *response;
    struct images_request wish;
    struct flux_spec spec;
    struct job job;
    struct buf files[FLUX_MAX_ROWS], urls[FLUX_MAX_ROWS];
    char id[32];
};

static void release(struct generation *g)
{
    for (int i = 0; i < FLUX_MAX_ROWS; i++) {
        buf_free(&g->files[i]);
        buf_free(&g->urls[i]);
    }
    flux_result_free(&g->job.result);
    images_request_free(&g->wish);
}

static void make_id(char *id, size_t size)
{
    uint64_t random;
    while (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {}
    snprintf(id, size, "gen-%016llx", (unsigned long long)random);
}

static bool is_gone(void *ctx)
{
    const struct http_request *request = ctx;
    return http_client_is_gone(request->socket);
}

/* --- parse and judge ---------------------------------------------------------------------------*/

static bool read_wish(struct generation *g, const struct flux *model)
{
    struct service *s = g->service;
    struct error err = {0};
    struct flux_spec defaults = flux_spec_default(model);
    const struct form *form = g->http->form;
    const struct buf *body = &g->http->body;
    bool ok = form ? images_parse_edit(&g->wish, form, &s->limits, &defaults, &err)
                   : images_parse(&g->wish, body->data, body->size, &s->limits, &defaults, &err);
    if (!ok) {
        http_fail_with(g->response, &err);
        return false;
    }
    if (s->is_strict && g->wish.model && !service_has_name(s, g->wish.model)) {
        http_fail(g->response, 404, "model", "model_not_found",
                  "model '%s': this server has only '%s'", g->wish.model, s->names[0]);
        return false;
    }
    g->spec = images_spec(&g->wish, &defaults);
    if (!flux_check(model, &g->spec, &err)) {
        images_rename_field(&err);
        if (g->wish.is_edit && strcmp(err.field, "size") == 0) /* the size is the picture's */
            snprintf(err.field, sizeof err.field, "image");
        http_fail_with(g->response, &err);
        return false;
    }
    return true;
}

/* --- queue and wait ----------------------------------------------------------------------------*/

static void reject(struct generation *g, const struct error *err)
{
    struct service *s = g->service;
    telemetry_outcome(s->telemetry, TELEMETRY_REJECTED);
    if (err->code == ERR_BUSY) {
        http_add_header(g->response, "Retry-After", "%d", telemetry_retry_after_s(s->telemetry));
        http_fail(g->response, 429, NULL, NULL, "%s", err->text);
    } else {
        http_fail(g->response, 503, NULL, "shutting_down", "%s", err->text);
    }
}

static bool run(struct generation *g)
{
    struct service *s = g->service;
    struct error err = {0};
    g->job.spec = &g->spec;
    if (!queue_submit(s->queue, &g->job, &err)) {
        reject(g, &err);
        return false;
    }
    if (queue_wait(s->queue, &g->job, is_gone, (void *)g->http, &err))
        return true;
    if (err.code != ERR_CANCELED) {
        images_rename_field(&err);
        http_fail_with(g->response, &err);
        return false;
    }
    bool was_running = g->job.started_ns != 0;
    if (!was_running) /* the worker has counted those that it saw */
        telemetry_outcome(s->telemetry, TELEMETRY_CANCELED);
    g->response->status = HTTP_NO_ANSWER;
    buf_printf(&g->response->log, " canceled=%s after_ms=%.1f", was_running ? "running" : "waiting",
               (double)(g->job.finished_ns - g->job.submitted_ns) / NS_PER_MS);
    return false;
}

/* --- encode and answer -------------------------------------------------------------------------*/

/* The Host header goes back to the client that sent it, but only if it looks like one. */
static void put_origin(struct buf *out, const struct generation *g)
{
    const char *host = g->http->host;
    bool is_plain = host && *host;
    for (const char *p = host; is_plain && *p; p++)
        is_plain = isalnum((unsigned char)*p) || strchr(".:-_[]", *p);
    if (is_plain)
        buf_printf(out, "http://%s", host);
    else
        buf_printf(out, "http://127.0.0.1:%d", g->service->port);
}

static bool encode(struct generation *g, struct error *err)
{
    const struct flux_result *r = &g->job.result;
    size_t image_bytes = (size_t)r->width_px * (size_t)r->height_px * 3;
    for (int i = 0; i < r->n_images; i++) {
        const struct image image = {r->width_px, r->height_px, r->rgb + (size_t)i * image_bytes};
        if (!image_encode(&g->files[i], &image, g->wish.format, g->wish.file_quality, err))
            return error_prefix(err, "image %d", i);
        if (!g->wish.wants_url)
            continue;
        char id[STORE_ID_SIZE];
        if (!store_put(g->service->store, &g->files[i], g->wish.format, id, err))
            return false;
        put_origin(&g->urls[i], g);
        buf_printf(&g->urls[i], "/v1/images/%s/content", id);
    }
    return true;
}

static void put_log(struct generation *g, const struct images_answer *a)
{
    struct buf *log = &g->response->log;
    const struct flux_result *r = a->result;
    buf_printf(log, " n=%d size=%dx%d steps=%d seed=%lld format=%s tokens=%lld ", r->n_images,
               r->width_px, r->height_px, r->steps_run, (long long)g->wish.seed,
               image_format_name(g->wish.format), (long long)r->prompt_tokens);
    images_answer_log(log, a);
    if (g->wish.is_edit)
        buf_printf(log, " strength=%g", g->wish.strength);
    if (*g->wish.ignored)
        http_log_text(g->response, "ignored", g->wish.ignored);
    if (*r->warning)
        http_log_text(g->response, "warning", r->warning);
}

static void answer(struct generation *g)
{
    struct error err = {0};
    int64_t begun_ns = clock_now_ns();
    if (!encode(g, &err)) {
        http_fail_with(g->response, &err);
        return;
    }
    int64_t ended_ns = clock_now_ns();
    const struct images_answer a = {
        .id = g->id,
        .model = g->service->names[0],
        .request = &g->wish,
        .result = &g->job.result,
        .files = g->files,
        .urls = g->wish.wants_url ? g->urls : NULL,
        .created_s = clock_unix_ns() / NS_PER_S,
        .queue_s = clock_seconds(g->job.started_ns - g->job.submitted_ns),
        .encode_s = clock_seconds(ended_ns - begun_ns),
        .total_s = clock_seconds(ended_ns - g->http->received_ns),
        .peak_memory_mib = telemetry_peak_memory_mib(),
        .flops = cost_flops(g->service->cost, &g->spec, &g->job.result),
    };
    telemetry_encoded(g->service->telemetry, a.encode_s);
    struct buf timing = {0};
    images_answer_timing(&timing, &a);
    http_add_header(g->response, "Server-Timing", "%s", timing.data);
    buf_free(&timing);
    g->response->status = 200;
    images_answer_write(&g->response->body, &a);
    put_log(g, &a);
}

void generations_handle(void *ctx, const struct http_request *request,
                        struct http_response *response)
{
    struct generation g = {.service = ctx, .http = request, .response = response};
    make_id(g.id, sizeof g.id);
    http_add_header(response, "X-Request-ID", "%s", g.id);
    buf_printf(&response->log, "id=%s", g.id);
    const struct flux *model = service_model(g.service, response);
    if (!model) {
        telemetry_outcome(g.service->telemetry, TELEMETRY_REJECTED);
        return;
    }
    bool was_read = read_wish(&g, model);
    if (g.wish.model && strcmp(g.wish.model, g.service->names[0]) != 0)
        http_log_text(response, "asked_model", g.wish.model);
    http_log_text(response, "model", g.service->names[0]);
    if (was_read && run(&g))
        answer(&g);
    release(&g);
}
