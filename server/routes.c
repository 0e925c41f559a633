/* The small endpoints, and the table of all. */
#include "server/routes.h"

#include <string.h>

#include "base/json.h"
#include "server/generations.h"
#include "server/service.h"

/* --- what handlers share -----------------------------------------------------------------------*/

const struct flux *service_model(struct service *s, struct http_response *response)
{
    const struct flux *model = replicas_model(s->replicas);
    if (atomic_load(&s->is_draining)) {
        http_fail(response, 503, NULL, "shutting_down", "the server is shutting down");
        return NULL;
    }
    if (!model) {
        http_add_header(response, "Retry-After", "1");
        http_fail(response, 503, NULL, "model_loading",
                  "the model is still loading: wait until /health answers 200");
    }
    return model;
}

bool service_has_name(const struct service *s, const char *name)
{
    for (size_t i = 0; i < s->n_names; i++) {
        if (strcmp(s->names[i], name) == 0)
            return true;
    }
    return false;
}

static void put_json(struct http_response *response, int status, struct json *root)
{
    response->status = status;
    json_print(&response->body, root, 0);
    buf_putc(&response->body, '\n');
    json_free(root);
}

/* --- handlers ----------------------------------------------------------------------------------*/

static struct json *replicas_list(const struct replicas *replicas)
{
    struct json *list = json_new_array();
    for (int i = 0; i < replicas_n(replicas); i++) {
        struct worker_facts facts = replicas_facts(replicas, i);
        struct json *replica = json_new_object();
        json_set(replica, "state", json_new_string(replicas_state_name(facts.state)));
        json_set(replica, "device", json_new_string(facts.device));
        json_set(replica, "requests", json_new_int(facts.n_requests));
        json_set(replica, "busy_s", json_new_double(facts.busy_s));
        json_push(list, replica);
    }
    return list;
}

static void handle_health(void *ctx, const struct http_request *request,
                          struct http_response *response)
{
    struct service *s = ctx;
    (void)request;
    const char *status = "ok";
    if (replicas_state(s->replicas) == WORKER_LOST)
        status = replicas_state_name(WORKER_LOST);
    else if (atomic_load(&s->is_draining))
        status = "draining";
    else if (!replicas_model(s->replicas))
        status = "starting";
    struct telemetry_counts counts = telemetry_read(s->telemetry);
    struct queue_depth depth = queue_depth(s->queue);
    struct json *root = json_new_object();
    json_set(root, "status", json_new_string(status));
    json_set(root, "model", json_new_string(s->names[0]));
    json_set(root, "queue_depth", json_new_int(depth.waiting));
    json_set(root, "in_flight", json_new_int(depth.running));
    json_set(root, "completed", json_new_int(counts.outcomes[TELEMETRY_COMPLETED]));
    json_set(root, "canceled", json_new_int(counts.outcomes[TELEMETRY_CANCELED]));
    json_set(root, "failed", json_new_int(counts.outcomes[TELEMETRY_FAILED]));
    json_set(root, "rejected", json_new_int(counts.outcomes[TELEMETRY_REJECTED]));
    json_set(root, "images", json_new_int(counts.n_images));
    json_set(root, "uptime_s", json_new_double(counts.uptime_s));
    json_set(root, "replicas", replicas_list(s->replicas));
    put_json(response, strcmp(status, "ok") == 0 ? 200 : 503, root);
}

static struct json *model_object(const struct service *s, const char *name)
{
    struct json *model = json_new_object();
    json_set(model, "id", json_new_string(name));
    json_set(model, "object", json_new_string("model"));
    json_set(model, "created", json_new_int(s->started_s));
    json_set(model, "owned_by", json_new_string("fluxbench"));
    if (replicas_model(s->replicas)) { /* its device is known */
        json_set(model, "device", json_new_string(replicas_facts(s->replicas, 0).device));
        json_set(model, "device_count", json_new_int(replicas_n(s->replicas)));
        cost_put_model(s->cost, model);
    }
    return model;
}

static void handle_models(void *ctx, const struct http_request *request,
                          struct http_response *response)
{
    const struct service *s = ctx;
    (void)request;
    struct json *root = json_new_object(), *list = json_new_array();
    for (size_t i = 0; i < s->n_names; i++)
        json_push(list, model_object(s, s->names[i]));
    json_set(root, "object", json_new_string("list"));
    json_set(root, "data", list);
    put_json(response, 200, root);
}

static void handle_model(void *ctx, const struct http_request *request,
                         struct http_response *response)
{
    const struct service *s = ctx;
    if (service_has_name(s, request->param))
        put_json(response, 200, model_object(s, request->param));
    else
        http_fail(response, 404, "model", "model_not_found",
                  "model '%s': this server has only '%s'", request->param, s->names[0]);
}

static void handle_content(void *ctx, const struct http_request *request,
                           struct http_response *response)
{
    struct service *s = ctx;
    enum image_format format = IMAGE_UNKNOWN;
    switch (store_get(s->store, request->param, &response->body, &format)) {
    case STORE_FOUND:
        response->status = 200;
        response->content_type = image_format_mime(format);
        break;
    case STORE_DROPPED:
        http_fail(response, 410, NULL, NULL,
                  "image '%s' is gone: newer ones have taken its place in the store",
                  request->param);
        break;
    case STORE_UNKNOWN:
        http_fail(response, 404, NULL, NULL, "there is no image '%s'", request->param);
        break;
    }
}

static void handle_version(void *ctx, const struct http_request *request,
                           struct http_response *response)
{
    (void)ctx, (void)request;
    struct json *root = json_new_object();
    json_set(root, "name", json_new_string("fluxserve"));
    json_set(root, "version", json_new_string(FLUXBENCH_VERSION));
    put_json(response, 200, root);
}

static void handle_metrics(void *ctx, const struct http_request *request,
                           struct http_response *response)
{
    struct service *s = ctx;
    (void)request;
    struct queue_depth depth = queue_depth(s->queue);
    response->status = 200;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    telemetry_print(s->telemetry, depth.waiting, depth.running, &response->body);
    replicas_print(s->replicas, &response->body);
}

static const struct http_route ROUTES[] = {
    {"POST", "/v1/images/generations", generations_handle, false, false},
    {"POST", "/v1/images/edits", generations_handle, false, true},
    {"GET", "/v1/images/{}/content", handle_content, false, false},
    {"GET", "/v1/models", handle_models, true, false},
    {"GET", "/v1/models/{}", handle_model, true, false},
    {"GET", "/health", handle_health, true, false},
    {"GET", "/version", handle_version, true, false},
    {"GET", "/metrics", handle_metrics, true, false},
};

const struct http_route *routes_all(size_t *n_routes)
{
    *n_routes = sizeof ROUTES / sizeof ROUTES[0];
    return ROUTES;
}
