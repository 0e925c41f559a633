/* The measured roof of arithmetic that benchmarks compare with. */
#include <time.h>

#include "base/clock.h"
#include "cpu/cpu_internal.h"

double cpu_peak_flops(struct backend *b, double seconds)
{
    const struct cpu *cpu = cpu_of(b);
    const int64_t rounds = 1000000; /* a few milliseconds */
    int64_t start = clock_now_ns(), done = 0;
    float sink = 0.0f;
#pragma omp parallel num_threads(cpu->threads) reduction(+ : sink, done)
    {
        while (clock_seconds(clock_now_ns() - start) < seconds) {
            sink += cpu->kernels->peak(rounds);
            done += rounds;
        }
    }
    double elapsed = clock_seconds(clock_now_ns() - start);
    volatile float use = sink; /* keeps the chains from being optimised away */
    (void)use;
    return 2.0 * (double)done * (double)*cpu->kernels->peak_lanes / elapsed;
}

static double thread_seconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double cpu_peak_thread_flops(struct backend *b, double seconds)
{
    const struct cpu *cpu = cpu_of(b);
    const int64_t rounds = 1000000;
    double start = thread_seconds(), elapsed = 0;
    int64_t done = 0;
    float sink = 0.0f;
    while (elapsed < seconds) {
        sink += cpu->kernels->peak(rounds);
        done += rounds;
        elapsed = thread_seconds() - start;
    }
    volatile float use = sink;
    (void)use;
    return 2.0 * (double)done * (double)*cpu->kernels->peak_lanes / elapsed;
}
