/* The table of trials; comparing and timing them. */
#include "cuda/selftest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cuda/trial.h"
#include "tensor/dtype.h"

enum { TIMED_CALLS = 10 };

/* --- comparing --------------------------------------------------------------------------------*/

/* Sizes for the tiles of the kernels: ragged, exact, single rows. Numbers as trial.c reads them. */
static const struct trial TRIALS[] = {
    {TRIAL_LINEAR, {1, 192, 256, ACT_SILU, 1}},
    {TRIAL_LINEAR, {4, 77, 61, ACT_NONE, 1}},
    {TRIAL_LINEAR, {128, 128, 128, ACT_NONE, 1}},
    {TRIAL_LINEAR, {300, 264, 200, ACT_GELU_TANH, 1}},
    {TRIAL_LINEAR, {515, 392, 1000, ACT_NONE, 0}},
    {TRIAL_LINEAR, {37, 65, 33, ACT_QUICK_GELU, 1}},
    {TRIAL_LINEAR, {130, 96, 64, ACT_RELU, 1}},
    {TRIAL_LINEAR, {70, 72, 40, ACT_GELU, 1}},
    {TRIAL_LINEAR, {3, 96, 200, ACT_NONE, 1, MATRIX_INT8}},
    {TRIAL_LINEAR, {70, 96, 200, ACT_GELU_TANH, 1, MATRIX_INT8}},
    {TRIAL_LINEAR, {3, 96, 200, ACT_NONE, 1, MATRIX_FP8}},
    {TRIAL_LINEAR, {70, 96, 200, ACT_GELU_TANH, 1, MATRIX_FP8}},
    {TRIAL_LINEAR, {3, 96, 200, ACT_NONE, 1, MATRIX_Q4}},
    {TRIAL_LINEAR, {70, 96, 200, ACT_GELU_TANH, 1, MATRIX_Q4}},
    {TRIAL_LINEAR, {70, 77, 61, ACT_SILU, 1, MATRIX_INT8_INPUTS}},
    {TRIAL_LINEAR, {300, 264, 208, ACT_GELU_TANH, 1, MATRIX_INT8_INPUTS}},
    {TRIAL_LINEAR, {70, 77, 61, ACT_SILU, 1, MATRIX_FP8_INPUTS}},
    {TRIAL_LINEAR, {300, 272, 208, ACT_GELU_TANH, 1, MATRIX_FP8_INPUTS}},
    {TRIAL_CONV2D, {17, 19, 16, 40, 3, 1, 1}},
    {TRIAL_CONV2D, {16, 16, 64, 64, 3, 1, 1}},
    {TRIAL_CONV2D, {9, 12, 3, 24, 3, 2, 1}},
    {TRIAL_CONV2D, {11, 7, 32, 3, 1, 1, 1}},
    {TRIAL_CONV2D, {7, 9, 24, 40, 3, 1, 2}},
    {TRIAL_ATTENTION, {128, 128, 2, 64, 0, 0}},
    {TRIAL_ATTENTION, {77, 77, 3, 64, 1, 0}},
    {TRIAL_ATTENTION, {150, 150, 2, 64, 0, 1}},
    {TRIAL_ATTENTION, {333, 333, 2, 128, 0, 0}},
    {TRIAL_ATTENTION, {1, 130, 2, 128, 0, 0}},
    {TRIAL_ATTENTION, {100, 100, 1, 512, 0, 0}},
    {TRIAL_ATTENTION, {21, 40, 2, 24, 0, 1}},
    {TRIAL_LAYER_NORM, {5, 3072}},
    {TRIAL_LAYER_NORM, {9, 130}},
    {TRIAL_RMS_NORM, {50, 128}},
    {TRIAL_RMS_NORM, {3, 4096}},
    {TRIAL_GROUP_NORM, {33, 21, 64, 32}},
    {TRIAL_GROUP_NORM, {5, 7, 30, 5}},
    {TRIAL_RMS_NORM_ROPE, {33, 3, 128}},
    {TRIAL_RMS_NORM_ROPE, {7, 2, 6}},
    {TRIAL_GATED_ADD, {33, 200}},
    {TRIAL_ADD, {17, 129}},
    {TRIAL_MUL, {16, 256}},
    {TRIAL_ACTIVATE, {9, 111, ACT_SILU}},
    {TRIAL_ACTIVATE, {8, 64, ACT_GELU}},
    {TRIAL_AXPY, {9, 70}},
    {TRIAL_AFFINE, {9, 70}},
    {TRIAL_COPY, {45, 70}},
    {TRIAL_EMBED, {50, 72, 33}},
    {TRIAL_TO_RGB8, {13, 11}},
};

