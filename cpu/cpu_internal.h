/* What the files of cpu/ share: the back end's state, its working memory, packed weights and the
 * matrix-product engine of gemm.c. */
#pragma once

#include "cpu/cpu.h"
#include "cpu/kernels.h"

struct dnnl_engine;
struct dnnl_stream;
struct conv_cache; /* conv.c: the convolutions prepared so far */
struct gemm;       /* gemm.c: oneDNN engine and the products prepared so far */

struct cpu {
    struct backend backend; /* first */
    struct backend_ops ops; /* backend.ops points here */
    const struct cpu_kernels *kernels;
    int threads;
    struct gemm *gemm;        /* owned */
    struct conv_cache *convs; /* owned; NULL until the first one */
    char *work;               /* owned: working memory of the running operation, cpu_work() */
    size_t work_bytes;
    struct cpu_weight *weights; /* owned: a list of all that adopt made */
};

static inline struct cpu *cpu_of(struct backend *b) { return (struct cpu *)b; }

/* At least bytes of working memory, aligned to 64, contents undefined; it lasts until the next
 * call. It grows to the largest need and stays. NULL: the back end's fault is set, and the
 * operation must return. */
char *cpu_work(struct cpu *cpu, size_t bytes);

/* Number of the calling thread in the current parallel region, below cpu->threads. */
int cpu_thread(void);

/* Threads worth waking for that many multiply-adds: all of them or one. */
int cpu_team(const struct cpu *cpu, double multiply_adds);

/* Threads that the matrix library may use from here on (this thread, this parallel region);
 * returns the previous number. Our own loops are the parallel ones, so it gets 1. */
int cpu_library_threads(int n);

/* --- packed weights (weight.c) ----------------------------------------------------------------*/

/* A weight as adopt keeps it; tensor.data of a packed tensor points here. A matrix [N, K] is cut
 * into panels of CPU_PANEL outputs, each [K][panel width], so that a 16-bit panel can be widened
 * as one run. A convolution [O, I, kh, kw] is the matrix with K ordered (kh, kw, I). */
struct cpu_weight {
    struct cpu_weight *next;
    void *data;                 /* owned */
    void *scales;               /* owned, panel by panel; NULL unless quantised */
    enum dtype dtype;           /* F32, BF16, F16 or a quantised one */
    int64_t n, k;               /* outputs, inputs */
    bool is_paired;             /* for bf16 dot products: bf16 panels are [K / 2][CPU_PANEL][2],
                                   quantised ones are unpacked to that */
    bool rounds_inputs;         /* as backend.h has it */
    int64_t kernel_y, kernel_x; /* of a convolution, else 1 */
};

bool cpu_adopt(struct backend *b, struct tensor host, enum weight_use use, struct tensor *out,
               struct error *err);
void cpu_weights_free(struct cpu *cpu);

/* Outputs index x CPU_PANEL and following. */
struct cpu_panel cpu_weight_panel(const struct cpu_weight *w, int64_t index);

/* --- matrix products (gemm.c) -----------------------------------------------------------------*/

/* oneDNN's own types, for conv.c. */
struct dnnl_engine *gemm_engine(const struct gemm *g);
struct dnnl_stream *gemm_stream(const struct gemm *g); /* of the calling thread */

struct gemm *gemm_open(int threads, struct error *err);
void gemm_close(struct gemm *g);

/* A product prepared for one shape: c[m][n] = a[m][k] b[k][n], all dense and c f32. Operands F32:
 * b is cut into panels of CPU_PANEL columns like a weight; n <= CPU_PANEL or a multiple of it.
 * Operands BF16: n is CPU_PANEL and b a paired panel. */
struct gemm_tile;

/* Find or prepare one. Not inside a parallel region. The pointer lasts for the current operation.
 * F32 always succeeds; BF16 gives NULL when the processor has no bf16 dot products. */
const struct gemm_tile *gemm_prepare(struct cpu *cpu, enum dtype operands, int64_t m, int64_t n,
                                     int64_t k);

/* Bytes of scratch that one execution needs. */
size_t gemm_scratch_bytes(const struct gemm_tile *t);

/* Run it on the calling thread. scratch is the thread's own; false when the library failed. */
bool gemm_run(const struct gemm_tile *t, float *c, const void *a, const void *b, void *scratch);

/* A row of w->k inputs as codes of w's type, stored in the type of the product; returns their scale
 * (round_inputs.c). */
float cpu_round_row(struct cpu *cpu, void *to, enum dtype to_dtype, const struct cpu_weight *w,
                    const void *from, enum dtype from_dtype);

/* --- convolutions (conv.c, conv_gather.c) -----------------------------------------------------*/

void conv_cache_free(struct conv_cache *cache); /* NULL is fine */

void conv_gather(struct cpu *cpu, struct tensor out, struct tensor x, struct tensor w,
                 struct tensor bias, int stride, int pad_top, int pad_left, int upsample);

/* --- operations outside the kernel table ------------------------------------------------------*/

void cpu_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                struct tensor bias, enum activation act);
void cpu_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                struct tensor bias, int stride, int pad_top, int pad_left, int upsample);
void cpu_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                   struct tensor v, struct tensor bias, float scale, bool is_causal);
