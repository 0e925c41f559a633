/* Counters under one mutex; the exposition walks a table. */
#include "server/telemetry.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"

enum { MAX_STATUS = 600, KIB_PER_MIB = 1024 };

/* Weight of the newest job in the running mean: the last five or so count. */
static const double NEWEST_WEIGHT = 0.2;

static const char *const OUTCOMES[] = {"completed", "canceled", "failed", "rejected"};
static const char *const STAGES[] = {"queue", "text_encoding", "denoising", "vae_decode",
                                     "image_encoding"};
static_assert(sizeof OUTCOMES / sizeof OUTCOMES[0] == TELEMETRY_N_OUTCOMES, "a name each");
static_assert(sizeof STAGES / sizeof STAGES[0] == TELEMETRY_N_STAGES, "a name each");

struct telemetry {
    pthread_mutex_t mutex;
    int64_t opened_ns; /* constant */
    /* guarded by mutex */
    struct telemetry_counts counts;
    int64_t answers[MAX_STATUS];
};

struct telemetry *telemetry_open(void)
{
    struct telemetry *t = xcalloc(1, sizeof *t);
    pthread_mutex_init(&t->mutex, NULL);
    t->opened_ns = clock_now_ns();
    return t;
}

void telemetry_close(struct telemetry *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->mutex);
    free(t);
}

void telemetry_outcome(struct telemetry *t, enum telemetry_outcome outcome)
{
    pthread_mutex_lock(&t->mutex);
    t->counts.outcomes[outcome]++;
    pthread_mutex_unlock(&t->mutex);
}

void telemetry_job(struct telemetry *t, const struct flux_result *result, double queue_s)
{
    double denoise_s = 0;
    for (int i = 0; i < result->n_step_times; i++)
        denoise_s += result->step_s[i];
    pthread_mutex_lock(&t->mutex);
    struct telemetry_counts *c = &t->counts;
    c->n_images += result->n_images;
    c->n_steps += result->n_step_times;
    c->stage_s[TELEMETRY_QUEUE] += queue_s;
    c->stage_s[TELEMETRY_TEXT] += result->text_s;
    c->stage_s[TELEMETRY_DENOISE] += denoise_s;
    c->stage_s[TELEMETRY_VAE] += result->vae_s;
    double weight = c->job_s > 0 ? NEWEST_WEIGHT : 1;
    c->job_s += weight * (result->total_s - c->job_s);
    pthread_mutex_unlock(&t->mutex);
}

void telemetry_encoded(struct telemetry *t, double encode_s)
{
    pthread_mutex_lock(&t->mutex);
    t->counts.stage_s[TELEMETRY_ENCODE] += encode_s;
    pthread_mutex_unlock(&t->mutex);
}

void telemetry_answer(struct telemetry *t, int status)
{
    if (status < 0 || status >= MAX_STATUS)
        return;
    pthread_mutex_lock(&t->mutex);
    t->answers[status]++;
    pthread_mutex_unlock(&t->mutex);
}

struct telemetry_counts telemetry_read(struct telemetry *t)
{
    pthread_mutex_lock(&t->mutex);
    struct telemetry_counts counts = t->counts;
    pthread_mutex_unlock(&t->mutex);
    counts.uptime_s = clock_seconds(clock_now_ns() - t->opened_ns);
    return counts;
}

int telemetry_retry_after_s(struct telemetry *t)
{
    double seconds = ceil(telemetry_read(t).job_s);
    return (int)fmin(fmax(seconds, 1), 3600);
}

double telemetry_peak_memory_mib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / KIB_PER_MIB;
}

/* --- exposition --------------------------------------------------------------------------------*/

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_gauge(struct buf *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    buf_printf(out, "%s %.9g\n", name, value);
}

static void print_labelled(struct buf *out, const struct telemetry_counts *c)
{
    head(out, "fluxserve_generations_total", "counter", "Generation requests by outcome.");
    for (int i = 0; i < TELEMETRY_N_OUTCOMES; i++) {
        buf_printf(out, "fluxserve_generations_total{outcome=\"%s\"} %lld\n", OUTCOMES[i],
                   (long long)c->outcomes[i]);
    }
    head(out, "fluxserve_stage_seconds_total", "counter",
         "Seconds of completed requests by stage.");
    for (int i = 0; i < TELEMETRY_N_STAGES; i++) {
        buf_printf(out, "fluxserve_stage_seconds_total{stage=\"%s\"} %.9g\n", STAGES[i],
                   c->stage_s[i]);
    }
}

static void print_answers(struct telemetry *t, struct buf *out)
{
    head(out, "fluxserve_http_responses_total", "counter", "HTTP responses by status.");
    pthread_mutex_lock(&t->mutex);
    for (int status = 0; status < MAX_STATUS; status++) {
        if (t->answers[status]) {
            buf_printf(out, "fluxserve_http_responses_total{status=\"%d\"} %lld\n", status,
                       (long long)t->answers[status]);
        }
    }
    pthread_mutex_unlock(&t->mutex);
}

void telemetry_print(struct telemetry *t, int n_waiting, int n_running, struct buf *out)
{
    struct telemetry_counts c = telemetry_read(t);
    print_labelled(out, &c);
    head(out, "fluxserve_images_total", "counter", "Images made.");
    buf_printf(out, "fluxserve_images_total %lld\n", (long long)c.n_images);
    head(out, "fluxserve_steps_total", "counter", "Denoising steps of completed requests.");
    buf_printf(out, "fluxserve_steps_total %lld\n", (long long)c.n_steps);
    print_answers(t, out);
    print_gauge(out, "fluxserve_queue_depth", "Requests that wait for the worker.", n_waiting);
    print_gauge(out, "fluxserve_in_flight", "Requests that the worker is computing.", n_running);
    print_gauge(out, "fluxserve_uptime_seconds", "Seconds since the start.", c.uptime_s);
    print_gauge(out, "fluxserve_peak_memory_bytes", "Largest resident set so far.",
                telemetry_peak_memory_mib() * KIB_PER_MIB * KIB_PER_MIB);
}
