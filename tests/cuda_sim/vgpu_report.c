/* Faults: counted by kind; the first of each kind, site and kernel is printed, with the source line
 * where the binary has debug information. */
#include "tests/cuda_sim/vgpu_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PLACES = 256, LARGEST_LINE = 100000 };

static const char *const NAMES[VGPU_N_FAULTS] = {
    [VGPU_OUT_OF_BOUNDS] = "out-of-bounds",
    [VGPU_UNINITIALISED] = "uninitialised",
    [VGPU_MISALIGNED] = "misaligned",
    [VGPU_HOST_MEMORY] = "host-memory",
    [VGPU_WRONG_DEVICE] = "wrong-device",
    [VGPU_RACE] = "race",
    [VGPU_DIVERGENT_BARRIER] = "divergent-barrier",
    [VGPU_EXITED_AT_BARRIER] = "exited-at-barrier",
    [VGPU_DEADLOCK] = "deadlock",
    [VGPU_WARP_DIVERGENCE] = "warp-divergence",
    [VGPU_BAD_MASK] = "bad-mask",
    [VGPU_SHUFFLE_SOURCE] = "shuffle-source",
    [VGPU_TRAP] = "trap",
    [VGPU_HOST_COPY] = "host-copy",
    [VGPU_STREAM] = "stream",
    [VGPU_LIBRARY] = "library",
};

static struct {
    enum vgpu_fault fault;
    uintptr_t site;
    const char *kernel;
} places[MAX_PLACES];
static int n_places;
static int counts[VGPU_N_FAULTS];
static uintptr_t last_site;

const char *vgpu_fault_name(enum vgpu_fault fault) { return NAMES[fault]; }

/* "norm.cu:123", by binutils; the bare address where that is missing. */
static void describe_site(uintptr_t site, char *text, size_t size)
{
    if (site < LARGEST_LINE) {
        snprintf(text, size, "line %lu", (unsigned long)site);
        return;
    }
    snprintf(text, size, "%#lx", (unsigned long)site);
    char command[128], line[128];
    /* One byte back: a return address is already behind the access. */
    snprintf(command, sizeof command, "addr2line -s -e /proc/%d/exe %#lx 2>/dev/null",
             (int)getpid(), (unsigned long)site - 1);
    FILE *pipe = popen(command, "r"); /* a fixed command: NOLINT(cert-env33-c) */
    if (!pipe)
        return;
    if (fgets(line, sizeof line, pipe) && line[0] != '?') {
        line[strcspn(line, "\n")] = '\0';
        snprintf(text, size, "%s", line);
    }
    pclose(pipe);
}

static bool is_new(enum vgpu_fault fault, uintptr_t site)
{
    for (int i = 0; i < n_places; i++)
        if (places[i].fault == fault && places[i].site == site &&
            places[i].kernel == vgpu_kernel_name)
            return false;
    if (n_places == MAX_PLACES)
        return false;
    places[n_places].fault = fault;
    places[n_places].site = site;
    places[n_places++].kernel = vgpu_kernel_name;
    return true;
}

void vgpu_report(enum vgpu_fault fault, uintptr_t site, const char *format, ...)
{
    counts[fault]++;
    last_site = site < LARGEST_LINE ? site : 0;
    if (!is_new(fault, site) || vgpu_options.is_quiet)
        return;
    char text[400], at[128] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!vgpu_self) {
        fprintf(stderr, "[%s] after %s: %s\n", NAMES[fault], vgpu_kernel_name, text);
        return;
    }
    describe_site(site, at, sizeof at);
    fprintf(stderr, "[%s] %s at %s, block (%u,%u,%u) thread %u: %s\n", NAMES[fault],
            vgpu_kernel_name, at, vgpu_grid.block.x, vgpu_grid.block.y, vgpu_grid.block.z,
            vgpu_self->linear, text);
}

int vgpu_faults(enum vgpu_fault fault) { return counts[fault]; }

int vgpu_all_faults(void)
{
    int n = 0;
    for (int i = 0; i < VGPU_N_FAULTS; i++)
        n += counts[i];
    return n;
}

void vgpu_faults_reset(void)
{
    n_places = 0;
    memset(counts, 0, sizeof counts);
}

uintptr_t vgpu_last_site(void) { return last_site; }
