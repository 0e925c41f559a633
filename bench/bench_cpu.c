/* Speed of the CPU back end on the real model code at real widths, with random weights:
 *
 *   transformer   FLUX.1's widths (24 heads x 128), 1 double and 2 single blocks, 512 text and
 *                 1024 image tokens: one call
 *   vae           the decoder at FLUX.1's widths, one 512x512 picture
 *
 * The arithmetic is counted by the plan back end, which runs the same code; the share of peak is
 * relative to multiply-adds on registers, measured right before and after each workload, because
 * other processes on the machine slow both alike. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/clock.h"
#include "base/json.h"
#include "cpu/cpu.h"
#include "flux/flux_known.h"
#include "flux/transformer.h"
#include "flux/vae.h"
#include "tensor/plan.h"
#include "tensor/profile.h"

/* --- options ----------------------------------------------------------------------------------*/

enum bench_part { PART_ALL, PART_TRANSFORMER, PART_VAE };
enum weight_type { WEIGHTS_BF16, WEIGHTS_F32, WEIGHTS_F16, WEIGHTS_INT8, WEIGHTS_FP8, WEIGHTS_Q4 };

struct config {
    int64_t threads, repeat, size_px;
    int part, dtype, weights;
    bool is_json, has_ops, is_help;
};

static const struct option OPTIONS[] = {
    {.name = "--part",
     .value = "PART",
     .type = ARG_CHOICE,
     .offset = offsetof(struct config, part),
     .choices = "all|transformer|vae",
     .help = "what to run: all (default), transformer or vae"},
    {.name = "--threads",
     .value = "N",
     .type = ARG_INT,
     .offset = offsetof(struct config, threads),
     .min = 0,
     .max = CPU_MAX_THREADS,
     .help = "threads, 0 for all cores (default 0)"},
    {.name = "--repeat",
     .value = "N",
     .type = ARG_INT,
     .offset = offsetof(struct config, repeat),
     .min = 1,
     .max = 1000,
     .help = "timed runs, the fastest counts (default 2)"},
    {.name = "--dtype",
     .value = "TYPE",
     .type = ARG_CHOICE,
     .offset = offsetof(struct config, dtype),
     .choices = "f32|bf16",
     .help = "compute type (default f32)"},
    {.name = "--weights",
     .value = "TYPE",
     .type = ARG_CHOICE,
     .offset = offsetof(struct config, weights),
     .choices = "bf16|f32|f16|int8|fp8|q4",
     .help = "stored type of the weights; the last three are of the blocks' matrices, the rest is "
             "bf16 (default bf16)"},
    {.name = "--size",
     .value = "PX",
     .type = ARG_INT,
     .offset = offsetof(struct config, size_px),
     .min = 64,
     .max = 4096,
     .help = "side of the picture (default 512)"},
    {.name = "--ops",
     .type = ARG_FLAG,
     .offset = offsetof(struct config, has_ops),
     .help = "also print time and rate by operation"},
    {.name = "--json",
     .type = ARG_FLAG,
     .offset = offsetof(struct config, is_json),
     .help = "print one JSON object"},
    {.name = "--help",
     .type = ARG_FLAG,
     .offset = offsetof(struct config, is_help),
     .help = "print this text"},
};

enum { N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0] };

static const struct {
    enum dtype dtype;
    enum quant quant;
} WEIGHT_TYPES[] = {
    [WEIGHTS_BF16] = {DTYPE_BF16, QUANT_NONE}, [WEIGHTS_F32] = {DTYPE_F32, QUANT_NONE},
    [WEIGHTS_F16] = {DTYPE_F16, QUANT_NONE},   [WEIGHTS_INT8] = {DTYPE_BF16, QUANT_INT8},
    [WEIGHTS_FP8] = {DTYPE_BF16, QUANT_FP8},   [WEIGHTS_Q4] = {DTYPE_BF16, QUANT_Q4},
};

/* --- workloads --------------------------------------------------------------------------------*/

