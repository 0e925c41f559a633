/* Waiting is done on states that the server shows, never on time alone. */
#include "tests/server/harness.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/listener.h"
#include "server/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static bool open_no_backend(void *ctx, int replica, struct backend **out, struct error *err)
{
    (void)ctx, (void)replica, (void)err;
    *out = NULL;
    return true;
}

static void count_answer(void *ctx, int status, double seconds)
{
    const struct service *service = ctx;
    (void)seconds;
    telemetry_answer(service->telemetry, status);
}

static size_t or_default(size_t value, size_t otherwise) { return value ? value : otherwise; }

void harness_start(struct harness *h, struct harness_options o)
{
    static const char *const NAMES[] = {"owner/model", "model"};
    struct error err = {0};
    *h = (struct harness){0};
    log_set_level(LOG_OFF);
    struct service *s = &h->service;
    s->limits = (struct images_limits){
        .max_n = 4, .max_steps = 1000, .max_pixels = 1 << 20, .max_prompt_bytes = 1000};
    s->names = NAMES;
    s->n_names = 2;
    s->is_strict = o.is_strict;
    int n_replicas = (int)or_default((size_t)o.n_replicas, 1);
    s->queue = queue_open((int)or_default((size_t)o.max_queue, 4), n_replicas);
    s->store = store_open(or_default(o.store_images, 8), 1 << 20);
    s->telemetry = telemetry_open();
    s->cost = cost_open("none", NULL);
    const struct worker_config worker = {.model_dir = "none",
                                         .open_backend = open_no_backend,
                                         .is_lost = o.is_lost,
                                         .queue = s->queue,
                                         .telemetry = s->telemetry};
    s->replicas = replicas_start(&worker, n_replicas);
    struct http_config http = {.max_connections = 64,
                               .timeout_s = (int)or_default((size_t)o.timeout_s, 30),
                               .max_body_bytes = or_default(o.max_body_bytes, 10000),
                               .max_form_bytes = 20000,
                               .ctx = s,
                               .on_done = count_answer};
    http.socket = listener_open("127.0.0.1", &s->port, &err);
    assert_true(http.socket >= 0);
    http.routes = routes_all(&http.n_routes);
    assert_true(http_open(&h->http, &http, &err));
    if (!o.is_loading)
        harness_wait_ready(h);
}

void harness_wait_ready(struct harness *h)
{
    while (replicas_state(h->service.replicas) == WORKER_STARTING)
        clock_sleep_until_ns(clock_now_ns() + NS_PER_MS);
}

void harness_stop(struct harness *h)
{
    queue_shut(h->service.queue);
    while (!replicas_are_done(h->service.replicas) || http_active(h->http))
        clock_sleep_until_ns(clock_now_ns() + NS_PER_MS);
    http_close(h->http);
    replicas_join(h->service.replicas, NULL);
    telemetry_close(h->service.telemetry);
    cost_close(h->service.cost);
    store_close(h->service.store);
    queue_close(h->service.queue);
}

/* --- client ------------------------------------------------------------------------------------*/

int harness_connect(const struct harness *h)
{
    struct error err = {0};
    int fd = listener_connect("127.0.0.1", h->service.port, 60000, &err);
    assert_true(fd >= 0);
    return fd;
}

void harness_send(int fd, const char *text)
{
    size_t size = strlen(text);
    assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), size);
}

/* Read on until the text holds size bytes; false at the end of the stream. */
static bool fill(int fd, struct buf *text, size_t size)
{
    while (text->size < size) {
        char *to = buf_reserve(text, size - text->size + 1);
        ssize_t got = recv(fd, to, size - text->size, 0);
        if (got <= 0)
            return false;
        text->size += (size_t)got;
        text->data[text->size] = '\0';
    }
    return true;
}

const char *reply_header(const struct reply *reply, const char *name)
{
    static char value[512];
    char start[64];
    snprintf(start, sizeof start, "\r\n%s: ", name);
    const char *found = strcasestr(reply->text.data, start);
    value[0] = '\0';
    if (found && found < reply->body) {
        found += strlen(start);
        snprintf(value, sizeof value, "%.*s", (int)strcspn(found, "\r"), found);
    }
    return value;
}

struct reply harness_read(int fd, bool is_head)
{
    struct reply reply = {0};
    buf_puts(&reply.text, "");
    while (!strstr(reply.text.data, "\r\n\r\n")) {
        if (!fill(fd, &reply.text, reply.text.size + 1))
            return reply;
    }
    size_t head = reply.text.size;
    reply.body = reply.text.data + head;
    reply.status = (int)strtol(reply.text.data + strlen("HTTP/1.1 "), NULL, 10);
    reply.body_size = is_head ? 0 : strtoul(reply_header(&reply, "Content-Length"), NULL, 10);
    if (!fill(fd, &reply.text, head + reply.body_size))
        reply.status = 0;
    reply.body = reply.text.data + head;
    return reply;
}

static void put_request(struct buf *out, const char *method, const char *path, const char *body)
{
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: test:1\r\n", method, path);
    if (body)
        buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    buf_printf(out, "\r\n%s", body ? body : "");
}

int harness_post(const struct harness *h, const char *body)
{
    struct buf request = {0};
    int fd = harness_connect(h);
    put_request(&request, "POST", "/v1/images/generations", body);
    harness_send(fd, request.data);
    buf_free(&request);
    return fd;
}

struct reply harness_ask(const struct harness *h, const char *method, const char *path,
                         const char *body)
{
    struct buf request = {0};
    int fd = harness_connect(h);
    put_request(&request, method, path, body);
    harness_send(fd, request.data);
    struct reply reply = harness_read(fd, strcmp(method, "HEAD") == 0);
    listener_close(fd);
    buf_free(&request);
    return reply;
}

void reply_free(struct reply *reply) { buf_free(&reply->text); }
