/* What all back ends share: checks around the memory calls, and the scratch arena. */
#include "tensor/backend.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/ops.h"
#include "tensor/team.h"

enum { SCRATCH_ALIGN = 64 };

void backend_close(struct backend *b)
{
    if (b == NULL) {
        return;
    }
    if (b->team != NULL && b->share.rank == 0) {
        team_close(b->team);
        b->team = NULL;
    }
    if (b->scratch.base != NULL) {
        b->ops->free(b, b->scratch.base);
        b->scratch.base = NULL;
    }
    b->ops->close(b);
}

void *backend_alloc(struct backend *b, size_t bytes, struct error *err)
{
    return b->ops->alloc(b, bytes, err);
}

void backend_free(struct backend *b, void *memory)
{
    if (memory != NULL) {
        b->ops->free(b, memory);
    }
}

bool backend_adopt(struct backend *b, struct tensor host, enum weight_use use, struct tensor *out,
                   struct error *err)
{
    assert(tensor_is_dense(host) && !host.is_packed);
    assert(host.dtype == DTYPE_F32 || host.dtype == DTYPE_BF16 || host.dtype == DTYPE_F16 ||
           (dtype_is_quantised(host.dtype) && use == WEIGHT_MATRIX && b->takes_quantised));
    assert(use != WEIGHT_VECTOR || host.rank == 1);
    assert(use != WEIGHT_MATRIX || host.rank == 2);
    assert(use != WEIGHT_CONV || host.rank == 4);
    return b->ops->adopt(b, host, use, out, err);
}

bool backend_makes(const struct backend *b, enum weight_use use)
{
    return b->ops->adopt_made != NULL && use != WEIGHT_VECTOR && b->home.chain == 0;
}

bool backend_adopt_made(struct backend *b, struct tensor like, enum weight_use use,
                        const struct random_values *values, struct tensor *out, struct error *err)
{
    assert(backend_makes(b, use) && !dtype_is_quantised(like.dtype));
    return b->ops->adopt_made(b, like, use, values, out, err);
}

void backend_upload(struct backend *b, struct tensor to, const void *host)
{
    assert(tensor_is_dense(to) && !to.is_packed);
    b->ops->upload(b, to, host);
}

bool backend_download(struct backend *b, void *host, struct tensor from, struct error *err)
{
    assert(tensor_is_dense(from) && !from.is_packed);
    b->ops->download(b, host, from);
    return backend_sync(b, err);
}

bool backend_sync(struct backend *b, struct error *err)
{
    b->ops->sync(b);
    if (b->fault.code == ERR_NONE) {
        return true;
    }
    struct error fault = b->fault;
    b->fault = (struct error){0};
    return fail(err, fault.code, "%s", fault.text);
}

void backend_parallel(struct backend *b, int64_t n, backend_task_fn task, void *ctx)
{
    if (b->ops->parallel != NULL) {
        b->ops->parallel(b, n, task, ctx);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        task(ctx, i);
    }
}

void backend_range_begin(struct backend *b, const char *name, int index)
{
    if (b->ops->range_begin != NULL) {
        b->ops->range_begin(b, name, index);
    }
}

void backend_range_end(struct backend *b)
{
    if (b->ops->range_end != NULL) {
        b->ops->range_end(b);
    }
}

void backend_record(struct backend *b, bool is_on)
{
    if (b->ops->record != NULL) {
        b->ops->record(b, is_on);
    }
}

bool backend_is_plan(const struct backend *b) { return strcmp(b->name, "plan") == 0; }

/* --- scratch ----------------------------------------------------------------------------------*/

bool scratch_reserve(struct backend *b, size_t bytes, struct error *err)
{
    struct scratch *s = &b->scratch;
    assert(s->used == 0);
    if (bytes <= s->capacity) {
        return true;
    }
    if (s->base != NULL) {
        b->ops->free(b, s->base);
    }
    *s = (struct scratch){.base = b->ops->alloc(b, bytes, err)};
    if (s->base == NULL) {
        return error_prefix(err, "step memory of %.1f MiB", (double)bytes / 0x1p20);
    }
    s->capacity = bytes;
    return true;
}

size_t scratch_mark(const struct backend *b) { return b->scratch.used; }

void scratch_release(struct backend *b, size_t mark)
{
    assert(mark <= b->scratch.used);
    b->scratch.used = mark;
}

struct tensor scratch_take(struct backend *b, enum dtype dtype, struct shape shape)
{
    struct scratch *s = &b->scratch;
    struct tensor t = tensor_make(NULL, dtype, shape);
    size_t bytes = (tensor_bytes(t) + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
    if (bytes > s->capacity - s->used) {
        fprintf(stderr, "scratch: %zu bytes wanted, %zu of %zu left: the plan was wrong\n", bytes,
                s->capacity - s->used, s->capacity);
        abort();
    }
    t.data = (void *)((uintptr_t)s->base + s->used);
    s->used += bytes;
    s->peak = s->used > s->peak ? s->used : s->peak;
    return t;
}
