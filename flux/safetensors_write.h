/* Writing a safetensors file whose tensors come one by one, in any order, so that a file may be
 * larger than memory. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "tensor/tensor.h"

/* One tensor of the file. */
struct safetensors_spec {
    const char *name; /* the caller's, until the file is open */
    const char *type; /* of the format: "F32", "I8", ... */
    size_t type_bytes;
    int rank; /* 0: a scalar */
    int64_t dims[TENSOR_MAX_RANK];
    uint64_t bytes;
    uint64_t at; /* set on opening: where the data goes in the file */
};

struct safetensors_writer;

/* Create path and write its header. Data are laid out widest type first, so that every tensor is
 * aligned to its type; the order of specs stays. metadata is an object of strings or NULL, the
 * caller's. Fails naming the path. */
bool safetensors_create(struct safetensors_writer **out, const char *path,
                        struct safetensors_spec *specs, size_t n, const struct json *metadata,
                        struct error *err);
/* Write spec->bytes of data. */
bool safetensors_write(struct safetensors_writer *w, const struct safetensors_spec *spec,
                       const void *data, struct error *err);
/* Wait until all is on the disk, and close; false when anything was lost. NULL is fine. */
bool safetensors_finish(struct safetensors_writer *w, struct error *err);
