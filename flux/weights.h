/* From checkpoint names to weights on a back end.
 *
 * Model modules ask for every parameter with its expected shape and get no answer: what is missing
 * or misshapen is collected and reported together by weights_finish(). The calls of a module's
 * bind function are thus the list of its parameters. */
#pragma once

#include "base/buf.h"
#include "flux/checkpoint.h"
#include "tensor/backend.h"
#include "tensor/quant.h"

enum weights_source {
    WEIGHTS_FILE,   /* a checkpoint part */
    WEIGHTS_SHAPES, /* nothing is read: for the plan */
    WEIGHTS_RANDOM, /* seeded values of realistic size: dummy models, benchmarks */
};

struct weights {
    struct backend *backend;
    enum weights_source source;
    struct checkpoint file; /* owned; WEIGHTS_FILE only */
    enum dtype dtype;       /* of made-up and decoded tensors; plain ones know theirs */
    enum quant quant;       /* set after opening: of the matrices that quantise_scheme() names */
    bool rounds_inputs;     /* set after opening: as struct backend has it, of those matrices */
    uint64_t seed;          /* of random tensors */
    /* Set chain and is_pinned after opening to have the layers streamed. A layer is what has the
     * same name up to its first number ("encoder.block.3"); a table is a layer of its own; what
     * else has no number lives on the device. */
    struct weight_home home;
    char layer_name[64]; /* the last one's */
    void **made;         /* owned: tensors not in the file that the back end reads in place */
    size_t n_made;
    struct buf problems; /* one per line */
    int n_problems;
    int64_t n_parameters;
    size_t bytes, quantised_bytes; /* the second is part of the first */
};

/* A part's weights: DIR/BASE.safetensors or its shards. */
bool weights_open(struct weights *w, struct backend *b, const char *dir, const char *base,
                  struct error *err);
/* The same from a single file; blocks of GGUF are decoded to the type that b computes in. */
bool weights_open_file(struct weights *w, struct backend *b, const char *path, enum part part,
                       struct error *err);
/* Shapes only, or random values, stored as dtype. A parameter's values depend on seed, its name,
 * shape and dtype alone. */
void weights_open_shapes(struct weights *w, struct backend *b, enum dtype dtype);
void weights_open_random(struct weights *w, struct backend *b, enum dtype dtype, uint64_t seed);

/* True when the source has a parameter of that name (made-up sources have all). */
bool weights_has(const struct weights *w, const char *name);

/* Bind *out to the parameter of that name. What a file has quantised stays so; what w->quant asks
 * for is quantised or made up so, one matrix at a time. */
void weights_want(struct weights *w, struct tensor *out, enum weight_use use, struct shape shape,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A parameter as host floats (malloc, the caller frees), for tables that are worked out on the
 * host. Zeros when the source has no values. */
float *weights_host(struct weights *w, struct shape shape, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* False with a summary of all problems (the first few by name, the rest counted). */
bool weights_finish(struct weights *w, struct error *err);

/* Only after the back end is closed: adopted weights may be windows on the file. */
void weights_close(struct weights *w);
