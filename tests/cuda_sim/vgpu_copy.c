/* cp.async: asynchronous copies into shared memory, performed at the wait that demands them and not
 * before. Until then the target reads as NaN and counts as uninitialised, so that a missing or too
 * weak wait shows. */
#include "tests/cuda_sim/vgpu_internal.h"

#include <stdlib.h>
#include <string.h>

enum { NOT_COMMITTED = -1 };

struct vgpu_copy {
    struct vgpu_copy *next;
    char *to;
    const char *from;
    size_t bytes, valid;
    int group;
    uintptr_t site;
};

static void forget_target(char *to, size_t bytes)
{
    size_t offset = (size_t)(to - vgpu_shared_memory.base);
    if (offset >= vgpu_shared_memory.size)
        return;
    for (size_t i = 0; i < bytes; i++)
        vgpu_shared_memory.state[offset + i] &= BYTE_ALLOCATED;
    memset(to, 0xff, bytes);
}

void vgpu_copy_async(void *to, const void *from, int bytes, int valid, uintptr_t site)
{
    struct vgpu_copy *copy = malloc(sizeof *copy), **last = &vgpu_self->copies;
    if (!copy)
        abort();
    *copy = (struct vgpu_copy){.to = to,
                               .from = from,
                               .bytes = (size_t)bytes,
                               .valid = (size_t)valid,
                               .group = NOT_COMMITTED,
                               .site = site};
    if ((uintptr_t)to % (unsigned)bytes != 0 || (valid && (uintptr_t)from % (unsigned)bytes != 0))
        vgpu_report(VGPU_MISALIGNED, site, "cp.async of %d bytes from %p to %p", bytes, from, to);
    if (valid > 0)
        vgpu_read(from, (size_t)valid, site);
    vgpu_write(to, (size_t)bytes, site);
    forget_target(to, (size_t)bytes);
    while (*last)
        last = &(*last)->next;
    *last = copy;
}

void vgpu_copy_commit(void)
{
    for (struct vgpu_copy *c = vgpu_self->copies; c; c = c->next)
        if (c->group == NOT_COMMITTED)
            c->group = vgpu_self->n_groups;
    vgpu_self->n_groups++;
}

void vgpu_copy_wait(int n_pending)
{
    struct vgpu_copy **link = &vgpu_self->copies;
    while (*link) {
        struct vgpu_copy *c = *link;
        bool is_due = n_pending < 0 ||
                      (c->group != NOT_COMMITTED && c->group < vgpu_self->n_groups - n_pending);
        if (!is_due) {
            link = &c->next;
            continue;
        }
        vgpu_write(c->to, c->bytes, c->site);
        memcpy(c->to, c->from, c->valid);
        memset(c->to + c->valid, 0, c->bytes - c->valid);
        *link = c->next;
        free(c);
    }
}
