/* A typed, strided window on memory that somebody else owns.
 *
 * Slicing an axis or splitting it in two makes another window, so that concatenation, splitting
 * and transposing need no operations. Dimension letters, used everywhere:
 *
 *   B batch   L sequence   D model width   H heads   Dh head width
 *   C channels   Y X image rows and columns (feature maps are channels last: [B, Y, X, C])
 *   N K output and input features of a linear layer */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The last three are quantised and belong to matrices alone (tensor/quant.h). */
enum dtype {
    DTYPE_F32,
    DTYPE_BF16,
    DTYPE_F16,
    DTYPE_I32,
    DTYPE_U8,
    DTYPE_INT8, /* whole numbers, one scale per row */
    DTYPE_FP8,  /* e4m3: sign, 4 bits of exponent, 3 of fraction; one scale per row */
    DTYPE_Q4,   /* two 4-bit numbers a byte, one scale per 64 of a row */
};

enum { TENSOR_MAX_RANK = 4 };

struct shape {
    int rank;
    int64_t dims[TENSOR_MAX_RANK];
};

/* SHAPE(B, L, D): a struct shape of that rank. */
#define SHAPE(...) \
    ((struct shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})

struct tensor {
    void *data; /* host or device address; NULL: no tensor (an absent bias, for example) */
    enum dtype dtype;
    int rank;
    bool is_packed; /* a weight in its back end's own form: only linear and conv2d may read it */
    int64_t dims[TENSOR_MAX_RANK];
    int64_t strides[TENSOR_MAX_RANK]; /* in elements; 0 repeats */
    void *scales; /* of a quantised matrix that is not packed: beside the codes at data */
};

/* The absent tensor. */
static inline struct tensor tensor_none(void) { return (struct tensor){0}; }
static inline bool tensor_is_none(struct tensor t) { return t.data == NULL; }

/* A dense row-major window on data. */
struct tensor tensor_make(void *data, enum dtype dtype, struct shape shape);

/* Elements start .. start + count of one axis. */
struct tensor tensor_slice(struct tensor t, int axis, int64_t start, int64_t count);

/* Every step-th element of an axis, beginning at start. */
struct tensor tensor_every(struct tensor t, int axis, int64_t start, int64_t step);

/* One element of an axis; the axis goes away. */
struct tensor tensor_at(struct tensor t, int axis, int64_t index);

/* Split axis into two of outer and dims[axis] / outer: [B, L, D] -> [B, L, H, Dh]. */
struct tensor tensor_split(struct tensor t, int axis, int64_t outer);

/* Join axis and the next one, which must be adjacent in memory: [B, L, H, Dh] -> [B, L, D]. */
struct tensor tensor_join(struct tensor t, int axis);

/* Another shape for a dense tensor with as many elements. */
struct tensor tensor_reshape(struct tensor t, struct shape shape);

/* Exchange two axes of the window. */
struct tensor tensor_swap(struct tensor t, int axis_a, int axis_b);

/* Insert an axis of size 1, or repeat one of size 1 (by stride 0). */
struct tensor tensor_unsqueeze(struct tensor t, int axis);
struct tensor tensor_repeat(struct tensor t, int axis, int64_t count);

bool tensor_is_dense(struct tensor t); /* row-major without gaps */
bool tensor_same_shape(struct tensor a, struct tensor b);
int64_t tensor_elements(struct tensor t);
size_t tensor_bytes(struct tensor t); /* of the elements and scales, gaps not counted */

size_t dtype_bytes(enum dtype dtype);     /* of an element; of a byte of codes when quantised */
const char *dtype_name(enum dtype dtype); /* "f32", "bf16", ... "int8", "fp8", "q4" */
bool dtype_is_quantised(enum dtype dtype);
