#include "client/telemetry.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client/http.h"
#include "client/nvml.h"
#include "client/self_load.h"

#define TIMEOUT_MS 1000             /* of one look */
#define MAX_PAUSE_NS (5 * NS_PER_S) /* between tries of a source that stopped answering */
#define MAX_TEXT ((size_t)16 << 20)
#define NVML_URL "pynvml://localhost"
#define MAX_GPU_SOURCES 64

struct telemetry_thread {
    pthread_t id;
    bool is_started;
    int64_t interval_ns;
    double idle_s;
    /* servers under load get the headers of the run, others no credentials and HTTP/1.1 */
    const struct request_target *target;
    struct request_headers no_headers;
    struct request_connect plain;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int64_t n_wanted, n_done; /* looks asked for by edges; served */
    bool is_stopping;
    pthread_mutex_t data; /* guards all timelines while the thread runs */
    atomic_bool cancel;   /* the look in progress */
};

/* ---- sources -------------------------------------------------------------------------------- */

static struct telemetry_source *add(struct telemetry *t, enum telemetry_kind kind, char *url,
                                    bool is_asked_for)
{
    for (size_t i = 0; i < t->n_sources; i++) {
        if (strcmp(t->sources[i].address, url) == 0) {
            t->sources[i].is_asked_for = t->sources[i].is_asked_for || is_asked_for;
            free(url);
            return &t->sources[i];
        }
    }
    t->sources = xrealloc(t->sources, (t->n_sources + 1) * sizeof *t->sources);
    t->sources[t->n_sources] = (struct telemetry_source){
        .kind = kind, .address = url, .url = request_url_shown(url), .is_asked_for = is_asked_for};
    return &t->sources[t->n_sources++];
}

/* Where the metrics of an address are: a path that it has stays, else /metrics. */
static char *metrics_url(const char *text, size_t size)
{
    struct buf url = {0};
    char *word = xstrndup(text, size);
    if (!strstr(word, "://"))
        buf_puts(&url, "http://");
    buf_puts(&url, word);
    const char *host = strstr(url.data, "://") + 3, *path = strchr(host, '/');
    if (!path || strcmp(path, "/") == 0)
        buf_puts(&url, path ? "metrics" : "/metrics");
    free(word);
    return url.data;
}

/* Each address of a list; several may stand in one, with commas between. */
static void add_list(struct telemetry *t, enum telemetry_kind kind, const struct arg_list *list)
{
    for (size_t i = 0; i < list->n_items; i++) {
        for (const char *p = list->items[i]; *p;) {
            size_t n = strcspn(p, ", ");
            bool is_nvml =
                (n == 6 && memcmp(p, "pynvml", 6) == 0) || (n == 4 && memcmp(p, "nvml", 4) == 0);
            if (kind == TELEMETRY_DCGM && is_nvml)
                add(t, TELEMETRY_NVML, xstrdup(NVML_URL), true);
            else if (n > 0)
                add(t, kind, metrics_url(p, n), true);
            p += p[n] ? n + 1 : n;
        }
    }
}

static bool is_local(const char *url)
{
    static const char *const HOSTS[] = {"localhost", "127.", "[::1]", "0.0.0.0"};
    const char *host = strstr(url, "://");
    for (size_t i = 0; host && i < sizeof HOSTS / sizeof HOSTS[0]; i++) {
        if (strncmp(host + 3, HOSTS[i], strlen(HOSTS[i])) == 0)
            return true;
    }
    return false;
}

struct telemetry *telemetry_open(const struct options *o)
{
    struct telemetry *t = xcalloc(1, sizeof *t);
    t->thread = xcalloc(1, sizeof *t->thread);
    t->thread->interval_ns = (int64_t)(o->telemetry_interval_s * (double)NS_PER_S);
    t->thread->idle_s = o->idle_power_s;
    t->thread->target = &o->target;
    t->thread->plain = o->target.connect;
    t->thread->plain.is_http2 = false;
    bool has_local = false;
    for (size_t i = 0; i < o->target.n_urls; i++) {
        struct buf url = {0};
        has_local = has_local || is_local(o->target.urls[i]);
        request_base(&url, o->target.urls[i]);
        if (!o->no_server_metrics)
            add(t, TELEMETRY_SERVER, metrics_url(url.data, url.size), false)->is_under_load = true;
        buf_free(&url);
    }
    if (!o->no_server_metrics)
        add_list(t, TELEMETRY_SERVER, &o->server_metrics);
    if (!o->no_gpu_telemetry)
        add_list(t, TELEMETRY_DCGM, &o->gpu_telemetry);
    if (!o->no_gpu_telemetry && o->gpu_telemetry.n_items == 0 && has_local) {
        add(t, TELEMETRY_DCGM, xstrdup("http://localhost:9400/metrics"), false);
        add(t, TELEMETRY_DCGM, xstrdup("http://localhost:9401/metrics"), false);
        add(t, TELEMETRY_NVML, xstrdup(NVML_URL), false);
    }
    return t;
}

