/* What the parts of vgpu share: thread states, regions of memory and their shadow. */
#pragma once

#include "tests/cuda_sim/vgpu.h"

enum {
    VGPU_MAX_THREADS = 1024, /* of a block */
    VGPU_WARP = 32,
    VGPU_MAX_WARPS = VGPU_MAX_THREADS / VGPU_WARP,
    VGPU_RED_ZONE = 64,          /* forbidden bytes behind every array */
    VGPU_MAX_SHARED = 227 << 10, /* of a block, sm_90 */
};

enum thread_state { THREAD_READY, THREAD_AT_BARRIER, THREAD_IN_WARP_OPERATION, THREAD_RETURNED };

/* --- vgpu_memory.c ---------------------------------------------------------------------------*/

/* Bits of a byte's state; the owning device sits above them. */
enum { BYTE_ALLOCATED = 1, BYTE_INITIALISED = 2, BYTE_DEVICE_SHIFT = 4 };

/* Who touched a byte last: an epoch (barriers count them), a thread and its warp's epoch. */
struct vgpu_access {
    uint32_t epoch;
    uint16_t thread, warp_epoch;
};

struct vgpu_record {
    struct vgpu_access write, read;
};

struct vgpu_region {
    char *base;
    size_t size;
    uint8_t *state;              /* per byte */
    struct vgpu_record *records; /* per byte */
};

extern struct vgpu_region vgpu_device_memory, vgpu_shared_memory;

void *vgpu_map(size_t bytes, int extra_flags);
void vgpu_memory_init(void); /* idempotent */
bool vgpu_may_touch(int device, int owner);

/* Describe the byte at an offset for a report: array, allocation, distance. */
void vgpu_describe(const struct vgpu_region *region, size_t offset, char *text, size_t size);

/* Shared memory of a launch and of each of its blocks. */
void vgpu_shared_begin_launch(size_t dynamic_bytes);
void vgpu_shared_begin_block(void);

/* --- vgpu_check.c ----------------------------------------------------------------------------*/

void vgpu_epochs_begin_launch(void);
void vgpu_epochs_begin_block(void);
void vgpu_epochs_barrier(void);

/* Memory a kernel may read without being device memory: its arguments. */
void vgpu_check_set_arguments(const void *arguments, size_t bytes);

/* --- vgpu_block.c ----------------------------------------------------------------------------*/

extern struct vgpu_thread vgpu_threads[VGPU_MAX_THREADS];
extern uint32_t vgpu_alive[VGPU_MAX_WARPS]; /* lanes that have not returned */
extern const char *vgpu_kernel_name;

bool vgpu_on_stack(const void *p);

/* Meet the other lanes of mask in an operation. The last one to arrive runs `all` with every
 * lane's argument (indexed by lane). Lanes in different operations at once are a fault. */
typedef void (*vgpu_meeting_fn)(uint32_t mask, void **arguments);
void vgpu_meet(uint32_t mask, int operation, vgpu_meeting_fn all, void *argument, uintptr_t site);

static inline int lowest_lane(uint32_t mask) { return __builtin_ctz(mask); }
