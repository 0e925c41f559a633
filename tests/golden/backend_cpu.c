/* The reference cases on the CPU back end. */
#include "tests/golden/backend.h"

#include "cpu/cpu.h"

bool golden_open(struct backend **out, enum dtype compute, int n, struct error *err)
{
    return cpu_open_team(out, &(struct cpu_options){.compute = compute}, n, err);
}

int golden_complaints(void) { return 0; }
