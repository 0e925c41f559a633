/* The server's life in one page: listen, load and warm up, serve, drain, stop.
 *
 * Threads: main waits for signals; each worker owns a model; each connection has one. SIGINT and
 * SIGTERM are blocked everywhere and taken by main with sigtimedwait(). The first one drains: work
 * that was accepted is finished and answered, new work gets 503. A second one ends the process. A
 * device that is lost drains too, and the exit code asks for a new start: a process can't get its
 * context back. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/commands.h"
#include "server/find_model.h"
#include "server/listener.h"
#include "server/memory_check.h"
#include "server/options.h"
#include "server/routes.h"
#include "server/service.h"

static const double PEAK_SECONDS = 0.05; /* it delays the start */

enum { TICK_MS = 20, SERVING_TICK_MS = 200, EXIT_DEVICE_LOST = 3 };

struct server {
    struct server_options options;
    struct buf model_dir, basename;
    const char *default_names[2];
    struct service service;
    struct http *http;
    int listener;
    sigset_t signals;
};

/* --- names and back end ------------------------------------------------------------------------*/

/* As told by --served-model-name, else the path as given and its last part. */
static void set_names(struct server *s)
{
    const struct server_options *o = &s->options;
    s->service.names = o->served_names.items;
    s->service.n_names = o->served_names.n_items;
    if (s->service.n_names)
        return;
    const char *path = o->model_path && *o->model_path ? o->model_path : MODEL_DIR_DEFAULT;
    model_dir_basename(&s->basename, path);
    s->default_names[0] = path;
    s->default_names[1] = s->basename.data;
    s->service.names = s->default_names;
    s->service.n_names = strcmp(path, s->basename.data) == 0 ? 1 : 2;
}

static bool open_backend(void *ctx, int replica, struct backend **out, struct error *err)
{
    const struct server *s = ctx;
    struct backends_wish wish = s->options.backend;
    wish.device_id += replica * wish.degree;
    if (!backends_open(out, &wish, err))
        return false;
    if (replica == 0) {
        options_warn(&s->options, (*out)->name);
        cost_set_device(s->service.cost, (*out)->compute, backends_peak_flops(*out, PEAK_SECONDS));
    }
    const struct memory_room room = backends_room(*out);
    return memory_check(s->model_dir.data, &s->options.load, &room, err);
}

static void on_done(void *ctx, int status, double seconds)
{
    struct service *service = ctx;
    (void)seconds;
    telemetry_answer(service->telemetry, status);
}

/* --- phases ------------------------------------------------------------------------------------*/

static bool start(struct server *s, struct error *err)
{
    const struct server_options *o = &s->options;
    struct service *service = &s->service;
    set_names(s);
    service->port = (int)o->port;
    s->listener = listener_open(o->host, &service->port, err);
    if (s->listener < 0)
        return false;
    service->limits = o->limits;
    service->is_strict = o->is_strict;
    service->started_s = clock_unix_ns() / NS_PER_S;
    int n_replicas = o->num_gpus > 1 ? (int)(o->num_gpus / o->backend.degree) : 1;
    service->queue = queue_open((int)o->max_queue, n_replicas);
    service->store = store_open((size_t)o->store_images, (size_t)o->store_bytes);
    service->telemetry = telemetry_open();
    service->cost = cost_open(s->model_dir.data, &o->load);
    const struct worker_config worker = {
        .model_dir = s->model_dir.data,
        .load = &o->load,
        .open_backend = open_backend,
        .is_lost = backends_is_lost,
        .ctx = s,
        .queue = service->queue,
        .telemetry = service->telemetry,
        .profile = o->profile_steps && *o->profile_steps ? &o->profile : NULL};
    service->replicas = replicas_start(&worker, n_replicas);
    struct http_config http = {.socket = s->listener,
                               .max_connections = (int)o->max_connections,
                               .timeout_s = (int)o->timeout_s,
                               .max_body_bytes = (size_t)o->max_body_bytes,
                               .max_form_bytes = (size_t)o->max_form_bytes,
                               .ctx = service,
                               .on_done = on_done};
    http.routes = routes_all(&http.n_routes);
    s->listener = -1;
    return http_open(&s->http, &http, err);
}

/* Wait one tick; the signal that came, or 0. */
static int wait_signal(const struct server *s, int tick_ms)
{
    const struct timespec tick = {.tv_nsec = tick_ms * NS_PER_MS};
    int signal = sigtimedwait(&s->signals, NULL, &tick);
    return signal > 0 ? signal : 0;
}

