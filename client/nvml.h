/* NVIDIA's management library, loaded at run time: no header, no link, no failure without it. */
#pragma once

#include "base/error.h"
#include "client/gpu.h"

struct nvml;

/* Load libnvidia-ml.so.1 by the system's search path. ERR_NOT_FOUND: there is none; ERR_DEVICE: it
 * knows no GPU. */
bool nvml_open(struct nvml **out, struct error *err);
/* A column of all GPUs. Returns how many values it has. */
size_t nvml_sample(struct nvml *n, struct gpus *g, int64_t at_ns);
void nvml_close(struct nvml *n); /* NULL is fine */
