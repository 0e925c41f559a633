/* State changes are published with an atomic, after the model is complete; HTTP threads read it
 * before they look at the model. When the queue is done the thread keeps the model open until
 * worker_join() lets it go: the server stops its HTTP side in between, so nobody looks at a closed
 * model.
 *
 * Back end and checkpoint are opened and closed on this thread, not in main(): OpenMP keeps a pool
 * of threads per calling thread, and a CUDA context is current to a thread. */
#include "server/worker.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "flux/step_profile.h"

enum { WARM_UP_TOKENS = 64, WARM_UP_MAX_MULTIPLE = 64 };

struct worker {
    struct worker_config config;
    pthread_t thread;
    sem_t may_close;
    atomic_int state;
    atomic_bool is_interrupted;
    atomic_int_least64_t n_requests, busy_ns;
    /* the thread's own; model and device are read by others from state READY on */
    struct backend *backend;
    struct flux *model;
    char device[sizeof((struct backend *)NULL)->device];
    struct error error;
    struct step_profile profile; /* of the first request that has config.profile's steps */
};

/* --- hooks -------------------------------------------------------------------------------------*/

static bool warm_up_may_continue(void *ctx, enum flux_stage stage, int row, int step)
{
    struct worker *w = ctx;
    (void)stage, (void)row, (void)step;
    return !atomic_load(&w->is_interrupted);
}

struct running {
    struct queue *queue;
    const struct job *job;
};

static bool job_may_continue(void *ctx, enum flux_stage stage, int row, int step)
{
    const struct running *running = ctx;
    (void)stage, (void)row, (void)step;
    return !queue_is_canceled(running->queue, running->job);
}

/* --- start-up ----------------------------------------------------------------------------------*/

/* One step at the smallest size that the model takes: it touches every weight. */
static bool warm_up(struct worker *w, struct error *err)
{
    const struct flux_info *info = flux_info(w->model);
    struct flux_spec spec = flux_spec_default(w->model);
    const uint64_t seed = 0;
    spec.prompts = (const char *const[]){"warm-up"};
    spec.n_prompts = 1;
    spec.images_per_prompt = 1;
    spec.seeds = &seed;
    spec.n_seeds = 1;
    spec.steps = 1;
    if (spec.max_sequence_length > WARM_UP_TOKENS)
        spec.max_sequence_length = WARM_UP_TOKENS;
    bool fits = false;
    for (int k = 1; k <= WARM_UP_MAX_MULTIPLE && !fits; k++) {
        spec.width_px = spec.height_px = k * info->size_multiple_px;
        struct error unfit = {0};
        fits = flux_check(w->model, &spec, &unfit);
        if (!fits && k == WARM_UP_MAX_MULTIPLE)
            return fail(err, unfit.code, "warm-up: %s", unfit.text);
    }
    struct flux_result result = {0};
    struct flux_hooks hooks = {.ctx = w, .may_continue = warm_up_may_continue};
    if (!flux_generate(w->model, &spec, &hooks, &result, err))
        return error_prefix(err, "warm-up");
    log_info("warm-up image done size=%dx%d seconds=%.3f", spec.width_px, spec.height_px,
             result.total_s);
    flux_result_free(&result);
    return true;
}

static bool start_up(struct worker *w, struct error *err)
{
    int64_t begun = clock_now_ns();
    if (!w->config.open_backend(w->config.ctx, w->config.replica, &w->backend, err) ||
        !flux_open_as(&w->model, w->backend, w->config.model_dir, w->config.load, err))
        return false;
    const struct flux_info *info = flux_info(w->model);
    if (w->backend)
        snprintf(w->device, sizeof w->device, "%s", w->backend->device);
    log_info("model loaded path=%s replica=%d parameters=%lld weight_mib=%.1f seconds=%.3f",
             w->config.model_dir, w->config.replica, (long long)info->n_parameters,
             (double)info->weight_bytes / (1 << 20), clock_seconds(clock_now_ns() - begun));
    return warm_up(w, err);
}

/* --- serving -----------------------------------------------------------------------------------*/

/* After a failure: is the device gone for good? Then leave the queue, before the job's owner hears
 * of it: nothing that is sent after that answer is taken. */
