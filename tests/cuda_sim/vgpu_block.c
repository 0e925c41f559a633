/* Running a block: fibers, the order of their turns, barriers and meetings of lanes.
 *
 * A fiber gives up its turn only where it must wait, so a switch costs a dozen instructions. The
 * next one comes from the same warp if possible (lowest lane first, highest first, or at random):
 * three orders in which code that depends on one of them shows. */
#include "tests/cuda_sim/vgpu_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { STACK_BYTES = 64 << 10, GUARD_BYTES = 4096, MAX_BARRIERS = 16, MAX_MEETINGS = 4 };

__thread struct vgpu_thread *vgpu_self;
struct vgpu_grid vgpu_grid;
struct vgpu_options vgpu_options = {.seed = 1, .checks = VGPU_CHECK_RACES};
struct vgpu_counters vgpu_counters;
struct vgpu_thread vgpu_threads[VGPU_MAX_THREADS];
uint32_t vgpu_alive[VGPU_MAX_WARPS];
const char *vgpu_kernel_name = "nothing";

static uint32_t ready[VGPU_MAX_WARPS]; /* lanes that could run */
static uint32_t n_alive, n_returned;
static void *scheduler; /* stack pointer of vgpu_launch while fibers run */
static char *stacks;
static vgpu_kernel_fn current_kernel;
static void *current_arguments;

static struct {
    uint32_t n_waiting, count; /* count 0: the whole block */
    uintptr_t site;
} barriers[MAX_BARRIERS];
static uint8_t barrier_of[VGPU_MAX_THREADS];

/* Operations that some lanes of a warp wait in. */
struct meeting {
    uint32_t mask, arrived;
    int operation;
    void *arguments[VGPU_WARP];
};
static struct meeting meetings[VGPU_MAX_WARPS][MAX_MEETINGS];

/* --- switching --------------------------------------------------------------------------------*/

/* Keep the callee-saved registers on this stack, its pointer in *save; go on with another. */
void vgpu_switch(void **save, void *stack_pointer);
__asm__(".text\n"
        ".globl vgpu_switch\n"
        ".type vgpu_switch,@function\n"
        "vgpu_switch:\n"
        "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rsp,(%rdi)\n"
        "mov %rsi,%rsp\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n"
        "ret\n"
        ".size vgpu_switch,.-vgpu_switch\n");

bool vgpu_on_stack(const void *p)
{
    return (size_t)((const char *)p - stacks) < (size_t)STACK_BYTES * VGPU_MAX_THREADS;
}

static uint64_t random_state = 88172645463325252u;

