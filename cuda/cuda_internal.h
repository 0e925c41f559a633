/* What the files of cuda/ share: the back end's state, faults, working memory, weights, and the
 * launchers of each family of kernels. Read by C and by CUDA C++. */
#pragma once

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "cuda/cuda.h"
#include "tensor/ops.h"

struct cuda_weight;
struct cuda_layer;
struct cuda_streams;
struct cuda_staging;
struct cuda_lt;
struct cuda_sdpa;
struct cuda_replay;

/* Vectors that were adopted: an open-addressing table by address. */
struct cuda_vectors {
    struct cuda_vector {
        const float *values; /* device */
        int64_t n;
    } * slots;
    size_t n_slots, n_used; /* n_slots: a power of two */
};

struct cuda {
    struct backend backend; /* first */
    struct backend_ops ops; /* backend.ops points here */
    int device, capability; /* capability: 80, 89, 90 ... */
    int processors;         /* streaming multiprocessors */
    int shared_limit;       /* bytes of shared memory that one block may have */
    bool is_lost;           /* its context reports the same error for ever */
    cudaStream_t stream;    /* owned: everything runs here, in order */
    char *work;             /* owned: working memory of the running operation */
    size_t work_bytes;
    struct cuda_staging *staging; /* owned: pinned buffers of weight.c */
    struct cuda_weight *weights;  /* owned: a list of all that adopt made */
    struct cuda_streams *streams; /* owned: weights in host memory (stream.c); NULL: none */
    struct cuda_lt *lt;           /* owned: cuBLASLt (lt.c); NULL: not used */
    struct cuda_sdpa *sdpa;       /* owned: cuDNN (sdpa.c); NULL: not used */
    struct cuda_replay *replay;   /* owned: operations noted so far (replay.c); NULL: not used */
    cudaEvent_t *stamps;          /* owned: PROFILE_STAMPS of range.c; NULL: none so far */
    struct cuda_vectors vectors;  /* owned: all that adopt made, by address */
};

/* The back end, its device made current for the calling thread. */
struct cuda *cuda_use(struct backend *b);

/* Keep the fault, if it is one; false when it is. `what` names the call or the operation. */
bool cuda_check(struct cuda *c, cudaError_t status, const char *what);

/* After a launch: keep its fault, if any. */
void cuda_launched(struct cuda *c, const char *operation);

/* Wait for the stream, keep its fault, and see whether the device is lost. */
void cuda_wait(struct cuda *c);

/* At least bytes of device memory, contents undefined; it lasts until the next call. It grows to
 * the largest need and stays, so a run that was done once allocates nothing. NULL: the fault is
 * kept and the operation must return. */
void *cuda_work(struct cuda *c, size_t bytes);

/* --- weights (weight.c) -----------------------------------------------------------------------*/

/* A weight as adopt keeps it; tensor.data of a packed tensor points here. Rows of K values are
 * padded with zeros to a multiple of CUDA_ROW elements, so that they are read in pieces of 16
 * bytes; codes of a quantised matrix to one of CUDA_CODE_ROW. A convolution [O, I, kh, kw] is the
 * matrix [O, K] with K ordered (kh, kw, I). */
struct cuda_weight {
    struct cuda_weight *next;
    void *data;                 /* device; owned unless it is streamed */
    enum dtype dtype;           /* F32, BF16, F16, or quantised */
    int64_t n, k, row;          /* outputs, inputs, elements from row to row */
    int64_t kernel_y, kernel_x; /* of a convolution, else 1 */
    size_t scales_at;           /* quantised: where the scales begin, in bytes behind data */
    bool rounds_inputs;         /* quantised: as backend.h has it */
    /* Streamed only; layer is NULL otherwise. */
    struct cuda_layer *layer;
    struct cuda_weight *sibling; /* the next one of its layer */
    char *host;                  /* owned, bytes long; a table's tensor.data points here */
    bool is_pinned, is_table;
    size_t bytes, offset; /* offset in the layer's buffer */
};