static bool give_up_if_lost(struct worker *w, const struct job *job)
{
    if (!w->config.is_lost || !w->config.is_lost(w->backend))
        return false;
    log_error("replica=%d device=\"%s\" is lost: the server ends when accepted work is answered; "
              "start it again (%s)",
              w->config.replica, w->device, job->error.text);
    atomic_store(&w->state, WORKER_LOST);
    int n_failed = queue_leave(w->config.queue, &job->error);
    for (int i = 0; i < n_failed; i++)
        telemetry_outcome(w->config.telemetry, TELEMETRY_FAILED);
    return true;
}

/* Steps that a job is looked at in; NULL when that was done, or nobody asked. */
static struct step_profile *profile_wanted(struct worker *w)
{
    if (!w->config.profile || w->profile.n_steps > 0)
        return NULL;
    w->profile = *w->config.profile;
    return &w->profile;
}

static void profile_report(struct worker *w, const struct step_profile *profile,
                           const struct job *job)
{
    struct buf text = {0};
    if (profile)
        step_profile_print(profile, &job->result, &text);
    if (text.size > 0) {
        log_info("profile of a request of %d steps on replica %d:", job->result.steps_run,
                 w->config.replica);
        fputs(text.data, stderr);
    }
    buf_free(&text);
}

/* False when this was the worker's last job. */
static bool run_job(struct worker *w, struct job *job)
{
    struct running running = {w->config.queue, job};
    struct flux_hooks hooks = {
        .ctx = &running, .may_continue = job_may_continue, .profile = profile_wanted(w)};
    enum telemetry_outcome outcome = TELEMETRY_COMPLETED;
    bool may_go_on = true;
    if (flux_generate(w->model, job->spec, &hooks, &job->result, &job->error)) {
        telemetry_job(w->config.telemetry, &job->result,
                      clock_seconds(job->started_ns - job->submitted_ns));
        profile_report(w, hooks.profile, job);
    } else {
        outcome = job->error.code == ERR_CANCELED ? TELEMETRY_CANCELED : TELEMETRY_FAILED;
        may_go_on = !give_up_if_lost(w, job);
    }
    telemetry_outcome(w->config.telemetry, outcome);
    atomic_fetch_add(&w->n_requests, 1);
    atomic_fetch_add(&w->busy_ns, clock_now_ns() - job->started_ns);
    queue_finish(w->config.queue, job);
    return may_go_on;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    pthread_setname_np(pthread_self(), "worker");
    if (start_up(w, &w->error)) {
        atomic_store(&w->state, WORKER_READY);
        struct job *job;
        while ((job = queue_take(w->config.queue)) != NULL && run_job(w, job)) {}
        if (!job)
            atomic_store(&w->state, WORKER_STOPPED);
    } else {
        atomic_store(&w->state, WORKER_FAILED);
    }
    while (sem_wait(&w->may_close) != 0) {}
    step_profile_free(&w->profile);
    flux_close(w->model);
    backend_close(w->backend);
    return NULL;
}

struct worker *worker_start(const struct worker_config *config)
{
    struct worker *w = xcalloc(1, sizeof *w);
    w->config = *config;
    atomic_init(&w->state, WORKER_STARTING);
    atomic_init(&w->is_interrupted, false);
    atomic_init(&w->n_requests, 0);
    atomic_init(&w->busy_ns, 0);
    sem_init(&w->may_close, 0, 0);
    if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
        log_error("can't start the worker thread");
        abort();
    }
    return w;
}

enum worker_state worker_state(const struct worker *w)
{
    return (enum worker_state)atomic_load(&w->state);
}

const struct flux *worker_model(const struct worker *w)
{
    enum worker_state state = worker_state(w);
    return state == WORKER_STARTING || state == WORKER_FAILED ? NULL : w->model;
}

struct worker_facts worker_facts(const struct worker *w)
{
    return (struct worker_facts){
        .state = worker_state(w),
        .device = worker_model(w) ? w->device : "",
        .n_requests = atomic_load(&w->n_requests),
        .busy_s = clock_seconds(atomic_load(&w->busy_ns)),
    };
}

void worker_interrupt(struct worker *w) { atomic_store(&w->is_interrupted, true); }

bool worker_join(struct worker *w, struct error *err)
{
    sem_post(&w->may_close);
    pthread_join(w->thread, NULL);
    bool ok = w->error.code == ERR_NONE;
    if (!ok && err)
        *err = w->error;
    sem_destroy(&w->may_close);
    free(w);
    return ok;
}
