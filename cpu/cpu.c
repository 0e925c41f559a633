/* Opening the CPU back end, its memory and its table. Everything runs at once: there is no queue,
 * so sync has nothing to wait for. */
#include "cpu/cpu.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "cpu/cpu_internal.h"
#include "tensor/team.h"

/* --- threads ----------------------------------------------------------------------------------*/

int cpu_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

int cpu_team(const struct cpu *cpu, double multiply_adds)
{
    const double worth_waking = 1e6; /* some 20 us of one core; a team takes a few to assemble */
    return multiply_adds < worth_waking ? 1 : cpu->threads;
}

int cpu_library_threads(int n)
{
#ifdef _OPENMP
    int before = omp_get_max_threads();
    omp_set_num_threads(n);
    return before;
#else
    return n;
#endif
}

static int cores_allowed(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

/* --- memory -----------------------------------------------------------------------------------*/

enum { ALIGN = 64 };

static void *memory_new(size_t bytes)
{
    return bytes > SIZE_MAX - ALIGN ? NULL : aligned_alloc(ALIGN, (bytes + ALIGN) / ALIGN * ALIGN);
}

char *cpu_work(struct cpu *cpu, size_t bytes)
{
    if (bytes <= cpu->work_bytes && cpu->work)
        return cpu->work;
    free(cpu->work);
    cpu->work = memory_new(bytes);
    cpu->work_bytes = cpu->work ? bytes : 0;
    if (!cpu->work)
        fail(&cpu->backend.fault, ERR_MEMORY, "no memory for %.1f MiB of working memory",
             (double)bytes / 0x1p20);
    return cpu->work;
}

static void *cpu_alloc(struct backend *b, size_t bytes, struct error *err)
{
    (void)b;
    void *memory = memory_new(bytes);
    if (!memory)
        fail(err, ERR_MEMORY, "no memory for %.1f MiB", (double)bytes / 0x1p20);
    return memory;
}

static void cpu_free(struct backend *b, void *memory)
{
    (void)b;
    free(memory);
}

static void cpu_upload(struct backend *b, struct tensor to, const void *host)
{
    (void)b;
    memcpy(to.data, host, tensor_bytes(to));
}

static void cpu_download(struct backend *b, void *host, struct tensor from)
{
    (void)b;
    memcpy(host, from.data, tensor_bytes(from));
}

static void cpu_sync(struct backend *b) { (void)b; }

static void cpu_parallel(struct backend *b, int64_t n, backend_task_fn task, void *ctx)
{
#pragma omp parallel for num_threads(cpu_of(b)->threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < n; i++)
        task(ctx, i);
}

static void cpu_close(struct backend *b)
{
    struct cpu *cpu = cpu_of(b);
    conv_cache_free(cpu->convs);
    gemm_close(cpu->gemm);
    cpu_weights_free(cpu);
    free(cpu->work);
    free(cpu);
}

/* --- instruction sets -------------------------------------------------------------------------*/

struct isa {
    const struct cpu_kernels *kernels;
    bool is_supported;
};

/* The best supported kernels, or those that FLUXBENCH_CPU_ISA names. */
static const struct cpu_kernels *choose_kernels(struct error *err)
{
    struct isa sets[] = {
#ifdef CPU_HAS_X86_LEVELS
        {&cpu_kernels_v4, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                              __builtin_cpu_supports("avx512cd") &&
                              __builtin_cpu_supports("avx512dq") &&
                              __builtin_cpu_supports("avx512vl")},
        {&cpu_kernels_v3, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                              __builtin_cpu_supports("bmi2")},
#endif
        {&cpu_kernels_baseline, true},
    };
    const char *wanted = getenv("FLUXBENCH_CPU_ISA");
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        bool is_wanted = !wanted || !*wanted || strcmp(wanted, sets[i].kernels->name) == 0;
        if (is_wanted && sets[i].is_supported)
            return sets[i].kernels;
        if (is_wanted && wanted && *wanted) {
            fail(err, ERR_INVALID, "FLUXBENCH_CPU_ISA=%s: this processor does not have it", wanted);
            return NULL;
        }
    }
    fail(err, ERR_INVALID, "FLUXBENCH_CPU_ISA=%s: must be baseline, v3 or v4 (x86-64 only)",
         wanted);
    return NULL;
}

