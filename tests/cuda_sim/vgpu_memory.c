/* Device and shared memory, and the shadow's allocation state.
 *
 * Both are large lazily mapped ranges, so that untouched bytes cost nothing. Shared memory lies
 * below 4 GiB: a 32-bit shared address is then the pointer itself. */
#include "tests/cuda_sim/vgpu_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, MAX_SHARED_ARRAYS = 64 };

static const size_t DEVICE_BYTES = (size_t)64 << 30; /* of addresses, over a process's life */
static const size_t SHARED_BYTES = 1 << 20;

struct allocation {
    char *base;
    size_t bytes;
    int device;
    bool is_live;
};

struct vgpu_region vgpu_device_memory, vgpu_shared_memory;

static struct allocation *allocations; /* by ascending address */
static size_t n_allocations, max_allocations;
static size_t device_top; /* offset of the next allocation */
static size_t allocated[VGPU_MAX_DEVICES];
static bool peers[VGPU_MAX_DEVICES][VGPU_MAX_DEVICES];

static struct {
    const void *key;
    char *base;
    size_t bytes;
    char name[32];
} arrays[MAX_SHARED_ARRAYS]; /* of the running kernel */
static int n_arrays;
static size_t shared_top;

/* --- mapping ----------------------------------------------------------------------------------*/

void *vgpu_map(size_t bytes, int extra_flags)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | extra_flags, -1, 0);
    if (p == MAP_FAILED) {
        perror("vgpu: mmap");
        exit(2);
    }
    return p;
}

static void region_map(struct vgpu_region *region, size_t bytes, int extra_flags)
{
    region->size = bytes;
    region->base = vgpu_map(bytes, extra_flags);
    region->state = vgpu_map(bytes, 0);
    region->records = vgpu_map(bytes * sizeof *region->records, 0);
}

void vgpu_memory_init(void)
{
    if (vgpu_device_memory.base)
        return;
    region_map(&vgpu_device_memory, DEVICE_BYTES, 0);
    region_map(&vgpu_shared_memory, SHARED_BYTES, MAP_32BIT);
    device_top = PAGE;
}

/* --- device memory ----------------------------------------------------------------------------*/

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

void *vgpu_malloc(int device, size_t bytes)
{
    vgpu_memory_init();
    struct vgpu_region *memory = &vgpu_device_memory;
    if (bytes > memory->size - device_top - PAGE)
        return NULL;
    if (n_allocations == max_allocations) {
        max_allocations = max_allocations * 2 + 64;
        allocations = realloc(allocations, max_allocations * sizeof *allocations);
        if (!allocations)
            abort();
    }
    char *base = memory->base + device_top;
    allocations[n_allocations++] =
        (struct allocation){.base = base, .bytes = bytes, .device = device, .is_live = true};
    memset(memory->state + device_top, BYTE_ALLOCATED | device << BYTE_DEVICE_SHIFT, bytes);
    memset(base, 0xff, bytes);
    device_top = round_up(device_top + bytes + VGPU_RED_ZONE, 256);
    allocated[device] += bytes;
    return base;
}