static void print_ready(const struct server *s)
{
    const char *host = s->options.host;
    bool is_ipv6 = strchr(host, ':') != NULL;
    fprintf(stderr, "fluxserve running on http://%s%s%s:%d (Press CTRL+C to quit)\n",
            is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", s->service.port);
    fflush(stderr);
}

/* Until a signal, until a worker has failed to start, or a device is lost. The signal or 0. */
static int serve(struct server *s)
{
    const struct replicas *replicas = s->service.replicas;
    int signal = 0;
    while (replicas_state(replicas) == WORKER_STARTING && !signal)
        signal = wait_signal(s, TICK_MS);
    if (signal || replicas_state(replicas) == WORKER_FAILED)
        return signal;
    print_ready(s);
    while (replicas_state(replicas) == WORKER_READY && !signal)
        signal = wait_signal(s, SERVING_TICK_MS);
    return signal;
}

static void drain(struct server *s, int signal)
{
    struct service *service = &s->service;
    atomic_store(&service->is_draining, true);
    queue_shut(service->queue);
    replicas_interrupt(service->replicas);
    struct queue_depth depth = queue_depth(service->queue);
    log_info("draining reason=\"%s\" waiting=%d running=%d",
             signal ? strsignal(signal) : "device lost", depth.waiting, depth.running);
    for (;;) {
        if (replicas_are_done(service->replicas) && http_active(s->http) == 0)
            return;
        if (wait_signal(s, TICK_MS)) {
            log_warning("second signal: exit without waiting");
            _exit(1);
        }
    }
}

/* Reverse order of start(); accepts every half-open state. */
static bool stop(struct server *s, struct error *err)
{
    struct service *service = &s->service;
    bool ok = true;
    http_close(s->http);
    if (s->listener >= 0)
        listener_close(s->listener);
    if (service->queue)
        queue_shut(service->queue);
    if (service->replicas) {
        replicas_interrupt(service->replicas);
        ok = replicas_join(service->replicas, err);
    }
    telemetry_close(service->telemetry);
    cost_close(service->cost);
    store_close(service->store);
    queue_close(service->queue);
    buf_free(&s->basename);
    buf_free(&s->model_dir);
    options_free(&s->options);
    return ok;
}

static void take_signals(struct server *s)
{
    sigemptyset(&s->signals);
    sigaddset(&s->signals, SIGINT);
    sigaddset(&s->signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &s->signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* a broken connection is an error of write(), not of the process */
}

/* A socket per connection, and some files; the usual soft limit of 1024 would be just too low. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* as far as we may: the rest is refused connections */
    }
}

static int complain(const struct error *err)
{
    fprintf(stderr, "fluxserve: error: %s\n", err->text);
    return error_exit_code(err->code);
}

int command_serve(int argc, char **argv, int first)
{
    struct server s = {.listener = -1};
    struct error err = {0};
    if (!options_parse(&s.options, argc, argv, first, &err))
        return complain(&err);
    if (s.options.wants_help || s.options.wants_version) {
        if (s.options.wants_help)
            options_help("fluxserve [serve] [OPTIONS]");
        else
            printf("fluxserve %s\n", FLUXBENCH_VERSION);
        options_free(&s.options);
        return 0;
    }
    log_set_level((enum log_level)s.options.log_level);
    int64_t n_devices = s.options.gave_num_gpus ? s.options.num_gpus : 0;
    if (!backends_check_devices(&s.options.backend, n_devices, &err)) {
        options_free(&s.options);
        return complain(&err);
    }
    /* May download: Ctrl-C still ends the process here, and what is there is continued later. */
    if (!find_model(&s.model_dir, s.options.model_path, load_options_content(&s.options.load),
                    &err)) {
        options_free(&s.options);
        return complain(&err);
    }
    load_options_warn(&s.options.load);
    take_signals(&s);
    raise_file_limit();
    if (!start(&s, &err)) {
        stop(&s, NULL);
        return complain(&err);
    }
    int signal = serve(&s);
    if (signal || replicas_state(s.service.replicas) != WORKER_FAILED)
        drain(&s, signal);
    bool is_lost = replicas_state(s.service.replicas) == WORKER_LOST;
    if (!stop(&s, &err) && !signal)
        return complain(&err);
    log_info("stopped");
    return is_lost ? EXIT_DEVICE_LOST : 0;
}