/* The processor's name from /proc/cpuinfo, where it has one. */
static void read_processor_name(char *name, size_t size)
{
    snprintf(name, size, "CPU");
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", strlen("model name")) == 0 && colon && colon[1] == ' ') {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(name, size, "%s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

/* --- open -------------------------------------------------------------------------------------*/

static struct backend_ops table_of(const struct cpu_kernels *k)
{
    return (struct backend_ops){
        .close = cpu_close,
        .alloc = cpu_alloc,
        .free = cpu_free,
        .adopt = cpu_adopt,
        .upload = cpu_upload,
        .download = cpu_download,
        .sync = cpu_sync,
        .parallel = cpu_parallel,
        .linear = cpu_linear,
        .conv2d = cpu_conv2d,
        .attention = cpu_attention,
        .layer_norm = k->layer_norm,
        .rms_norm = k->rms_norm,
        .rms_norm_rope = k->rms_norm_rope,
        .group_norm = k->group_norm,
        .activate = k->activate,
        .add = k->add,
        .mul = k->mul,
        .gated_add = k->gated_add,
        .axpy = k->axpy,
        .affine = k->affine,
        .embed = k->embed,
        .copy = k->copy,
        .exchange = team_exchange,
        .to_rgb8 = k->to_rgb8,
    };
}

bool cpu_open(struct backend **out, const struct cpu_options *options, struct error *err)
{
    int threads = options->threads > 0 ? options->threads : cores_allowed();
    if (options->threads < 0 || options->threads > CPU_MAX_THREADS)
        return fail_field(err, "threads", "threads %d: must be 1 to %d, or 0 for all cores",
                          options->threads, CPU_MAX_THREADS);
    if (options->compute != DTYPE_F32 && options->compute != DTYPE_BF16)
        return fail_field(err, "dtype", "dtype %s: the CPU computes in f32 or bf16",
                          dtype_name(options->compute));
#ifndef _OPENMP
    if (options->threads > 1)
        return fail_field(err, "threads", "threads %d: this build has no OpenMP, so it must be 1",
                          options->threads);
    threads = 1;
#endif
    const struct cpu_kernels *kernels = choose_kernels(err);
    if (!kernels)
        return false;
    struct cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu)
        return fail(err, ERR_MEMORY, "no memory for the CPU back end");
    cpu->gemm = gemm_open(threads, err);
    if (!cpu->gemm) {
        free(cpu);
        return false;
    }
    cpu->threads = threads;
    cpu->kernels = kernels;
    cpu->ops = table_of(kernels);
    cpu->backend.ops = &cpu->ops;
    cpu->backend.name = "cpu";
    cpu->backend.compute = options->compute;
    cpu->backend.takes_quantised = true;
    cpu->backend.multiplies_int8 = cpu->backend.multiplies_fp8 = true;
    char name[80];
    read_processor_name(name, sizeof name);
    snprintf(cpu->backend.device, sizeof cpu->backend.device, "%s, %d thread%s, %s kernels", name,
             threads, threads == 1 ? "" : "s", kernels->name);
    *out = &cpu->backend;
    return true;
}

bool cpu_open_team(struct backend **out, const struct cpu_options *options, int n,
                   struct error *err)
{
    struct backend *backends[SHARE_MAX] = {NULL};
    struct comm *comms[SHARE_MAX];
    struct cpu_options each = *options;
    if (n <= 1)
        return cpu_open(out, options, err);
    int threads = options->threads > 0 ? options->threads : cores_allowed();
    each.threads = threads > n ? threads / n : 1;
    bool ok = true;
    for (int i = 0; i < n && ok; i++)
        ok = cpu_open(&backends[i], &each, err);
    ok = ok && comm_local_open(comms, n, err);
    if (ok && !team_form(backends, comms, n, err)) {
        for (int i = 0; i < n; i++)
            comms[i]->ops->close(comms[i]);
        ok = false;
    }
    for (int i = 0; i < n && !ok; i++)
        backend_close(backends[i]);
    *out = ok ? backends[0] : NULL;
    return ok;
}
