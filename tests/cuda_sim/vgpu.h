/* vgpu: a small processor for CUDA grids, in software, with checked memory.
 *
 * A launch runs block after block on the calling thread. Each thread of a block is a fiber; it runs
 * until it waits at a barrier or in a warp operation, and the last lane to arrive computes the
 * operation for all of them: one mechanism for shuffles, votes, mma, ldmatrix. Device and shared
 * memory have a shadow that knows for every byte whether it is allocated, whether it has a value,
 * and which thread touched it last, so that kernels are checked for bounds, uninitialised reads,
 * races, divergent barriers and deadlocks while they run.
 *
 * Two front ends sit on top: device.h (the .cu file compiled as C++) and ptx2c.py (the compiler's
 * PTX translated to C). Both say where in the source they are by a site: a line number when it is
 * small, otherwise a code address.
 *
 * What it cannot show: timing, weak-memory effects (one thread runs at a time; only the race rule
 * finds them), the last bits of approximate instructions (computed exactly here). Named barriers
 * for part of a block and fences between blocks are treated too kindly.
 *
 * One host thread at a time; runtime.h adds the lock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- what runs --------------------------------------------------------------------------------*/

struct vgpu_dim {
    uint32_t x, y, z;
};

struct vgpu_thread {
    struct vgpu_dim index; /* threadIdx */
    uint32_t linear, lane, warp;
    uint8_t state;            /* enum thread_state of vgpu_internal.h */
    uint16_t warp_epoch;      /* counts __syncwarp */
    void *stack_pointer;      /* while it waits */
    uintptr_t site;           /* of the warp operation it waits in */
    struct vgpu_copy *copies; /* cp.async not yet performed, oldest first */
    int n_groups;             /* committed so far */
};

struct vgpu_grid {
    struct vgpu_dim block, block_dim, grid_dim;
    uint32_t n_threads, n_warps; /* of a block */
    uint32_t dynamic_bytes;
    char *dynamic; /* the block's dynamic shared memory */
    int device;    /* that the launch runs on */
};

/* The running thread; NULL outside kernels, and on other threads of the process than the one that
 * runs them. */
extern __thread struct vgpu_thread *vgpu_self;
extern struct vgpu_grid vgpu_grid;

enum vgpu_order { VGPU_FORWARD, VGPU_REVERSE, VGPU_RANDOM, VGPU_N_ORDERS };

enum vgpu_checks { VGPU_CHECK_NOTHING, VGPU_CHECK_MEMORY, VGPU_CHECK_RACES };

/* Set between launches. */
struct vgpu_options {
    enum vgpu_order order; /* in which the threads of a block get their turns */
    unsigned seed;         /* of the random order */
    enum vgpu_checks checks;
    bool is_quiet; /* count faults without printing: for faults planted on purpose */
};

extern struct vgpu_options vgpu_options;

struct vgpu_counters {
    uint64_t blocks, threads, switches, barriers, warp_operations, accesses;
};

extern struct vgpu_counters vgpu_counters;

typedef void (*vgpu_kernel_fn)(void *arguments);

/* Run a grid. False when the shape is one that no device takes: nothing has run then. The
 * arguments are readable by the kernel. */
bool vgpu_launch(int device, const char *name, struct vgpu_dim grid, struct vgpu_dim block,
                 size_t dynamic_bytes, vgpu_kernel_fn kernel, void *arguments,
                 size_t argument_bytes);

/* --- device memory ----------------------------------------------------------------------------*/

enum { VGPU_MAX_DEVICES = 8 };

/* Zones around it are forbidden; it has no values yet and reads as NaN. Addresses are never used
 * twice, so that use after free stays visible. NULL when the address space is used up. */
void *vgpu_malloc(int device, size_t bytes);
bool vgpu_free(void *memory); /* false: not an allocation */

/* Device of the allocation that holds all bytes at p, or -1. */
int vgpu_device_of(const void *p, size_t bytes);

void vgpu_mark_initialised(const void *p, size_t bytes);
bool vgpu_is_initialised(const void *p, size_t bytes);
size_t vgpu_allocated(int device); /* bytes */

/* Kernels on device `from` may touch memory of device `to`. */
void vgpu_allow_peer(int from, int to);

/* --- called by kernels ------------------------------------------------------------------------*/

void vgpu_read(const void *p, size_t bytes, uintptr_t site);
void vgpu_write(const void *p, size_t bytes, uintptr_t site);
void vgpu_atomic(const void *p, size_t bytes, uintptr_t site);

/* A __shared__ array: one per key and block. */
void *vgpu_shared(const void *key, size_t bytes, const char *name);

