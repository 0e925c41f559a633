/* Reading safetensors: a file is a header of names, types and byte ranges, then the bytes. Files
 * are mapped, never copied. A set is one part of a checkpoint: one file, or the shards that an
 * index lists.
 * Source: the safetensors format description (8-byte little-endian header length, JSON header). */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "tensor/tensor.h"

struct safetensors;

/* Open DIR/BASE.safetensors, or the shards named by DIR/BASE.safetensors.index.json. Fails naming
 * the file and what is wrong in its header. */
bool safetensors_open(struct safetensors **out, const char *dir, const char *base,
                      struct error *err);
/* Open a single file. */
bool safetensors_open_file(struct safetensors **out, const char *path, struct error *err);
void safetensors_close(struct safetensors *s); /* unmaps: windows on it die; NULL is fine */

size_t safetensors_count(const struct safetensors *s);
const char *safetensors_name(const struct safetensors *s, size_t index); /* sorted by name */

/* A read-only window on a tensor of any supported type (F32, BF16, F16, I32, U8) and rank 0 to 4
 * (rank 0 reads as [1]). ERR_NOT_FOUND when there is none,
 * ERR_INVALID for other types. */
bool safetensors_find(const struct safetensors *s, const char *name, struct tensor *out,
                      struct error *err);

/* A tensor as it lies in the file, of any type that the format has. */
struct safetensors_raw {
    const char *name, *type; /* of the set; "F32", ... */
    size_t type_bytes;
    int rank; /* 0: a scalar */
    int64_t dims[TENSOR_MAX_RANK];
    const void *data;
    size_t bytes;
};

/* The index-th by name; fails when it has more axes than a tensor can have. */
bool safetensors_raw(const struct safetensors *s, size_t index, struct safetensors_raw *out,
                     struct error *err);
/* That of a name; false when there is none, or it has more axes. */
bool safetensors_find_raw(const struct safetensors *s, const char *name,
                          struct safetensors_raw *out);
