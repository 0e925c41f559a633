/* Checks of every access to device and shared memory.
 *
 * Races: a global epoch counts barriers (and block starts), each thread's warp epoch counts
 * __syncwarp. Two accesses to a byte by different threads, one of them a write, are ordered when
 * the epochs differ within a block, or, within one warp, when the warp epochs differ (shuffles
 * order no memory). Accesses by two blocks of one launch are never ordered. Per byte the shadow
 * keeps the last write and the last read; a read by several threads is kept as "several of warp w"
 * or "several warps". Atomics don't conflict with each other, but they do with plain accesses. */
#include "tests/cuda_sim/vgpu_internal.h"

#include <string.h>

enum {
    SEVERAL_IN_WARP = 0xf000, /* + warp: threads of one warp read */
    ATOMICALLY = 0xfffe,      /* whoever it was, by atomics */
    SEVERAL_WARPS = 0xffff,
};

enum kind { READ, WRITE, ATOMIC };
static const char *const VERBS[] = {"read", "write", "atomic"};

enum conflict { ORDERED, BETWEEN_THREADS, BETWEEN_BLOCKS };
static const char *const OTHERS[] = {"", "another thread since the last barrier",
                                     "another block of this launch"};

static uint32_t epoch = 1, launch_first = 1, block_first = 1;
static const char *arguments_begin, *arguments_end;

void vgpu_epochs_begin_launch(void) { launch_first = epoch + 1; }

void vgpu_epochs_begin_block(void) { block_first = ++epoch; }

void vgpu_epochs_barrier(void) { epoch++; }

void vgpu_check_set_arguments(const void *arguments, size_t bytes)
{
    arguments_begin = arguments;
    arguments_end = arguments_begin + bytes;
}

/* --- races ------------------------------------------------------------------------------------*/

static enum conflict conflict_with(const struct vgpu_region *region, struct vgpu_access last)
{
    if (last.epoch < launch_first)
        return ORDERED;
    if (last.epoch < block_first)
        return region == &vgpu_device_memory ? BETWEEN_BLOCKS : ORDERED;
    if (last.epoch != epoch || last.thread == vgpu_self->linear)
        return ORDERED;
    int warp = last.thread >= ATOMICALLY        ? -1
               : last.thread >= SEVERAL_IN_WARP ? last.thread - SEVERAL_IN_WARP
                                                : last.thread / VGPU_WARP;
    bool is_ordered = warp == (int)vgpu_self->warp && last.warp_epoch != vgpu_self->warp_epoch;
    return is_ordered ? ORDERED : BETWEEN_THREADS;
}

static void report_race(const struct vgpu_region *region, size_t offset, uintptr_t site,
                        enum kind kind, const char *other_verb, enum conflict conflict)
{
    char place[128];
    vgpu_describe(region, offset, place, sizeof place);
    vgpu_report(VGPU_RACE, site, "%s of %s conflicts with a %s by %s", VERBS[kind], place,
                other_verb, OTHERS[conflict]);
}

static void note_read(struct vgpu_access *read)
{
    uint16_t self = (uint16_t)vgpu_self->linear;
    if (read->epoch != epoch) {
        read->thread = self;
    } else if (read->thread != self) {
        uint16_t my_warp = (uint16_t)(SEVERAL_IN_WARP + vgpu_self->warp);
        bool is_my_warp = read->thread == my_warp || (read->thread < SEVERAL_IN_WARP &&
                                                      read->thread / VGPU_WARP == vgpu_self->warp);
        read->thread = is_my_warp ? my_warp : SEVERAL_WARPS;
    }
    read->epoch = epoch;
    read->warp_epoch = vgpu_self->warp_epoch;
}