enum { TEXT_TOKENS = 512, TOKEN_PX = 16, LATENT_PX = 8 };

struct models {
    struct transformer transformer;
    struct vae vae;
    struct weights weights;
};

/* Numbers that look like activations: normal-ish, deterministic. */
static struct tensor input_new(struct backend *b, struct shape shape)
{
    struct tensor t = scratch_take(b, DTYPE_F32, shape);
    int64_t n = tensor_elements(t);
    if (!backend_is_plan(b)) {
        float *values = malloc((size_t)n * sizeof *values);
        if (!values)
            abort();
        for (int64_t i = 0; i < n; i++)
            values[i] = sinf((float)(i % 10007) * 1.7f) + 0.3f * sinf((float)i * 0.37f);
        backend_upload(b, t, values);
        free(values);
    }
    struct tensor out = scratch_take(b, b->compute, shape);
    op_copy(b, out, t);
    return out;
}

static void run_transformer(struct backend *b, const struct models *m, int64_t size_px)
{
    size_t mark = scratch_mark(b);
    int64_t side = size_px / TOKEN_PX;
    const struct transformer_config *c = &m->transformer.config;
    struct tensor text = input_new(b, SHAPE(1, TEXT_TOKENS, c->text_width));
    struct tensor pooled = input_new(b, SHAPE(1, c->pooled_width));
    struct tensor latents = input_new(b, SHAPE(1, side * side, c->in_channels));
    struct tensor velocity = scratch_take(b, b->compute, SHAPE(1, side * side, c->out_channels));
    struct condition condition =
        transformer_condition(b, &m->transformer, text, pooled, 3.5f, side, side, NULL);
    transformer_forward(b, &m->transformer, velocity, latents, 0.5f, &condition, NULL);
    scratch_release(b, mark);
}

static void run_vae(struct backend *b, const struct models *m, int64_t size_px)
{
    size_t mark = scratch_mark(b);
    int64_t side = size_px / LATENT_PX;
    struct tensor latent = input_new(b, SHAPE(1, side, side, m->vae.config.latent_channels));
    struct tensor image =
        scratch_take(b, b->compute, SHAPE(1, size_px, size_px, m->vae.config.out_channels));
    vae_decode(b, &m->vae, image, latent);
    scratch_release(b, mark);
}

static struct flux_config flux_dev(void)
{
    struct flux_config c = {0};
    flux_known_config(&c, NULL, "black-forest-labs/FLUX.1-dev");
    c.transformer.n_double = 1; /* fewer blocks, which are alike */
    c.transformer.n_single = 2;
    return c;
}

static void bind_transformer(struct models *m)
{
    const struct flux_config c = flux_dev();
    transformer_bind(&m->transformer, &c.transformer, &m->weights);
}

static void bind_vae(struct models *m)
{
    const struct flux_config c = flux_dev();
    vae_bind(&m->vae, &c.vae, &m->weights, false);
}

static const struct workload {
    const char *name;
    enum bench_part part;
    void (*bind)(struct models *m);
    void (*run)(struct backend *b, const struct models *m, int64_t size_px);
} WORKLOADS[] = {
    {"transformer", PART_TRANSFORMER, bind_transformer, run_transformer},
    {"vae", PART_VAE, bind_vae, run_vae},
};

/* --- measuring --------------------------------------------------------------------------------*/

struct result {
    double flops, seconds; /* of one run */
    double cpu_seconds;    /* of all threads: what the run costs on an idle machine */
    double peak, cpu_peak; /* operations per second, and per second of one thread's CPU time */
    int n_rows;
    struct profile_row rows[PROFILE_OPS]; /* by operation */
};