enum { N_TRIALS = sizeof TRIALS / sizeof TRIALS[0] };

/* Both back ends round their own results: in bf16 twice the square of 2^-9 / sqrt(3), with room for
 * a second rounding on the way; in f32 the order of sums. */
static double bound_of(enum dtype compute) { return compute == DTYPE_BF16 ? 2e-5 : 1e-10; }

static void describe(struct selftest_result *r, const struct trial *t)
{
    int n = TRIAL_NUMBERS, used = 0;
    while (n > 1 && t->p[n - 1] == 0)
        n--;
    for (int i = 0; i < n; i++)
        used += snprintf(r->shape + used, sizeof r->shape - (size_t)used, "%s%lld", i ? " " : "",
                         (long long)t->p[i]);
}

static double element(const void *data, enum dtype dtype, int64_t i)
{
    return dtype == DTYPE_U8 ? ((const uint8_t *)data)[i] : (double)dtype_load(data, dtype, i);
}

/* Normalised mean squared error; infinite when got has anything that is no number. */
static double error_of(const void *got, const void *want, enum dtype dtype, int64_t n)
{
    double error = 0.0, power = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double w = element(want, dtype, i), difference = element(got, dtype, i) - w;
        error += isnan(difference) ? INFINITY : difference * difference;
        power += w * w;
    }
    return error == 0.0 ? 0.0 : error / power;
}

/* The result of a trial on one back end, on the host; NULL with the reason in err. */
static void *result_of(struct operands *o, const struct trial *t, const char **name,
                       struct error *err)
{
    struct call call = trial_prepare(t, o);
    void *host = NULL;
    if (o->err.code == ERR_NONE) {
        *name = trial_run(o->b, &call);
        host = malloc(tensor_bytes(o->out) + 1);
        if (!host || !backend_download(o->b, host, o->out, &o->err)) {
            free(host);
            host = NULL;
            fail(&o->err, ERR_MEMORY, "no memory for a result");
        }
    }
    if (!host)
        fail(err, o->err.code, "%s: %s", o->b->name, o->err.text);
    operands_release(o);
    return host;
}

bool selftest_ops(struct backend *device, struct backend *reference, selftest_fn report,
                  void *context, struct error *err)
{
    struct operands operands[2 * N_TRIALS] = {0};
    bool is_ok = true;
    for (int i = 0; i < N_TRIALS; i++) {
        struct operands *o = &operands[2 * i];
        if (!trial_is_possible(&TRIALS[i], device))
            continue;
        struct selftest_result r = {.op = "?", .bound = bound_of(device->compute)};
        o[0] = (struct operands){.b = device, .random = (uint64_t)i + 1};
        o[1] = (struct operands){.b = reference, .random = (uint64_t)i + 1};
        void *got = result_of(&o[0], &TRIALS[i], &r.op, err);
        void *want = got ? result_of(&o[1], &TRIALS[i], &r.op, err) : NULL;
        describe(&r, &TRIALS[i]);
        r.nmse = want ? error_of(got, want, o->out.dtype, tensor_elements(o->out)) : INFINITY;
        r.is_ok = r.nmse <= r.bound;
        report(context, &r);
        if (!r.is_ok && is_ok)
            fail(err, ERR_DEVICE, "%s %s: error %.3g, at most %.3g is allowed", r.op, r.shape,
                 r.nmse, r.bound);
        is_ok = is_ok && r.is_ok;
        free(got);
        free(want);
    }
    backend_close(device);
    backend_close(reference);
    for (int i = 0; i < 2 * N_TRIALS; i++)
        operands_free(&operands[i]);
    return is_ok;
}

/* --- timing -----------------------------------------------------------------------------------*/

enum { MAX_TIMED = 32, TEXT_TOKENS = 512, TOKEN_PX = 16 };

