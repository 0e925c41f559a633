/* A back end: where tensors live and who computes. The CPU, a CUDA device, or the plan, which only
 * counts. Model code sees this struct and tensor/ops.h, never an implementation.
 *
 * Operations are queued in program order on one stream and report nothing; the first fault is kept
 * and backend_sync() returns it. One thread at a time uses a back end. */
#pragma once

#include "base/error.h"
#include "tensor/random_values.h"
#include "tensor/tensor.h"

struct backend_ops; /* tensor/ops.h */
struct profile;     /* tensor/profile.h */
struct team;        /* tensor/team.h */

/* Step memory: a bump arena. Take tensors, release back to a mark. Addresses repeat for the same
 * sequence of takes, so that a captured step can be replayed. */
struct scratch {
    char *base;
    size_t capacity, used, peak;
};

/* Where weights live. Those with a chain are streamed: they stay in host memory and pass through
 * two buffers of the device layer by layer, each on its way while the one before it is computed
 * with. A chain's layers are expected to be used in order, again and again; any other order is
 * slower, not wrong. Model code does not see the difference. */
struct weight_home {
    int chain;      /* 0: on the device */
    int layer;      /* those adopted one after the other with the same number are one layer */
    bool is_pinned; /* the host memory is page-locked, so that copies need no processor */
};

/* Which one this is of the back ends that make one picture together, each from its share of the
 * tokens (tensor/team.h). n is 0 or 1 for one that works alone. */
struct share {
    int rank, n;
};

enum { SHARE_MAX = 8 }; /* back ends of one picture: the devices of a usual machine */

/* An implementation embeds this as its first member. */
struct backend {
    const struct backend_ops *ops;
    const char *name;     /* "cpu", "cuda", "plan" */
    char device[128];     /* for logs: processor or GPU name with its main figures */
    enum dtype compute;   /* type of activations: F32 or BF16 */
    int generator_blocks; /* of 256 threads that the device runs at once; 0: no such device */
    bool takes_quantised; /* adopt takes quantised matrices (tensor/quant.h) */
    bool multiplies_int8, multiplies_fp8; /* rounds_inputs is possible with such matrices */
    /* Of the quantised matrices that are adopted next: products of many rows round their other
     * operand as well (quant.h). */
    bool rounds_inputs;
    /* Of the matrices and tables that are adopted next; vectors and convolutions are small and live
     * on the device. No effect where the device's memory is the host's (cpu). */
    struct weight_home home;
    struct scratch scratch;
    struct error fault;      /* the first one since the last sync */
    struct profile *profile; /* what counts its operations now; NULL: nobody */
    struct share share;
    struct team *team; /* NULL: alone, or a plan; owned by the back end of rank 0 */
};

/* What a weight is used for decides the form that the back end keeps it in. */
enum weight_use {
    WEIGHT_VECTOR, /* bias, norm scale: comes back as f32, rounded to the compute type first */
    WEIGHT_MATRIX, /* [N, K] of linear: comes back packed */
    WEIGHT_CONV,   /* [O, I, kh, kw] of conv2d, as checkpoints store it: comes back packed */
    WEIGHT_TABLE,  /* [rows, D] of embed, or anything else that is only read row by row */
};

/* Frees all weights and scratch too; NULL is fine. Rank 0 of a team closes all of it; the others
 * must not be closed by themselves. */
void backend_close(struct backend *b);

/* Long-lived device memory of bytes, aligned to 64; NULL with ERR_MEMORY. */
void *backend_alloc(struct backend *b, size_t bytes, struct error *err);
void backend_free(struct backend *b, void *memory);

/* Take over a dense host tensor (f32, bf16 or f16) as a weight. Packed forms keep 16-bit weights
 * in 16 bits when compute is f32 (they are widened on the way into the product); with compute bf16
 * f32 and f16 weights are rounded to bf16. A quantised matrix (only where takes_quantised) stays as
 * small as it is: products unpack it piece by piece, and may round code x scale to bf16 when they
 * multiply bf16. host.data must stay valid until the back end is
 * closed. The result keeps host's dims. */
bool backend_adopt(struct backend *b, struct tensor host, enum weight_use use, struct tensor *out,
                   struct error *err);

/* Copy between dense host memory and a dense tensor of the same bytes. upload is queued but host
 * may be reused at once; download waits for the queue. */
void backend_upload(struct backend *b, struct tensor to, const void *host);
bool backend_download(struct backend *b, void *host, struct tensor from, struct error *err);

/* Wait for the queue; false with the first fault since the last sync. */
bool backend_sync(struct backend *b, struct error *err);

/* The same for values that are made up where the weight is kept (tensor/random_values.h); like has
 * dims and dtype and no data. Only where backend_makes(): not everywhere, nor for every use. */
bool backend_makes(const struct backend *b, enum weight_use use);
bool backend_adopt_made(struct backend *b, struct tensor like, enum weight_use use,
                        const struct random_values *values, struct tensor *out, struct error *err);

/* Host work on the back end's threads: task(ctx, i) for i from 0 to n - 1, in any order, several at
 * a time, all done on return. One thread where the back end has no others. */
typedef void (*backend_task_fn)(void *ctx, int64_t i);
void backend_parallel(struct backend *b, int64_t n, backend_task_fn task, void *ctx);

/* Name what is done between begin and end, for profiles (tensor/profile.h) and for tools that watch
 * the device: "double", 3 is the fourth of its kind, an index below 0 means the only one. Ranges
 * nest. name is a literal. Costs next to nothing when nobody watches. */
void backend_range_begin(struct backend *b, const char *name, int index);
void backend_range_end(struct backend *b);

/* Tools that record on demand record from here on, or no longer; what was queued is waited for. */
void backend_record(struct backend *b, bool is_on);

/* True when nothing is computed: model code must skip what needs real data. */
bool backend_is_plan(const struct backend *b);

/* --- scratch ----------------------------------------------------------------------------------*/

/* Make the arena at least bytes large. Only while nothing is taken. */
bool scratch_reserve(struct backend *b, size_t bytes, struct error *err);

size_t scratch_mark(const struct backend *b);
void scratch_release(struct backend *b, size_t mark);

/* A dense tensor, 64-byte aligned, uninitialised. Taking more than was reserved is a defect and
 * aborts: the plan has computed the need beforehand. */
struct tensor scratch_take(struct backend *b, enum dtype dtype, struct shape shape);
