/* The reference cases on the simulated CUDA device: the whole pipeline through the real host code,
 * with the checks of memory on. Races are the op tests' business: there they cost little. */
#include "tests/golden/backend.h"

#include <stdlib.h>

#include "cuda/cuda.h"
#include "tests/cuda_sim/vgpu.h"

bool golden_open(struct backend **out, enum dtype compute, struct error *err)
{
    vgpu_options.checks = getenv("CUDA_SIM_RACES") ? VGPU_CHECK_RACES : VGPU_CHECK_MEMORY;
    return cuda_open(out, &(struct cuda_options){.compute = compute}, err);
}

int golden_complaints(void)
{
    int n = vgpu_all_faults();
    vgpu_faults_reset();
    return n;
}
