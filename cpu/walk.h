/* Strided element-wise traversal: up to three windows of one shape, cut into pieces that run
 * along the last axis, so that threads can share them. Neighbouring axes that are contiguous in
 * all windows are joined first: dense tensors become one long row. */
#pragma once

#include "tensor/tensor.h"

enum { WALK_MAX = 3, WALK_PIECE = 16384 /* elements: short enough to share, long enough to pay */ };

struct walk {
    int n;    /* windows */
    int rank; /* axes before the last */
    int64_t dims[TENSOR_MAX_RANK];
    int64_t strides[WALK_MAX][TENSOR_MAX_RANK]; /* in elements */
    int64_t length;                             /* of the last axis */
    int64_t steps[WALK_MAX];                    /* stride of the last axis */
    int64_t pieces_per_row;
    int64_t pieces; /* total */
};

/* Begin a traversal of n windows of equal shape. */
struct walk walk_begin(int n, const struct tensor *windows);

/* Offsets (in elements) of piece i in each window; returns its number of elements. */
int64_t walk_piece(const struct walk *w, int64_t i, int64_t offsets[WALK_MAX]);

/* Address of an element offset in t. */
void *tensor_element(struct tensor t, int64_t offset);