/* The last allocation that begins at or before p. */
static struct allocation *allocation_before(const char *p)
{
    size_t low = 0, high = n_allocations;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (allocations[middle].base <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &allocations[low - 1] : NULL;
}

/* Give whole pages inside a range back to the host. */
static void forget(char *begin, size_t bytes)
{
    char *first = (char *)round_up((size_t)begin, PAGE);
    if (begin + bytes >= first + PAGE)
        madvise(first, (size_t)(begin + bytes - first) / PAGE * PAGE, MADV_DONTNEED);
}

bool vgpu_free(void *p)
{
    if (!p)
        return true;
    struct allocation *a = allocation_before(p);
    if (!a || a->base != p || !a->is_live)
        return false;
    size_t offset = (size_t)(a->base - vgpu_device_memory.base);
    a->is_live = false;
    allocated[a->device] -= a->bytes;
    memset(vgpu_device_memory.state + offset, 0, a->bytes);
    forget(a->base, a->bytes);
    forget((char *)(vgpu_device_memory.records + offset),
           a->bytes * sizeof *vgpu_device_memory.records);
    return true;
}

static bool all_bytes(const void *p, size_t bytes, int wanted)
{
    size_t offset = (size_t)((const char *)p - vgpu_device_memory.base);
    if (!vgpu_device_memory.base || offset >= vgpu_device_memory.size ||
        bytes > vgpu_device_memory.size - offset)
        return false;
    for (size_t i = 0; i < bytes; i++)
        if ((vgpu_device_memory.state[offset + i] & wanted) != wanted)
            return false;
    return true;
}

int vgpu_device_of(const void *p, size_t bytes)
{
    if (!all_bytes(p, bytes, BYTE_ALLOCATED))
        return -1;
    struct allocation *a = allocation_before(p);
    return a && a->is_live ? a->device : -1;
}

bool vgpu_is_initialised(const void *p, size_t bytes)
{
    return all_bytes(p, bytes, BYTE_ALLOCATED | BYTE_INITIALISED);
}

void vgpu_mark_initialised(const void *p, size_t bytes)
{
    size_t offset = (size_t)((const char *)p - vgpu_device_memory.base);
    for (size_t i = 0; i < bytes; i++)
        vgpu_device_memory.state[offset + i] |= BYTE_INITIALISED;
}

size_t vgpu_allocated(int device) { return allocated[device]; }

void vgpu_allow_peer(int from, int to) { peers[from][to] = true; }

bool vgpu_may_touch(int device, int owner) { return device == owner || peers[device][owner]; }

/* --- shared memory ----------------------------------------------------------------------------*/

enum { FIRST_SHARED = 1024 }; /* offset 0 stays forbidden: null and small indices show */

void vgpu_shared_begin_launch(size_t dynamic_bytes)
{
    vgpu_memory_init();
    memset(vgpu_shared_memory.state, 0, shared_top + VGPU_RED_ZONE);
    n_arrays = 0;
    vgpu_grid.dynamic = vgpu_shared_memory.base + FIRST_SHARED;
    vgpu_grid.dynamic_bytes = (uint32_t)dynamic_bytes;
    memset(vgpu_shared_memory.state + FIRST_SHARED, BYTE_ALLOCATED, dynamic_bytes);
    shared_top = round_up(FIRST_SHARED + dynamic_bytes + VGPU_RED_ZONE, 128);
}

/* Nothing has a value at the start of a block; the bytes read as NaN. */
void vgpu_shared_begin_block(void)
{
    for (size_t i = FIRST_SHARED; i < shared_top; i++)
        vgpu_shared_memory.state[i] &= BYTE_ALLOCATED;
    memset(vgpu_shared_memory.base, 0xff, shared_top);
}

void *vgpu_shared(const void *key, size_t bytes, const char *name)
{
    for (int i = 0; i < n_arrays; i++)
        if (arrays[i].key == key)
            return arrays[i].base;
    if (n_arrays == MAX_SHARED_ARRAYS || shared_top + bytes + VGPU_RED_ZONE > SHARED_BYTES) {
        fprintf(stderr, "vgpu: %s: too much shared memory\n", name);
        exit(2);
    }
    char *base = vgpu_shared_memory.base + shared_top;
    memset(vgpu_shared_memory.state + shared_top, BYTE_ALLOCATED, bytes);
    memset(base, 0xff, bytes);
    shared_top = round_up(shared_top + bytes + VGPU_RED_ZONE, 128);
    arrays[n_arrays].key = key;
    arrays[n_arrays].base = base;
    arrays[n_arrays].bytes = bytes;
    snprintf(arrays[n_arrays].name, sizeof arrays[n_arrays].name, "%s", name);
    n_arrays++;
    return base;
}

/* --- words for reports ------------------------------------------------------------------------*/

static void describe_shared(const char *p, char *text, size_t size)
{
    for (int i = 0; i < n_arrays; i++)
        if (p >= arrays[i].base && p < arrays[i].base + arrays[i].bytes + VGPU_RED_ZONE) {
            snprintf(text, size, "__shared__ %s[byte %ld] of %zu bytes", arrays[i].name,
                     (long)(p - arrays[i].base), arrays[i].bytes);
            return;
        }
    snprintf(text, size, "dynamic shared memory [byte %ld] of %u bytes",
             (long)(p - vgpu_grid.dynamic), vgpu_grid.dynamic_bytes);
}

void vgpu_describe(const struct vgpu_region *region, size_t offset, char *text, size_t size)
{
    const char *p = region->base + offset;
    if (region == &vgpu_shared_memory) {
        describe_shared(p, text, size);
        return;
    }
    const struct allocation *a = allocation_before(p);
    if (a)
        snprintf(text, size, "byte %ld of %s allocation of %zu bytes on device %d",
                 (long)(p - a->base), a->is_live ? "an" : "a freed", a->bytes, a->device);
    else
        snprintf(text, size, "unallocated device memory");
}