/* Arithmetic and memory of the workload, from the plan. */
static void plan_workload(const struct workload *work, const struct config *c,
                          struct result *result, size_t *scratch_bytes)
{
    enum dtype compute = c->dtype == 0 ? DTYPE_F32 : DTYPE_BF16;
    struct models m = {0};
    struct plan p;
    plan_init(&p, compute);
    weights_open_shapes(&m.weights, &p.backend, WEIGHT_TYPES[c->weights].dtype);
    m.weights.quant = WEIGHT_TYPES[c->weights].quant;
    work->bind(&m);
    work->run(&p.backend, &m, c->size_px);
    result->flops = p.flops;
    *scratch_bytes = p.backend.scratch.peak;
    transformer_free(&m.transformer);
    vae_free(&m.vae);
    weights_close(&m.weights);
}

static double cpu_seconds_now(void)
{
    return clock_seconds(clock_read_ns(CLOCK_PROCESS_CPUTIME_ID));
}

/* The roof right now: per second of time in *peak, per second of CPU time in *cpu_peak. */
static void measure_peak(struct backend *b, double *peak, double *cpu_peak)
{
    const double seconds = 0.4;
    int64_t start = clock_now_ns();
    double cpu_start = cpu_seconds_now();
    *peak = cpu_peak_flops(b, seconds);
    double elapsed = clock_seconds(clock_now_ns() - start);
    *cpu_peak = *peak * elapsed / (cpu_seconds_now() - cpu_start);
}

/* Warm up, then take the fastest of the repetitions. */
static bool time_workload(const struct workload *work, const struct config *c,
                          struct result *result, struct error *err)
{
    enum dtype compute = c->dtype == 0 ? DTYPE_F32 : DTYPE_BF16;
    struct backend *b = NULL;
    struct models m = {0};
    size_t scratch_bytes;
    plan_workload(work, c, result, &scratch_bytes);
    if (!cpu_open(&b, &(struct cpu_options){.threads = (int)c->threads, .compute = compute}, err))
        return false;
    weights_open_random(&m.weights, b, WEIGHT_TYPES[c->weights].dtype, 1);
    m.weights.quant = WEIGHT_TYPES[c->weights].quant;
    work->bind(&m);
    bool is_ok = weights_finish(&m.weights, err) && scratch_reserve(b, scratch_bytes, err);
    result->seconds = INFINITY;
    for (int64_t i = 0; is_ok && i < c->repeat + 1; i++) {
        struct profile *profile = profile_new();
        double peaks[2], cpu_peaks[2];
        measure_peak(b, &peaks[0], &cpu_peaks[0]);
        profile_begin(profile, b);
        double cpu_start = cpu_seconds_now();
        int64_t start = clock_now_ns();
        work->run(b, &m, c->size_px);
        is_ok = backend_sync(b, err);
        double seconds = clock_seconds(clock_now_ns() - start);
        double cpu_seconds = cpu_seconds_now() - cpu_start;
        profile_end(profile);
        measure_peak(b, &peaks[1], &cpu_peaks[1]);
        if (i == 0 || seconds >= result->seconds) {
            profile_free(profile);
            continue;
        }
        result->seconds = seconds;
        result->cpu_seconds = cpu_seconds;
        result->peak = 0.5 * (peaks[0] + peaks[1]);
        result->cpu_peak = 0.5 * (cpu_peaks[0] + cpu_peaks[1]);
        result->n_rows = profile_by_op(profile, result->rows);
        profile_free(profile);
    }
    backend_close(b);
    transformer_free(&m.transformer);
    vae_free(&m.vae);
    weights_close(&m.weights);
    return is_ok;
}

/* --- output -----------------------------------------------------------------------------------*/

