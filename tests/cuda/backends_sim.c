/* The CUDA back end on the simulated device, in three orders of threads, with every check on. */
#include "tests/ops/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "cuda/cuda.h"
#include "tests/cuda_sim/vgpu.h"

static bool open_cuda(struct backend **out, enum dtype compute, struct error *err)
{
    bool is_open = cuda_open(out, &(struct cuda_options){.compute = compute}, err);
    if (!is_open)
        err->code = ERR_INTERNAL; /* the device is there: nothing to skip */
    return is_open;
}

static void begin(enum vgpu_order order)
{
    vgpu_options.order = order;
    vgpu_faults_reset();
}

static void forward(void) { begin(VGPU_FORWARD); }
static void reverse(void) { begin(VGPU_REVERSE); }
static void at_random(void) { begin(VGPU_RANDOM); }

static void expect_no_fault(void)
{
    for (int i = 0; i < VGPU_N_FAULTS; i++)
        if (vgpu_faults((enum vgpu_fault)i))
            fail_msg("%d faults of kind %s (seed %u)", vgpu_faults((enum vgpu_fault)i),
                     vgpu_fault_name((enum vgpu_fault)i), vgpu_options.seed);
}

const struct lab_backend LAB_BACKENDS[] = {
    {"cuda, threads forward", open_cuda, forward, expect_no_fault},
    {"cuda, threads reverse", open_cuda, reverse, expect_no_fault},
    {"cuda, threads random", open_cuda, at_random, expect_no_fault},
};

#ifndef SIM_ORDERS
#define SIM_ORDERS 3
#endif
const int lab_n_backends = SIM_ORDERS; /* the first ones */