enum { CUDA_ROW = 8, CUDA_CODE_ROW = 16 };

bool cuda_adopt(struct backend *b, struct tensor host, enum weight_use use, struct tensor *out,
                struct error *err);
bool cuda_adopt_made(struct backend *b, struct tensor like, enum weight_use use,
                     const struct random_values *values, struct tensor *out, struct error *err);
void cuda_weights_free(struct cuda *c);

/* Queue the making of a weight of that type (random.cu). */
void cuda_random_fill(struct cuda *c, const struct cuda_weight *w, enum dtype dtype,
                      const struct random_values *values);

/* The bf16 twin of an adopted vector of n; NULL when values is none, or only a part of one. */
const void *cuda_vector_bf16(const struct cuda *c, const float *values, int64_t n);

/* Queue a copy of host memory to the device through the pinned buffers. */
bool cuda_stage(struct cuda *c, void *to, const void *host, size_t bytes, struct error *err);

/* --- streamed weights (stream.c) --------------------------------------------------------------*/

/* Put the weight into the layer that backend.home names and get w->host for its bytes. */
bool cuda_stream_add(struct cuda *c, struct cuda_weight *w, size_t bytes, struct error *err);
void cuda_stream_drop(struct cuda_weight *w); /* frees w->host */

/* Around an operation that reads the weight: begin has w->data point to it on the device, for what
 * is queued until end; false when the operation must return, its fault kept. Both do nothing for
 * weights that are not streamed, and for NULL. */
bool cuda_stream_begin(struct cuda *c, struct cuda_weight *w);
void cuda_stream_end(struct cuda *c, struct cuda_weight *w);

/* The streamed table that t is a window on, or NULL; and t on the device, between begin and end. */
struct cuda_weight *cuda_stream_table(const struct cuda *c, struct tensor t);
struct tensor cuda_stream_window(const struct cuda_weight *w, struct tensor t);

/* Is t, or has it a window on, a streamed weight? Such an operation can't be in a graph: its
 * addresses differ from run to run. */
bool cuda_stream_has(const struct cuda *c, const struct tensor *t);

void cuda_stream_close(struct cuda *c);

/* --- matrix products (gemm.cu) ----------------------------------------------------------------*/

/* out[m][n] = act(sum_k x[m][k] w[n][k] + bias[n]). Rows are counted (i0, i1, i2) with three
 * strides each for x and out. In a convolution a row is an output pixel, and element k is what it
 * sees through tap (ty, tx) and channel: the pixel (y0 + ty, x0 + tx) of the picture, which x holds
 * at (y >> shift, x >> shift), or zero where that lies outside. */
struct cuda_product {
    const void *x;
    const void *w;        /* [n][w_row] */
    const void *w_scales; /* of a quantised w: tensor/quant.h */
    const float *bias;
    void *out;
    int64_t x_strides[3], out_strides[3]; /* in elements */
    int64_t w_row;
    int dims1, dims2; /* of the row's count */
    int rows, n, k;
    enum activation act;
    enum dtype dtype, w_dtype; /* of x and out; of w */
    /* Of a quantised matrix: x is to be rounded to its type; once that is done, by rows of w_row
     * codes, x_scales has a scale for each row. */
    bool rounds_inputs;
    const float *x_scales;
    bool is_x_aligned, is_out_aligned; /* every run of 8 may be moved in pieces of 16 bytes */
    /* Convolution only. */
    bool is_conv;
    int channels, kernel_x, stride, pad_top, pad_left;
    int height, width, shift; /* of the picture, upsampled by 1 << shift */
    int x_pitch;              /* elements from row to row of x */
};

/* By the faster of our kernel and cuBLASLt; by our kernel. */
void cuda_product_run(struct cuda *c, const struct cuda_product *p);
void cuda_product_own(struct cuda *c, const struct cuda_product *p);

/* Replace a quantised weight by one of the activations' type in working memory (unpack.cu); false
 * when there is none left, the fault kept. */