static void print_result(const char *name, const struct result *r, bool has_ops)
{
    double rate = r->flops / r->seconds;
    printf("%-12s %8.1f GFLOP %8.3f s %7.1f GFLOP/s   %5.1f %% of the peak of %.1f GFLOP/s\n", name,
           r->flops / 1e9, r->seconds, rate / 1e9, 100.0 * rate / r->peak, r->peak / 1e9);
    double cpu_rate = r->flops / r->cpu_seconds;
    printf("    by CPU time           %8.3f s %7.1f GFLOP/s   %5.1f %% of the peak of %.1f GFLOP/s "
           "per thread\n",
           r->cpu_seconds, cpu_rate / 1e9, 100.0 * cpu_rate / r->cpu_peak, r->cpu_peak / 1e9);
    for (int i = 0; has_ops && i < r->n_rows; i++) {
        const struct profile_row *row = &r->rows[i];
        printf("    %-12s %5lld calls %8.3f s %5.1f %%", row->op, (long long)row->calls,
               row->seconds, 100.0 * row->seconds / r->seconds);
        if (row->flops > 0.0)
            printf(" %7.1f GFLOP/s", row->flops / row->seconds / 1e9);
        printf("\n");
    }
}

static struct json *result_json(const struct result *r)
{
    struct json *node = json_new_object();
    json_set(node, "flops", json_new_double(r->flops));
    json_set(node, "seconds", json_new_double(r->seconds));
    json_set(node, "flops_per_second", json_new_double(r->flops / r->seconds));
    json_set(node, "peak_flops_per_second", json_new_double(r->peak));
    json_set(node, "share_of_peak", json_new_double(r->flops / r->seconds / r->peak));
    json_set(node, "cpu_seconds", json_new_double(r->cpu_seconds));
    json_set(node, "peak_flops_per_cpu_second", json_new_double(r->cpu_peak));
    json_set(node, "share_of_cpu_peak", json_new_double(r->flops / r->cpu_seconds / r->cpu_peak));
    struct json *ops = json_new_object();
    for (int i = 0; i < r->n_rows; i++)
        json_set(ops, r->rows[i].op, json_new_double(r->rows[i].seconds));
    json_set(node, "op_seconds", ops);
    return node;
}

static bool run(const struct config *c, struct error *err)
{
    struct backend *b = NULL;
    enum dtype compute = c->dtype == 0 ? DTYPE_F32 : DTYPE_BF16;
    if (!cpu_open(&b, &(struct cpu_options){.threads = (int)c->threads, .compute = compute}, err))
        return false;
    char device[sizeof b->device];
    memcpy(device, b->device, sizeof device);
    backend_close(b);
    struct json *root = json_new_object();
    json_set(root, "device", json_new_string(device));
    if (!c->is_json)
        printf("%s, compute %s\n", device, dtype_name(compute));
    bool is_ok = true;
    for (size_t i = 0; is_ok && i < sizeof WORKLOADS / sizeof WORKLOADS[0]; i++) {
        const struct workload *work = &WORKLOADS[i];
        struct result result = {0};
        if (c->part != PART_ALL && c->part != (int)work->part)
            continue;
        is_ok = time_workload(work, c, &result, err);
        if (is_ok && c->is_json)
            json_set(root, work->name, result_json(&result));
        else if (is_ok)
            print_result(work->name, &result, c->has_ops);
        fflush(stdout);
    }
    if (is_ok && c->is_json) {
        struct buf text = {0};
        json_print(&text, root, 2);
        printf("%s\n", text.data);
        buf_free(&text);
    }
    json_free(root);
    return is_ok;
}

int main(int argc, char **argv)
{
    struct config c = {.repeat = 2, .size_px = 512};
    struct error err = {0};
    if (args_parse(OPTIONS, N_OPTIONS, argc, argv, 1, &c, NULL, NULL, &err)) {
        if (c.is_help) {
            args_help("bench_cpu [OPTIONS]",
                      "Speed of the CPU back end on FLUX.1's transformer and VAE decoder.", OPTIONS,
                      N_OPTIONS);
            return 0;
        }
        if (c.size_px % TOKEN_PX != 0)
            fail(&err, ERR_INVALID, "--size %lld: must be a multiple of %d", (long long)c.size_px,
                 TOKEN_PX);
        else if (run(&c, &err))
            return 0;
    }
    fprintf(stderr, "bench_cpu: %s\n", err.text);
    return error_exit_code(err.code);
}
