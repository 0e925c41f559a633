/* Windows: pure arithmetic on shapes and strides. */
#include "tensor/tensor.h"

#include <assert.h>

#include "tensor/quant.h"

static const struct {
    const char *name;
    size_t bytes;
} DTYPES[] = {
    [DTYPE_F32] = {"f32", 4}, [DTYPE_BF16] = {"bf16", 2}, [DTYPE_F16] = {"f16", 2},
    [DTYPE_I32] = {"i32", 4}, [DTYPE_U8] = {"u8", 1},     [DTYPE_INT8] = {"int8", 1},
    [DTYPE_FP8] = {"fp8", 1}, [DTYPE_Q4] = {"q4", 1},
};

size_t dtype_bytes(enum dtype dtype) { return DTYPES[dtype].bytes; }

const char *dtype_name(enum dtype dtype) { return DTYPES[dtype].name; }

bool dtype_is_quantised(enum dtype dtype)
{
    return dtype == DTYPE_INT8 || dtype == DTYPE_FP8 || dtype == DTYPE_Q4;
}

static void set_dense_strides(struct tensor *t)
{
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        t->strides[i] = stride;
        stride *= t->dims[i];
    }
}

struct tensor tensor_make(void *data, enum dtype dtype, struct shape shape)
{
    assert(shape.rank >= 1 && shape.rank <= TENSOR_MAX_RANK);
    struct tensor t = {.data = data, .dtype = dtype, .rank = shape.rank};
    for (int i = 0; i < shape.rank; i++) {
        assert(shape.dims[i] >= 0);
        t.dims[i] = shape.dims[i];
    }
    set_dense_strides(&t);
    return t;
}

/* Move the window's origin by so many elements. The plan's made-up addresses pass through here
 * too, hence the integer arithmetic. */
static void *advance(struct tensor t, int64_t elements)
{
    return (void *)((uintptr_t)t.data + (uintptr_t)(elements * (int64_t)dtype_bytes(t.dtype)));
}

struct tensor tensor_slice(struct tensor t, int axis, int64_t start, int64_t count)
{
    assert(axis >= 0 && axis < t.rank && start >= 0 && count >= 0);
    assert(start + count <= t.dims[axis] && !t.is_packed);
    t.data = advance(t, start * t.strides[axis]);
    t.dims[axis] = count;
    return t;
}

struct tensor tensor_every(struct tensor t, int axis, int64_t start, int64_t step)
{
    assert(axis >= 0 && axis < t.rank && step > 0 && start >= 0 && start < step && !t.is_packed);
    t.data = advance(t, start * t.strides[axis]);
    t.dims[axis] = (t.dims[axis] - start + step - 1) / step;
    t.strides[axis] *= step;
    return t;
}

static struct tensor drop_axis(struct tensor t, int axis)
{
    for (int i = axis; i + 1 < t.rank; i++) {
        t.dims[i] = t.dims[i + 1];
        t.strides[i] = t.strides[i + 1];
    }
    t.rank--;
    t.dims[t.rank] = t.strides[t.rank] = 0;
    return t;
}

struct tensor tensor_at(struct tensor t, int axis, int64_t index)
{
    assert(t.rank > 1);
    return drop_axis(tensor_slice(t, axis, index, 1), axis);
}

struct tensor tensor_unsqueeze(struct tensor t, int axis)
{
    assert(t.rank < TENSOR_MAX_RANK && axis >= 0 && axis <= t.rank);
    for (int i = t.rank; i > axis; i--) {
        t.dims[i] = t.dims[i - 1];
        t.strides[i] = t.strides[i - 1];
    }
    t.rank++;
    t.dims[axis] = 1;
    t.strides[axis] = axis + 1 < t.rank ? t.dims[axis + 1] * t.strides[axis + 1] : 1;
    return t;
}

struct tensor tensor_split(struct tensor t, int axis, int64_t outer)
{
    assert(axis >= 0 && axis < t.rank && outer > 0 && t.dims[axis] % outer == 0);
    int64_t inner = t.dims[axis] / outer;
    t = tensor_unsqueeze(t, axis);
    t.dims[axis] = outer;
    t.dims[axis + 1] = inner;
    t.strides[axis] = inner * t.strides[axis + 1];
    return t;
}

struct tensor tensor_join(struct tensor t, int axis)
{
    assert(axis >= 0 && axis + 1 < t.rank);
    assert(t.dims[axis] == 1 || t.strides[axis] == t.dims[axis + 1] * t.strides[axis + 1]);
    t.dims[axis + 1] *= t.dims[axis];
    return drop_axis(t, axis);
}

struct tensor tensor_reshape(struct tensor t, struct shape shape)
{
    assert(tensor_is_dense(t) && !t.is_packed);
    struct tensor r = tensor_make(t.data, t.dtype, shape);
    assert(tensor_elements(r) == tensor_elements(t));
    return r;
}

struct tensor tensor_swap(struct tensor t, int axis_a, int axis_b)
{
    struct tensor r = t;
    r.dims[axis_a] = t.dims[axis_b];
    r.strides[axis_a] = t.strides[axis_b];
    r.dims[axis_b] = t.dims[axis_a];
    r.strides[axis_b] = t.strides[axis_a];
    return r;
}

struct tensor tensor_repeat(struct tensor t, int axis, int64_t count)
{
    assert(axis >= 0 && axis < t.rank && t.dims[axis] == 1);
    t.dims[axis] = count;
    t.strides[axis] = 0;
    return t;
}

bool tensor_is_dense(struct tensor t)
{
    int64_t stride = 1;
    for (int i = t.rank - 1; i >= 0; i--) {
        if (t.dims[i] != 1 && t.strides[i] != stride) {
            return false;
        }
        stride *= t.dims[i];
    }
    return true;
}

bool tensor_same_shape(struct tensor a, struct tensor b)
{
    if (a.rank != b.rank) {
        return false;
    }
    for (int i = 0; i < a.rank; i++) {
        if (a.dims[i] != b.dims[i]) {
            return false;
        }
    }
    return true;
}

int64_t tensor_elements(struct tensor t)
{
    int64_t n = 1;
    for (int i = 0; i < t.rank; i++) {
        n *= t.dims[i];
    }
    return n;
}

size_t tensor_bytes(struct tensor t)
{
    if (!dtype_is_quantised(t.dtype)) {
        return (size_t)tensor_elements(t) * dtype_bytes(t.dtype);
    }
    int64_t n_scales = t.dims[0] * quant_n_scales(t.dtype, t.dims[1]);
    return quant_codes_size(t) + (size_t)n_scales * dtype_bytes(quant_scale_dtype(t.dtype));
}