static uint32_t random_below(uint32_t n)
{
    random_state ^= random_state << 13; /* xorshift64, Marsaglia 2003 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % n;
}

static uint32_t pick_lane(uint32_t lanes)
{
    if (vgpu_options.order == VGPU_FORWARD)
        return (uint32_t)__builtin_ctz(lanes);
    if (vgpu_options.order == VGPU_REVERSE)
        return 31 - (uint32_t)__builtin_clz(lanes);
    for (uint32_t skip = random_below((uint32_t)__builtin_popcount(lanes)); skip > 0; skip--)
        lanes &= lanes - 1;
    return (uint32_t)__builtin_ctz(lanes);
}

static struct vgpu_thread *pick_thread(void)
{
    uint32_t n = vgpu_grid.n_warps;
    uint32_t start = vgpu_options.order == VGPU_RANDOM ? random_below(n)
                     : vgpu_self                       ? vgpu_self->warp
                                                       : 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t step = vgpu_options.order == VGPU_REVERSE ? n - i : i;
        uint32_t warp = (start + step) % n;
        if (ready[warp])
            return &vgpu_threads[warp * VGPU_WARP + pick_lane(ready[warp])];
    }
    return NULL;
}

static void give_up_turn(void)
{
    struct vgpu_thread *me = vgpu_self, *next = pick_thread();
    vgpu_counters.switches++;
    if (next)
        vgpu_self = next;
    vgpu_switch(&me->stack_pointer, next ? next->stack_pointer : scheduler);
}

static void wait_as(enum thread_state state)
{
    vgpu_self->state = (uint8_t)state;
    ready[vgpu_self->warp] &= ~(1u << vgpu_self->lane);
    give_up_turn();
}

static void wake(struct vgpu_thread *t)
{
    t->state = THREAD_READY;
    ready[t->warp] |= 1u << t->lane;
}

/* --- barriers ---------------------------------------------------------------------------------*/

static void barrier_open(int id)
{
    for (uint32_t i = 0; i < vgpu_grid.n_threads; i++)
        if (vgpu_threads[i].state == THREAD_AT_BARRIER && barrier_of[i] == id)
            wake(&vgpu_threads[i]);
    barriers[id].n_waiting = 0;
    vgpu_epochs_barrier();
    vgpu_counters.barriers++;
}

void vgpu_barrier(int id, int count, uintptr_t site)
{
    if (n_returned > 0 && count == 0)
        vgpu_report(VGPU_EXITED_AT_BARRIER, site, "%u threads of the block had returned before",
                    n_returned);
    if (barriers[id].n_waiting == 0) {
        barriers[id].site = site;
        barriers[id].count = (uint32_t)count;
    } else if (barriers[id].site != site) {
        vgpu_report(VGPU_DIVERGENT_BARRIER, site, "other threads wait at another barrier, line %lu",
                    (unsigned long)barriers[id].site);
    }
    barriers[id].n_waiting++;
    if (barriers[id].n_waiting >= (count ? (uint32_t)count : n_alive)) {
        barrier_open(id);
        return;
    }
    barrier_of[vgpu_self->linear] = (uint8_t)id;
    wait_as(THREAD_AT_BARRIER);
}

/* --- meetings of lanes ------------------------------------------------------------------------*/

/* The meeting that this lane joins, an empty one if it is the first. */
static struct meeting *meeting_find(uint32_t mask, int operation, uintptr_t site)
{
    struct meeting *of_warp = meetings[vgpu_self->warp], *empty = NULL;
    for (int i = 0; i < MAX_MEETINGS; i++) {
        struct meeting *m = &of_warp[i];
        if (m->arrived && m->mask == mask && m->operation == operation)
            return m;
        if (m->arrived && (m->mask & mask))
            vgpu_report(VGPU_WARP_DIVERGENCE, site,
                        "lanes %#x wait in another warp operation with mask %#x", m->arrived,
                        m->mask);
        if (!m->arrived && !empty)
            empty = m;
    }
    if (!empty) {
        vgpu_report(VGPU_WARP_DIVERGENCE, site, "too many warp operations at once");
        empty = of_warp;
        empty->arrived = 0;
    }
    empty->mask = mask;
    empty->operation = operation;
    return empty;
}

void vgpu_meet(uint32_t mask, int operation, vgpu_meeting_fn all, void *argument, uintptr_t site)
{
    struct vgpu_thread *me = vgpu_self;
    uint32_t bit = 1u << me->lane, alive = vgpu_alive[me->warp];
    if (!(mask & bit))
        vgpu_report(VGPU_BAD_MASK, site, "lane %u is not in its own mask %#x", me->lane, mask);
    if (mask & ~alive)
        vgpu_report(VGPU_BAD_MASK, site,
                    "mask %#x names lanes that have returned or don't exist (alive: %#x)", mask,
                    alive);
    mask = (mask & alive) | bit;
    struct meeting *m = meeting_find(mask, operation, site);
    m->arrived |= bit;
    m->arguments[me->lane] = argument;
    me->site = site;
    if (m->arrived != mask) {
        wait_as(THREAD_IN_WARP_OPERATION);
        return;
    }
    m->arrived = 0;
    if (all)
        all(mask, m->arguments);
    for (uint32_t rest = mask & ~bit; rest; rest &= rest - 1)
        wake(&vgpu_threads[me->warp * VGPU_WARP + (uint32_t)lowest_lane(rest)]);
    vgpu_counters.warp_operations++;
}

/* --- blocks -----------------------------------------------------------------------------------*/

static void fiber_main(void)
{
    current_kernel(current_arguments);
    vgpu_copy_wait(-1);
    struct vgpu_thread *me = vgpu_self;
    me->state = THREAD_RETURNED;
    ready[me->warp] &= ~(1u << me->lane);
    vgpu_alive[me->warp] &= ~(1u << me->lane);
    n_alive--;
    n_returned++;
    if (n_alive > 0 && barriers[0].n_waiting >= n_alive && barriers[0].count == 0) {
        vgpu_report(VGPU_EXITED_AT_BARRIER, barriers[0].site,
                    "a thread returned while all others wait at this barrier");
        barrier_open(0);
    }
    give_up_turn();
    abort(); /* nobody returns to a fiber that is done */
}

static void thread_begin(uint32_t i)
{
    struct vgpu_dim dim = vgpu_grid.block_dim;
    void **top = (void **)(void *)(stacks + (size_t)(i + 1) * STACK_BYTES - 64);
    *--top = NULL; /* return address of fiber_main: keeps the stack aligned at its entry */
    void (*entry)(void) = fiber_main;
    memcpy(--top, &entry, sizeof entry);
    for (int k = 0; k < 6; k++) /* the registers that vgpu_switch pops */
        *--top = NULL;
    vgpu_threads[i] = (struct vgpu_thread){
        .index = {i % dim.x, i / dim.x % dim.y, i / (dim.x * dim.y)},
        .linear = i,
        .lane = i % VGPU_WARP,
        .warp = i / VGPU_WARP,
        .stack_pointer = top,
    };
    ready[i / VGPU_WARP] |= 1u << i % VGPU_WARP;
}

static void report_deadlock(void)
{
    uint32_t n_at_barrier = 0, n_in_warp = 0;
    uintptr_t site = barriers[0].site;
    for (uint32_t i = 0; i < vgpu_grid.n_threads; i++) {
        n_at_barrier += vgpu_threads[i].state == THREAD_AT_BARRIER;
        if (vgpu_threads[i].state == THREAD_IN_WARP_OPERATION) {
            n_in_warp++;
            site = vgpu_threads[i].site;
            vgpu_self = &vgpu_threads[i];
        }
    }
    vgpu_report(VGPU_DEADLOCK, site,
                "%u threads wait at a barrier, %u in a warp operation, %u have returned",
                n_at_barrier, n_in_warp, n_returned);
}

static void run_block(void)
{
    memset(ready, 0, sizeof ready);
    memset(barriers, 0, sizeof barriers);
    memset(meetings, 0, sizeof meetings);
    n_alive = vgpu_grid.n_threads;
    n_returned = 0;
    vgpu_epochs_begin_block();
    vgpu_shared_begin_block();
    for (uint32_t i = 0; i < vgpu_grid.n_threads; i++)
        thread_begin(i);
    memcpy(vgpu_alive, ready, sizeof vgpu_alive);
    vgpu_self = NULL;
    vgpu_self = pick_thread();
    vgpu_switch(&scheduler, vgpu_self->stack_pointer);
    if (n_alive > 0)
        report_deadlock();
    vgpu_self = NULL;
    vgpu_counters.blocks++;
    vgpu_counters.threads += vgpu_grid.n_threads;
}

/* Limits of all devices of interest: CUDA programming guide, compute capabilities. */
static bool is_launchable(struct vgpu_dim grid, struct vgpu_dim block, size_t dynamic_bytes)
{
    uint64_t n = (uint64_t)block.x * block.y * block.z;
    return n > 0 && n <= VGPU_MAX_THREADS && block.z <= 64 && grid.x > 0 && grid.x <= INT32_MAX &&
           grid.y > 0 && grid.y <= UINT16_MAX && grid.z > 0 && grid.z <= UINT16_MAX &&
           dynamic_bytes <= VGPU_MAX_SHARED;
}

static void stacks_init(void)
{
    if (stacks)
        return;
    stacks = vgpu_map((size_t)STACK_BYTES * VGPU_MAX_THREADS, 0);
    for (size_t i = 0; i < VGPU_MAX_THREADS; i++)
        mprotect(stacks + i * STACK_BYTES, GUARD_BYTES, PROT_NONE);
}

bool vgpu_launch(int device, const char *name, struct vgpu_dim grid, struct vgpu_dim block,
                 size_t dynamic_bytes, vgpu_kernel_fn kernel, void *arguments,
                 size_t argument_bytes)
{
    if (!is_launchable(grid, block, dynamic_bytes))
        return false;
    stacks_init();
    vgpu_kernel_name = name;
    current_kernel = kernel;
    current_arguments = arguments;
    vgpu_check_set_arguments(arguments, argument_bytes);
    random_state = (random_state ^ vgpu_options.seed * 0x9e3779b97f4a7c15u) | 1;
    uint32_t n_threads = block.x * block.y * block.z;
    vgpu_grid = (struct vgpu_grid){
        .block_dim = block,
        .grid_dim = grid,
        .n_threads = n_threads,
        .n_warps = (n_threads + VGPU_WARP - 1) / VGPU_WARP,
        .device = device,
    };
    vgpu_shared_begin_launch(dynamic_bytes);
    vgpu_epochs_begin_launch();
    uint64_t n_blocks = (uint64_t)grid.x * grid.y * grid.z;
    for (uint64_t i = 0; i < n_blocks; i++) {
        uint64_t at = vgpu_options.order == VGPU_REVERSE ? n_blocks - 1 - i : i;
        vgpu_grid.block =
            (struct vgpu_dim){(uint32_t)(at % grid.x), (uint32_t)(at / grid.x % grid.y),
                              (uint32_t)(at / grid.x / grid.y)};
        run_block();
    }
    return true;
}
