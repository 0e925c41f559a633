/* Which back end computes. The one module of the server that knows there are several. */
#pragma once

#include <stdint.h>

#include "flux/flux.h"
#include "server/memory_check.h"

#define BACKENDS_KINDS "auto|cpu|cuda"
#define BACKENDS_DTYPES "auto|f32|bf16"

enum backends_kind { BACKENDS_AUTO, BACKENDS_CPU, BACKENDS_CUDA }; /* as BACKENDS_KINDS */
enum backends_dtype { BACKENDS_DTYPE_AUTO, BACKENDS_DTYPE_F32, BACKENDS_DTYPE_BF16 };

/* Fields as option tables fill them in. */
struct backends_wish {
    int kind, dtype;
    int64_t threads;   /* 0: all cores; CPU only */
    int64_t device_id; /* CUDA only */
    int64_t degree;    /* back ends that make each image together; 0 and 1: one */
};

#define BACKENDS_DEGREE_HELP                                                                      \
    "CUDA devices that make each image together, which takes less time: its tokens are split "    \
    "over "                                                                                       \
    "them, and NCCL exchanges them for heads around each attention. The CPU takes it for trying " \
    "out (default 1)"

/* With the degree: a profile runs each operation by itself, and the devices of an image wait for
 * each other in the middle of them. */
#define BACKENDS_NO_PROFILE                                                                     \
    "--profile-steps with --ulysses-degree %lld: must be 1, as the operations of devices that " \
    "wait "                                                                                     \
    "for each other are not timed one by one"

/* Open what is wished for; "auto" takes a CUDA device when one answers. Logs what was chosen and
 * why. backend_close() the result. */
bool backends_open(struct backend **out, const struct backends_wish *wish, struct error *err);

/* Are there n devices from device_id on? More than one is for CUDA alone. n 0: as many as one image
 * takes, if there are any. */
bool backends_check_devices(const struct backends_wish *wish, int64_t n, struct error *err);

/* After a failed run: will nothing work on its device until the process starts anew? */
bool backends_is_lost(struct backend *b);

/* Measured f32 operations per second of all threads, the best tenth of that many seconds: others
 * may want the processor too. 0 for devices, whose peak nothing measures. */
double backends_peak_flops(struct backend *b, double seconds);

/* The same of one thread per second of its processor time, whatever others do. */
double backends_peak_thread_flops(struct backend *b, double seconds);

/* How much memory it has for a model now. */
struct memory_room backends_room(struct backend *b);

/* The compute type of a wish; "auto" is f32 on the CPU and bf16 on CUDA. */
enum dtype backends_compute(const struct backends_wish *wish, bool is_cuda);