/* FLUX.1's widths (docs/performance-gpu.md lists all its operations). */
static int timed_trials(struct trial *out, int64_t size_px)
{
    const int64_t image = size_px / TOKEN_PX * (size_px / TOKEN_PX), all = image + TEXT_TOKENS;
    const int64_t map = size_px / 8, d = 3072;
    const struct trial trials[] = {
        {TRIAL_LINEAR, {all, d, 5 * d, ACT_NONE, 1}},
        {TRIAL_LINEAR, {all, d, 5 * d, ACT_NONE, 1, MATRIX_INT8_INPUTS}},
        {TRIAL_LINEAR, {all, d, 5 * d, ACT_NONE, 1, MATRIX_FP8_INPUTS}},
        {TRIAL_LINEAR, {all, 4 * d, d, ACT_GELU_TANH, 1}},
        {TRIAL_LINEAR, {all, 4 * d, d, ACT_GELU_TANH, 1, MATRIX_INT8_INPUTS}},
        {TRIAL_LINEAR, {all, 4 * d, d, ACT_GELU_TANH, 1, MATRIX_FP8_INPUTS}},
        {TRIAL_LINEAR, {all, d, d, ACT_NONE, 1}},
        {TRIAL_LINEAR, {image, 4 * d, d, ACT_GELU_TANH, 1}},
        {TRIAL_LINEAR, {image, d, 4 * d, ACT_NONE, 1}},
        {TRIAL_LINEAR, {TEXT_TOKENS, d, d, ACT_NONE, 1}},
        {TRIAL_LINEAR, {1, 6 * d, d, ACT_NONE, 1}},
        {TRIAL_ATTENTION, {all, all, 24, 128, 0, 0}},
        {TRIAL_ATTENTION, {TEXT_TOKENS, TEXT_TOKENS, 64, 64, 0, 1}},
        {TRIAL_ATTENTION, {map * map, map * map, 1, 512, 0, 0}},
        {TRIAL_LAYER_NORM, {all, d}},
        {TRIAL_RMS_NORM, {all * 24, 128}},
        {TRIAL_RMS_NORM_ROPE, {all, 24, 128}},
        {TRIAL_GATED_ADD, {all, d}},
        {TRIAL_CONV2D, {2 * map, 2 * map, 512, 512, 3, 1, 1}},
        {TRIAL_CONV2D, {8 * map, 8 * map, 128, 128, 3, 1, 1}},
        {TRIAL_CONV2D, {4 * map, 4 * map, 256, 256, 3, 1, 2}},
        {TRIAL_GROUP_NORM, {8 * map, 8 * map, 128, 32}},
    };
    const int n = sizeof trials / sizeof trials[0];
    for (int i = 0; i < n; i++)
        out[i] = trials[i];
    return n;
}

bool selftest_bench(struct backend *device, int64_t size_px, selftest_fn report, void *context,
                    struct error *err)
{
    struct trial trials[MAX_TIMED];
    struct operands operands[MAX_TIMED] = {0};
    const int n = timed_trials(trials, size_px);
    bool is_ok = true;
    for (int i = 0; i < n && is_ok; i++) {
        struct operands *o = &operands[i];
        if (!trial_is_possible(&trials[i], device))
            continue;
        *o = (struct operands){.b = device, .random = (uint64_t)i + 1};
        struct call call = trial_prepare(&trials[i], o);
        is_ok = o->err.code == ERR_NONE;
        struct selftest_result r = {.op = is_ok ? trial_run(device, &call) : "?", .is_ok = true};
        is_ok = is_ok && backend_sync(device, &o->err); /* the first call chooses kernels */
        int64_t start = clock_now_ns();
        for (int k = 0; is_ok && k < TIMED_CALLS; k++)
            trial_run(device, &call);
        is_ok = is_ok && backend_sync(device, &o->err);
        r.seconds = (double)(clock_now_ns() - start) / (double)NS_PER_S / TIMED_CALLS;
        r.flops = o->flops;
        r.bytes = o->bytes;
        describe(&r, &trials[i]);
        if (is_ok)
            report(context, &r);
        else
            fail(err, o->err.code, "%s", o->err.text);
        operands_release(o);
    }
    backend_close(device);
    for (int i = 0; i < n; i++)
        operands_free(&operands[i]);
    return is_ok;
}