/* ---- one look at one source ----------------------------------------------------------------- */

static uint64_t hash_of(const char *bytes, size_t size) /* FNV-1a */
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        h = (h ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

static bool fetch(struct telemetry *t, struct telemetry_source *s, struct buf *text,
                  struct error *err)
{
    int status = 0;
    const struct request_target *target = t->thread->target;
    if (!http_fetch(s->address, s->is_under_load ? &target->connect : &t->thread->plain,
                    s->is_under_load ? &target->extra : &t->thread->no_headers, NULL, TIMEOUT_MS,
                    &t->thread->cancel, text, &status, err))
        return false;
    if (status != 200)
        return fail(err, ERR_NOT_FOUND, "GET %s: status %d", s->url, status);
    if (text->size > MAX_TEXT)
        return fail(err, ERR_INVALID, "GET %s: more than %zu MiB", s->url, MAX_TEXT >> 20);
    return true;
}

/* An NVML that an exporter on this machine makes superfluous is left alone. */
static bool is_superfluous(const struct telemetry *t, const struct telemetry_source *s)
{
    for (size_t i = 0; i < t->n_sources && !s->is_asked_for; i++) {
        const struct telemetry_source *other = &t->sources[i];
        if (s->kind == TELEMETRY_NVML && other->kind == TELEMETRY_DCGM && other->n_looks > 0)
            return true;
    }
    return false;
}

/* Once for each source. */
static void note_losses(struct telemetry_source *s)
{
    if (!s->was_lossy && s->n_bad_lines > 0)
        log_debug("%s: %zu lines are not understood", s->url, s->n_bad_lines);
    if (!s->was_lossy && s->values.n_refused > 0)
        log_warning("%s has more than %d series: the others are left out", s->url,
                    TIMELINE_MAX_SERIES);
    s->was_lossy = s->was_lossy || s->n_bad_lines > 0 || s->values.n_refused > 0;
}

static bool look(struct telemetry *t, struct telemetry_source *s, struct error *err)
{
    struct buf text = {0};
    int64_t sent_ns = clock_now_ns();
    bool ok = true;
    if (s->kind == TELEMETRY_NVML)
        ok = s->nvml ||
             (is_superfluous(t, s) ? fail(err, ERR_NOT_FOUND, "an exporter tells the same")
                                   : nvml_open(&s->nvml, err));
    else
        ok = fetch(t, s, &text, err);
    if (!ok) {
        buf_free(&text);
        return false;
    }
    size_t n_values = 0;
    int64_t at_ns = clock_now_ns();
    pthread_mutex_lock(&t->thread->data);
    if (s->kind == TELEMETRY_SERVER) {
        s->n_bad_lines = timeline_scrape(&s->values, at_ns, text.data ? text.data : "", text.size);
        s->values.took_ns[s->values.n_columns - 1] = at_ns - sent_ns;
        note_losses(s);
        n_values = s->values.n_series;
    } else if (s->kind == TELEMETRY_DCGM) {
        n_values = gpus_scrape_dcgm(&s->gpus, at_ns, text.data ? text.data : "", text.size);
    } else {
        n_values = nvml_sample(s->nvml, &s->gpus, at_ns);
    }
    uint64_t hash = text.data ? hash_of(text.data, text.size) : s->hash + 1;
    if (s->n_looks == 0 || hash != s->hash) {
        s->first_update_ns = s->n_updates++ ? s->first_update_ns : at_ns;
        s->last_update_ns = at_ns;
    }
    s->hash = hash;
    ok = n_values > 0;
    if (ok) {
        s->first_ns = s->n_looks++ ? s->first_ns : at_ns;
        s->last_ns = at_ns;
        s->latency_ns += at_ns - sent_ns;
    }
    pthread_mutex_unlock(&t->thread->data);
    buf_free(&text);
    return ok || fail(err, ERR_INVALID, "%s has no metrics that can be read", s->url);
}

/* A source that was never there is given up, if nobody asked for it; others are tried again, rarer
 * and rarer. */
static void note_failure(struct telemetry_source *s, int64_t interval_ns, const struct error *err)
{
    if (s->n_looks == 0 && !s->is_asked_for) {
        s->is_given_up = true;
        log_debug("no telemetry: %s", err->text);
        return;
    }
    int64_t pause_ns = interval_ns << (s->n_failed < 8 ? s->n_failed : 8);
    s->n_failed++;
    s->retry_at_ns = clock_now_ns() + (pause_ns < MAX_PAUSE_NS ? pause_ns : MAX_PAUSE_NS);
    if (!s->was_warned && (s->is_asked_for || s->n_failed > 2))
        log_warning("telemetry is incomplete: %s", err->text);
    s->was_warned = s->was_warned || s->is_asked_for || s->n_failed > 2;
}

static void look_at_all(struct telemetry *t)
{
    pthread_mutex_lock(&t->thread->data);
    self_load_sample(&t->self);
    if (t->start_ns == 0)
        t->start_ns = t->self.at_ns[0];
    pthread_mutex_unlock(&t->thread->data);
    for (size_t i = 0; i < t->n_sources; i++) {
        struct telemetry_source *s = &t->sources[i];
        struct error err = {0};
        if (s->is_given_up || clock_now_ns() < s->retry_at_ns)
            continue;
        if (look(t, s, &err))
            s->n_failed = 0;
        else if (err.code != ERR_CANCELED)
            note_failure(s, t->thread->interval_ns, &err);
    }
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* Looks become rarer in long runs, as the timelines get full. */
static int64_t next_look_ns(const struct telemetry *t, int64_t last_ns)
{
    return last_ns + t->thread->interval_ns * t->self.stride;
}

static void *telemetry_main(void *self)
{
    struct telemetry *t = self;
    struct telemetry_thread *thread = t->thread;
    pthread_setname_np(pthread_self(), "telemetry");
    int64_t due_ns = clock_now_ns();
    pthread_mutex_lock(&thread->lock);
    while (!thread->is_stopping) {
        int64_t n_wanted = thread->n_wanted;
        if (n_wanted == thread->n_done && clock_now_ns() < due_ns) {
            struct timespec at = {.tv_sec = (time_t)(due_ns / NS_PER_S),
                                  .tv_nsec = (long)(due_ns % NS_PER_S)};
            pthread_cond_timedwait(&thread->changed, &thread->lock, &at);
            continue;
        }
        pthread_mutex_unlock(&thread->lock);
        int64_t started_ns = clock_now_ns();
        look_at_all(t);
        due_ns = next_look_ns(t, started_ns);
        pthread_mutex_lock(&thread->lock);
        thread->n_done = n_wanted;
        pthread_cond_broadcast(&thread->changed);
    }
    pthread_cond_broadcast(&thread->changed);
    pthread_mutex_unlock(&thread->lock);
    return NULL;
}

bool telemetry_start(struct telemetry *t, struct error *err)
{
    struct telemetry_thread *thread = t->thread;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&thread->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&thread->lock, NULL);
    pthread_mutex_init(&thread->data, NULL);
    int code = pthread_create(&thread->id, NULL, telemetry_main, t);
    if (code != 0)
        return fail(err, ERR_INTERNAL, "can't start a thread: %s", strerror(code));
    thread->is_started = true;
    return true;
}

void telemetry_edge(struct telemetry *t)
{
    struct telemetry_thread *thread = t->thread;
    pthread_mutex_lock(&thread->lock);
    int64_t n = ++thread->n_wanted;
    pthread_cond_broadcast(&thread->changed);
    while (thread->n_done < n && !thread->is_stopping)
        pthread_cond_wait(&thread->changed, &thread->lock);
    pthread_mutex_unlock(&thread->lock);
}

void telemetry_begin(struct telemetry *t, const atomic_bool *stop)
{
    telemetry_edge(t);
    int64_t until_ns = clock_now_ns() + (int64_t)(t->thread->idle_s * (double)NS_PER_S);
    if (!telemetry_has_gpus(t) || t->thread->idle_s <= 0)
        return;
    log_info("measuring idle power for %g s", t->thread->idle_s);
    for (int64_t now_ns; (now_ns = clock_now_ns()) < until_ns && !atomic_load(stop);) {
        int64_t next_ns = now_ns + 50 * NS_PER_MS;
        clock_sleep_until_ns(next_ns < until_ns ? next_ns : until_ns);
    }
    telemetry_edge(t);
}

void telemetry_stop(struct telemetry *t)
{
    if (!t || !t->thread->is_started)
        return;
    pthread_mutex_lock(&t->thread->lock);
    t->thread->is_stopping = true;
    pthread_cond_broadcast(&t->thread->changed);
    pthread_mutex_unlock(&t->thread->lock);
    atomic_store(&t->thread->cancel, true);
    pthread_join(t->thread->id, NULL);
    t->thread->is_started = false;
    pthread_cond_destroy(&t->thread->changed);
    pthread_mutex_destroy(&t->thread->lock);
    pthread_mutex_destroy(&t->thread->data);
}

void telemetry_close(struct telemetry *t)
{
    if (!t)
        return;
    telemetry_stop(t);
    for (size_t i = 0; i < t->n_sources; i++) {
        free(t->sources[i].address);
        free(t->sources[i].url);
        timeline_free(&t->sources[i].values);
        gpus_free(&t->sources[i].gpus);
        nvml_close(t->sources[i].nvml);
    }
    free(t->sources);
    timeline_free(&t->self);
    free(t->thread);
    free(t);
}

/* ---- asking --------------------------------------------------------------------------------- */

/* Run f with the timelines held still, if the thread may be changing them. */
static void hold(struct telemetry *t, bool is_held)
{
    if (!t->thread->is_started)
        return;
    if (is_held)
        pthread_mutex_lock(&t->thread->data);
    else
        pthread_mutex_unlock(&t->thread->data);
}

bool telemetry_has_gpus(const struct telemetry *t)
{
    bool has_gpus = false;
    hold((struct telemetry *)t, true);
    for (size_t i = 0; i < t->n_sources; i++)
        has_gpus = has_gpus || t->sources[i].gpus.n > 0;
    hold((struct telemetry *)t, false);
    return has_gpus;
}

static double last_of(const struct timeline *t, const struct timeline_series *s)
{
    return s && t->n_columns > 0 ? s->values[t->n_columns - 1] : NAN;
}

static void add_known(double *sum, double value)
{
    if (!isnan(value))
        *sum = isnan(*sum) ? value : *sum + value;
}

static bool ends_in(const char *name, const char *tail)
{
    size_t n = strlen(name), k = strlen(tail);
    return n >= k && strcmp(name + n - k, tail) == 0;
}

static void add_server(struct telemetry_now *now, const struct timeline *t)
{
    /* fluxserve, vLLM, SGLang */
    static const char *const QUEUE[] = {"queue_depth", "num_requests_waiting", "num_queue_reqs"};
    static const char *const BUSY[] = {"_in_flight", "num_requests_running", "num_running_reqs"};
    for (size_t i = 0; i < t->n_series; i++) {
        for (size_t k = 0; k < 3; k++) {
            if (ends_in(t->series[i].name, QUEUE[k]))
                add_known(&now->queue_depth, last_of(t, &t->series[i]));
            if (ends_in(t->series[i].name, BUSY[k]))
                add_known(&now->in_flight, last_of(t, &t->series[i]));
        }
    }
}

struct telemetry_now telemetry_now(struct telemetry *t)
{
    struct telemetry_now now = {NAN, NAN, NAN, NAN, NAN};
    double n_gpus = 0;
    hold(t, true);
    for (size_t i = 0; i < t->n_sources; i++) {
        const struct gpus *g = &t->sources[i].gpus;
        add_server(&now, &t->sources[i].values);
        for (size_t k = 0; k < g->n; k++) {
            const char *uuid = g->items[k].uuid;
            add_known(&now.power_w,
                      last_of(&g->timeline, timeline_find(&g->timeline, GPU_POWER, "gpu", uuid)));
            double busy =
                last_of(&g->timeline, timeline_find(&g->timeline, GPU_UTILIZATION, "gpu", uuid));
            add_known(&now.utilization_percent, busy);
            n_gpus += !isnan(busy);
        }
    }
    now.utilization_percent /= n_gpus > 0 ? n_gpus : 1;
    const struct timeline_series *cpu = timeline_find(&t->self, SELF_CPU, NULL, NULL);
    size_t n = t->self.n_columns;
    if (cpu && n > 1)
        now.cpu_share = (cpu->values[n - 1] - cpu->values[n - 2]) /
                        clock_seconds(t->self.at_ns[n - 1] - t->self.at_ns[n - 2]);
    hold(t, false);
    return now;
}
