/* Reading GGUF, the container that quantised models are published in: a header of key-value pairs
 * and tensor descriptions, then the tensors' bytes. The file is mapped, never copied. Of the
 * key-value pairs only the alignment and the name of the architecture are kept.
 * Source: the format's description (ggml, docs/gguf.md), versions 2 and 3, little-endian. */
#pragma once

#include "base/error.h"
#include "flux/ggml_blocks.h"

struct gguf;

/* One tensor, as a window on the file. A row (the last axis) is a whole number of blocks. */
struct gguf_tensor {
    const struct ggml_format *format;
    const void *data;
    int rank;                      /* 1 to TENSOR_MAX_RANK */
    int64_t dims[TENSOR_MAX_RANK]; /* slowest first: the reverse of the file's order */
};

/* Open a file and check all of its header: every tensor lies inside the file, on the alignment, and
 * overlaps no other. Fails naming the file, the key or tensor, and what would be right. */
bool gguf_open(struct gguf **out, const char *path, struct error *err);
void gguf_close(struct gguf *g); /* unmaps: windows on it die; NULL is fine */

/* general.architecture, "" when the file says none. */
const char *gguf_architecture(const struct gguf *g);

size_t gguf_count(const struct gguf *g);
const char *gguf_name(const struct gguf *g, size_t index); /* sorted by name */

/* ERR_NOT_FOUND when there is none. */
bool gguf_find(const struct gguf *g, const char *name, struct gguf_tensor *out, struct error *err);