static void check_races(struct vgpu_region *region, size_t offset, uintptr_t site, enum kind kind)
{
    struct vgpu_record *record = &region->records[offset];
    enum conflict conflict = conflict_with(region, record->write);
    if (conflict && !(kind == ATOMIC && record->write.thread == ATOMICALLY)) {
        report_race(region, offset, site, kind, "write", conflict);
        record->write.epoch = 0;
    }
    if (kind == READ) {
        note_read(&record->read);
        return;
    }
    conflict = conflict_with(region, record->read);
    if (conflict) {
        report_race(region, offset, site, kind, "read", conflict);
        record->read.epoch = 0;
    }
    record->write = (struct vgpu_access){.epoch = epoch,
                                         .thread = kind == ATOMIC ? (uint16_t)ATOMICALLY
                                                                  : (uint16_t)vgpu_self->linear,
                                         .warp_epoch = vgpu_self->warp_epoch};
}

/* --- memory -----------------------------------------------------------------------------------*/

static void report_memory(enum vgpu_fault fault, const struct vgpu_region *region, size_t offset,
                          size_t bytes, uintptr_t site, enum kind kind)
{
    char place[128];
    vgpu_describe(region, offset, place, sizeof place);
    vgpu_report(fault, site, "%s of %zu bytes at %s", VERBS[kind], bytes, place);
}

static void check(struct vgpu_region *region, size_t offset, size_t bytes, uintptr_t site,
                  enum kind kind)
{
    vgpu_counters.accesses++;
    bool is_power = (bytes & (bytes - 1)) == 0;
    if (is_power && bytes <= 16 && ((uintptr_t)region->base + offset) % bytes != 0)
        report_memory(VGPU_MISALIGNED, region, offset, bytes, site, kind);
    uint8_t *state = region->state + offset;
    for (size_t i = 0; i < bytes; i++) {
        if (!(state[i] & BYTE_ALLOCATED)) {
            report_memory(VGPU_OUT_OF_BOUNDS, region, offset + i, bytes, site, kind);
            return;
        }
        if (kind != WRITE && !(state[i] & BYTE_INITIALISED)) {
            report_memory(VGPU_UNINITIALISED, region, offset + i, bytes, site, kind);
            state[i] |= BYTE_INITIALISED; /* once is enough */
        }
    }
    if (region == &vgpu_device_memory &&
        !vgpu_may_touch(vgpu_grid.device, state[0] >> BYTE_DEVICE_SHIFT))
        report_memory(VGPU_WRONG_DEVICE, region, offset, bytes, site, kind);
    for (size_t i = 0; vgpu_options.checks == VGPU_CHECK_RACES && i < bytes; i++)
        check_races(region, offset + i, site, kind);
    for (size_t i = 0; kind == WRITE && i < bytes; i++)
        state[i] |= BYTE_INITIALISED;
}

/* The program's own constants, for example tables of the math library in the same image, and what
 * tells a kernel its thread. */
static bool in_image(const char *p)
{
    extern char __executable_start, end; /* by the linker */
    return (p >= &__executable_start && p < &end) || p == (const char *)&vgpu_self;
}

static void hook(const char *p, size_t bytes, uintptr_t site, enum kind kind)
{
    if (!vgpu_self || vgpu_options.checks == VGPU_CHECK_NOTHING)
        return;
    size_t in_shared = (size_t)(p - vgpu_shared_memory.base);
    size_t in_device = (size_t)(p - vgpu_device_memory.base);
    if (in_shared < vgpu_shared_memory.size) {
        check(&vgpu_shared_memory, in_shared, bytes, site, kind);
    } else if (in_device < vgpu_device_memory.size) {
        check(&vgpu_device_memory, in_device, bytes, site, kind);
    } else if (!vgpu_on_stack(p) && !(p >= arguments_begin && p < arguments_end) &&
               !(kind == READ && in_image(p))) {
        vgpu_report(VGPU_HOST_MEMORY, site, "%s of %zu bytes at %p, which is no device memory",
                    VERBS[kind], bytes, (const void *)p);
    }
}

void vgpu_read(const void *p, size_t bytes, uintptr_t site) { hook(p, bytes, site, READ); }

void vgpu_write(const void *p, size_t bytes, uintptr_t site) { hook(p, bytes, site, WRITE); }

void vgpu_atomic(const void *p, size_t bytes, uintptr_t site) { hook(p, bytes, site, ATOMIC); }
