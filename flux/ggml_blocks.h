/* The number formats of GGUF files. Quantised ones cut a row into blocks of 32 or 256 values, each
 * with its own scale; a row is a whole number of blocks, so that any window of rows can be decoded
 * alone.
 * Source: the format's description (ggml, docs/gguf.md) and its block structures; all fields are
 * little-endian, d and m below are f16. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tensor/tensor.h"

struct ggml_format {
    uint32_t id; /* as files say it */
    const char *name;
    int block_values; /* 1: plain numbers */
    int block_bytes;
    int dtype; /* enum dtype of plain numbers, -1 of blocks */
    void (*decode)(float *out, const uint8_t *block);
};

/* NULL when files may not have it, or nobody here can read it. */
const struct ggml_format *ggml_format_find(uint32_t id);

/* "F32, F16, ...": all names, for messages. */
const char *ggml_format_names(void);

/* n values (whole blocks) from bytes of a block format as floats. */
void ggml_decode(const struct ggml_format *f, float *out, const void *bytes, int64_t n);
