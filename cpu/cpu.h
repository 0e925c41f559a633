/* The CPU back end: every operation of tensor/ops.h in plain C, vectorised, threaded with OpenMP;
 * matrix products and convolutions through oneDNN.
 *
 * Instruction sets are chosen when it opens: the best of x86-64-v4 (AVX-512), -v3 (AVX2) and the
 * baseline. FLUXBENCH_CPU_ISA=v4|v3|baseline asks for one of our kernels' sets, oneDNN's own
 * variable DNNL_MAX_CPU_ISA limits the matrix products.
 *
 * Results are the same bits for the same inputs, whatever the number of threads: work is cut by
 * shape alone and no sum is split between threads. Another instruction set sums in another order.
 *
 * compute BF16 stores activations and weights as bf16. linear multiplies bf16 and sums in f32 where
 * the processor can (AVX512_BF16, AMX); everything else is widened and computed in f32. */
#pragma once

#include "tensor/backend.h"

enum { CPU_MAX_THREADS = 1024 };

struct cpu_options {
    int threads;        /* 0: all cores that this process may use; at most CPU_MAX_THREADS */
    enum dtype compute; /* DTYPE_F32 or DTYPE_BF16 */
};

/* Fails with ERR_INVALID naming "threads" or "dtype", or FLUXBENCH_CPU_ISA in its text. Without
 * OpenMP in the build more than one thread is refused. */
bool cpu_open(struct backend **out, const struct cpu_options *options, struct error *err);

/* n of them as a team (tensor/team.h), which share the threads; *out is rank 0. Nothing is faster
 * that way: it is for trying out, and for tests. n 1 is cpu_open(). */
bool cpu_open_team(struct backend **out, const struct cpu_options *options, int n,
                   struct error *err);

/* What the arithmetic units give at best: operations per second (a multiply-add is two) of all
 * threads together on registers alone, in our kernels' instruction set. Takes about `seconds`. */
double cpu_peak_flops(struct backend *b, double seconds);

/* The same of one thread, per second of the processor time that it gets rather than by the clock:
 * what others do on the machine hardly shows. */
double cpu_peak_thread_flops(struct backend *b, double seconds);
