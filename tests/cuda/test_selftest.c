/* The user's self-test, on a simulated device against the CPU. */
#include "cpu/cpu.h"
#include "cuda/cuda.h"
#include "cuda/selftest.h"
#include "tensor/plan.h"
#include "tests/cuda_sim/vgpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct counts {
    int results, wrong;
    char wrong_op[16];
};

static void count(void *context, const struct selftest_result *r)
{
    struct counts *c = context;
    c->results++;
    if (!r->is_ok) {
        c->wrong++;
        snprintf(c->wrong_op, sizeof c->wrong_op, "%s", r->op);
        print_message("%s %s: %g > %g\n", r->op, r->shape, r->nmse, r->bound);
    }
}

static void open_both(enum dtype compute, struct backend **device, struct backend **reference)
{
    struct error err = {0};
    const struct cuda_options options = {.compute = compute};
    const struct cpu_options cpu_options = {.threads = 1, .compute = compute};
    vgpu_options.checks = VGPU_CHECK_MEMORY;
    if (!cuda_open(device, &options, &err) || !cpu_open(reference, &cpu_options, &err))
        fail_msg("%s", err.text);
}

static void passes(enum dtype compute)
{
    struct backend *device = NULL, *reference = NULL;
    struct counts counts = {0};
    struct error err = {0};
    open_both(compute, &device, &reference);
    bool is_ok = selftest_ops(device, reference, count, &counts, &err);
    if (!is_ok)
        fail_msg("%s", err.text);
    assert_int_equal(counts.wrong, 0);
    assert_true(counts.results > 30);
    assert_int_equal(vgpu_all_faults(), 0);
}

static void all_operations_agree_with_the_cpu_in_f32(void **state)
{
    (void)state;
    passes(DTYPE_F32);
}

static void all_operations_agree_with_the_cpu_in_bf16(void **state)
{
    (void)state;
    passes(DTYPE_BF16);
}

static const struct backend_ops *right;

static void wrong_rope(struct backend *b, struct tensor x, struct tensor weight, float eps,
                       struct tensor cos, struct tensor sin)
{
    right->rms_norm_rope(b, x, weight, eps, sin, cos);
}

static void a_wrong_operation_is_named(void **state)
{
    (void)state;
    struct backend *device = NULL, *reference = NULL;
    struct counts counts = {0};
    struct error err = {0};
    open_both(DTYPE_F32, &device, &reference);
    right = device->ops;
    struct backend_ops wrong = *right;
    wrong.rms_norm_rope = wrong_rope;
    device->ops = &wrong;
    assert_false(selftest_ops(device, reference, count, &counts, &err));
    assert_int_equal(counts.wrong, 2); /* both trials of it */
    assert_string_equal(counts.wrong_op, "rms_norm_rope");
    assert_non_null(strstr(err.text, "rope"));
}

static void add_flops(void *context, const struct selftest_result *r)
{
    double *flops = context;
    assert_true(r->bytes > 0 && r->seconds >= 0);
    *flops += r->flops;
}

/* Over the plan: every shape is valid, and the arithmetic is what the plan counts. */
static void the_bench_counts_flops_as_the_plan_does(void **state)
{
    (void)state;
    struct plan p;
    struct error err = {0};
    double flops = 0;
    plan_init(&p, DTYPE_BF16);
    if (!selftest_bench(&p.backend, 64, add_flops, &flops, &err))
        fail_msg("%s", err.text);
    assert_true(flops > 1e9);
    double calls = p.flops / flops; /* a warm-up and the timed ones */
    assert_true(calls > 10.999 && calls < 11.001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_operations_agree_with_the_cpu_in_f32),
        cmocka_unit_test(all_operations_agree_with_the_cpu_in_bf16),
        cmocka_unit_test(a_wrong_operation_is_named),
        cmocka_unit_test(the_bench_counts_flops_as_the_plan_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
