/* The reference cases on the simulated CUDA device: the whole pipeline through the real host code,
 * with the checks of memory on. Races are the op tests' business: there they cost little. */
#include "tests/golden/backend.h"

#include <stdlib.h>

#include "cuda/cuda.h"
#include "tests/cuda_sim/runtime.h"

bool golden_open(struct backend **out, enum dtype compute, int n, struct error *err)
{
    vgpu_options.checks = getenv("CUDA_SIM_RACES") ? VGPU_CHECK_RACES : VGPU_CHECK_MEMORY;
    runtime_options()->n_devices = n;
    return cuda_open_team(out, &(struct cuda_options){.compute = compute}, n, err);
}

int golden_complaints(void)
{
    int n = vgpu_all_faults();
    vgpu_faults_reset();
    return n;
}