/* count 0: all threads of the block. */
void vgpu_barrier(int id, int count, uintptr_t site);

/* cp.async: performed as late as the program allows; the target reads as uninitialised until then.
 * bytes past valid become zero. */
void vgpu_copy_async(void *to, const void *from, int bytes, int valid, uintptr_t site);
void vgpu_copy_commit(void);
void vgpu_copy_wait(int n_pending); /* negative: everything, committed or not */

/* Warp operations. */
enum vgpu_shuffle { VGPU_SHUFFLE_UP, VGPU_SHUFFLE_DOWN, VGPU_SHUFFLE_XOR, VGPU_SHUFFLE_INDEX };
enum vgpu_vote { VGPU_BALLOT, VGPU_ALL, VGPU_ANY };
enum vgpu_reduction {
    VGPU_ADD,
    VGPU_AND,
    VGPU_OR,
    VGPU_XOR,
    VGPU_MIN_S32,
    VGPU_MAX_S32,
    VGPU_MIN_U32,
    VGPU_MAX_U32
};

/* b and c as in PTX's shfl; *is_in_range (may be NULL) is its predicate. */
uint32_t vgpu_shuffle(enum vgpu_shuffle op, uint32_t value, uint32_t b, uint32_t c, uint32_t mask,
                      uint8_t *is_in_range, uintptr_t site);
uint32_t vgpu_vote(enum vgpu_vote op, bool claim, uint32_t mask, uintptr_t site);
uint32_t vgpu_reduce(enum vgpu_reduction op, uint32_t value, uint32_t mask, uintptr_t site);
uint32_t vgpu_match_any(uint32_t value, uint32_t mask, uintptr_t site);
void vgpu_sync_warp(uint32_t mask, uintptr_t site);

enum vgpu_type { VGPU_BF16, VGPU_F16, VGPU_S8, VGPU_U8, VGPU_E4M3, VGPU_E5M2, VGPU_TF32 };

/* d = a b + c, one warp, 16 rows and 8 columns: k is 16 for 16-bit types, 32 for 8-bit types, 8 for
 * tf32. Registers as PTX's mma.sync lays them out. Products and sums are exact, rounded once. */
void vgpu_mma(uint32_t d[4], const uint32_t a[4], const uint32_t b[2], const uint32_t c[4],
              enum vgpu_type type, uintptr_t site);

/* n 8x8 matrices of 16-bit elements; row: this lane's row address. */
void vgpu_ldmatrix(uint32_t *registers, int n, bool is_transposed, const void *row, uintptr_t site);

/* --- number formats ---------------------------------------------------------------------------*/

float vgpu_from_bf16(uint16_t bits);
uint16_t vgpu_to_bf16(float x);
float vgpu_from_f16(uint16_t bits);
uint16_t vgpu_to_f16(float x);
float vgpu_from_fp8(uint8_t bits, enum vgpu_type type);
uint8_t vgpu_to_fp8(float x, enum vgpu_type type); /* saturates to the largest finite value */

/* --- faults -----------------------------------------------------------------------------------*/

enum vgpu_fault {
    VGPU_OUT_OF_BOUNDS,
    VGPU_UNINITIALISED,
    VGPU_MISALIGNED,
    VGPU_HOST_MEMORY,  /* a pointer that is neither device nor shared memory */
    VGPU_WRONG_DEVICE, /* memory of another device without peer access */
    VGPU_RACE,
    VGPU_DIVERGENT_BARRIER,
    VGPU_EXITED_AT_BARRIER, /* a thread returned while others wait */
    VGPU_DEADLOCK,
    VGPU_WARP_DIVERGENCE, /* lanes of one warp wait in different operations */
    VGPU_BAD_MASK,
    VGPU_SHUFFLE_SOURCE, /* reads a lane outside the mask */
    VGPU_TRAP,
    VGPU_HOST_COPY, /* a host call's range: outside an allocation, or without values */
    VGPU_STREAM,    /* misuse of streams, events or graphs */
    VGPU_LIBRARY,   /* misuse of cuBLASLt or NCCL */
    VGPU_N_FAULTS
};

const char *vgpu_fault_name(enum vgpu_fault fault);

/* Count a fault; print its first occurrence of each site and kernel to stderr. */
void vgpu_report(enum vgpu_fault fault, uintptr_t site, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int vgpu_faults(enum vgpu_fault fault); /* since the last reset */
int vgpu_all_faults(void);
void vgpu_faults_reset(void);

/* Line of the last fault's site, 0 when the site is a code address. */
uintptr_t vgpu_last_site(void);

#ifdef __cplusplus
}
#endif
