/* The CPU back end, with all threads and with one. */
#include "tests/ops/harness.h"

#include "cpu/cpu.h"

static bool open_cpu(struct backend **out, enum dtype compute, struct error *err)
{
    return cpu_open(out, &(struct cpu_options){.threads = 0, .compute = compute}, err);
}

static bool open_cpu_one_thread(struct backend **out, enum dtype compute, struct error *err)
{
    return cpu_open(out, &(struct cpu_options){.threads = 1, .compute = compute}, err);
}

const struct lab_backend LAB_BACKENDS[] = {
    {.name = "cpu", .open = open_cpu},
    {.name = "cpu, 1 thread", .open = open_cpu_one_thread},
};

const int lab_n_backends = sizeof LAB_BACKENDS / sizeof LAB_BACKENDS[0];