bool cuda_unpack(struct cuda *c, struct cuda_product *p);

/* Products of two operands of 8 bits (gemm_8bit.cu): round x into working memory, false when there
 * is none left, the fault kept; and our kernel for such a product. */
bool cuda_round_inputs(struct cuda *c, struct cuda_product *p);
void cuda_product_8bit(struct cuda *c, const struct cuda_product *p);
bool cuda_gemm_8bit_open(struct cuda *c);

/* Look for cuBLASLt; that it is missing is no fault. True when it has done the product. */
void cuda_lt_open(struct cuda *c);
void cuda_lt_close(struct cuda *c);
bool cuda_lt_product(struct cuda *c, const struct cuda_product *p);

/* Raise the kernels' limits of shared memory; once, when the back end opens. */
bool cuda_gemm_open(struct cuda *c);
bool cuda_attention_open(struct cuda *c);

/* --- attention (sdpa.c, attention.cu) ----------------------------------------------------------*/

/* Look for cuDNN; that it is missing is no fault. cuda_attention() chooses between it and: */
void cuda_sdpa_open(struct cuda *c);
void cuda_sdpa_close(struct cuda *c);
void cuda_attention_own(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                        struct tensor v, struct tensor bias, float scale, bool is_causal);

/* --- repeated work (replay.c) -----------------------------------------------------------------*/

/* Put the noting entries into the table. FLUXBENCH_CUDA_GRAPHS=0 leaves it as it is. */
bool cuda_replay_open(struct cuda *c);
void cuda_replay_close(struct cuda *c);

/* Run what was noted: before anything else is queued, and before memory changes. */
void cuda_replay_flush(struct cuda *c);

/* Drop all graphs: an address that they use is no longer valid. */
void cuda_replay_forget(struct cuda *c);

/* --- for people who measure (range.c) ----------------------------------------------------------*/

/* Put the entries into the table; those for ranges only where a tool listens. Before
 * cuda_replay_open, which notes what is there. */
void cuda_range_open(struct cuda *c);
void cuda_range_close(struct cuda *c);

/* Tell the tool that what the host queues from here on has a name, until pop. */
void cuda_range_push(const char *name, int index);
void cuda_range_pop(void);

/* --- the operations --------------------------------------------------------------------------*/

void cuda_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                 struct tensor bias, enum activation act);
void cuda_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                 struct tensor bias, int stride, int pad_top, int pad_left, int upsample);
void cuda_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                    struct tensor v, struct tensor bias, float scale, bool is_causal);
void cuda_layer_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                     struct tensor bias, struct tensor scale, struct tensor shift, float eps);
void cuda_rms_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                   float eps);
void cuda_rms_norm_rope(struct backend *b, struct tensor x, struct tensor weight, float eps,
                        struct tensor cos, struct tensor sin);
void cuda_group_norm(struct backend *b, struct tensor out, struct tensor x, struct tensor weight,
                     struct tensor bias, int groups, float eps, enum activation act);
void cuda_activate(struct backend *b, struct tensor out, struct tensor x, enum activation act);
void cuda_add(struct backend *b, struct tensor out, struct tensor x, struct tensor y);
void cuda_mul(struct backend *b, struct tensor out, struct tensor x, struct tensor y);
void cuda_gated_add(struct backend *b, struct tensor out, struct tensor gate, struct tensor x);
void cuda_axpy(struct backend *b, struct tensor out, float alpha, struct tensor x);
void cuda_affine(struct backend *b, struct tensor out, struct tensor x, float scale, float shift);
void cuda_embed(struct backend *b, struct tensor out, struct tensor table, struct tensor ids);
void cuda_copy(struct backend *b, struct tensor out, struct tensor x);
void cuda_exchange(struct backend *b, struct tensor to, struct tensor from, const int64_t *counts);
void cuda_to_rgb8(struct backend *b, struct tensor out, struct tensor x);

#ifdef __cplusplus
}
#endif
