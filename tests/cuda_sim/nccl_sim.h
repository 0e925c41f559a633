/* What the stand-in for NCCL has done, for tests. */
#pragma once

#include <stdint.h>

struct nccl_counters {
    uint64_t exchanges, captured, bytes, aborts; /* exchanges: per rank; bytes: to other ranks */
};

struct nccl_counters nccl_counters(void);

/* Let a group fail, after so many. */
void nccl_plant_failure(int after_groups);
