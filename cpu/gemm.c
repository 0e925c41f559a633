/* Matrix products: op_linear, and the tiles that convolution and attention are made of.
 *
 * The work is cut into tiles of a few hundred rows by one panel of CPU_PANEL outputs. A thread
 * widens a 16-bit panel, or unpacks a quantised one, into its own scratch, multiplies by it with a
 * oneDNN product that runs on this thread alone, and finishes the tile (bias, activation, rounding)
 * while it is in cache. So weights are read once from memory in the form they are kept in, every
 * thread is busy, and neither the cut nor the order of sums depends on the number of threads.
 *
 * With compute bf16 and a processor that multiplies bf16 (AVX512_BF16, AMX), panels are paired,
 * and activations and weights go into the product as they are; elsewhere both are widened.
 *
 * A panel [K][64] of f32 is, byte for byte, the blocked form that oneDNN's AVX-512 product prefers
 * when K is a multiple of 16. Elsewhere (older processors, odd K) the same panel is an ordinary
 * row-major matrix for dnnl_sgemm. */
#include <assert.h>
#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu_internal.h"
#include "tensor/quant.h"

enum {
    MAX_TILES = 256, /* prepared products that are kept */
    TILE_ROWS = 512,
};

struct gemm_tile {
    int64_t m, n, k;
    enum dtype operands;
    uint64_t used; /* when, for replacing the oldest */
    const struct gemm *gemm;
    /* What oneDNN prepared; NULL: dnnl_sgemm is used. Owned. */
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t a, b, c, scratch;
};

struct gemm {
    dnnl_engine_t engine;
    dnnl_stream_t *streams; /* one per thread */
    int threads;
    uint64_t clock;
    int n_tiles;
    struct gemm_tile tiles[MAX_TILES];
};

/* --- prepared tiles ---------------------------------------------------------------------------*/

struct gemm *gemm_open(int threads, struct error *err)
{
    struct gemm *g = calloc(1, sizeof *g);
    if (g)
        g->streams = calloc((size_t)threads, sizeof(dnnl_stream_t));
    if (!g || !g->streams) {
        free(g);
        fail(err, ERR_MEMORY, "no memory for the matrix library");
        return NULL;
    }
    bool is_open = dnnl_engine_create(&g->engine, dnnl_cpu, 0) == dnnl_success;
    for (; is_open && g->threads < threads; g->threads++) {
        if (dnnl_stream_create(&g->streams[g->threads], g->engine, dnnl_stream_default_flags) !=
            dnnl_success)
            is_open = false;
    }
    if (!is_open) {
        gemm_close(g);
        fail(err, ERR_INTERNAL, "oneDNN does not start");
        return NULL;
    }
    return g;
}

void gemm_close(struct gemm *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->n_tiles; i++)
        dnnl_primitive_destroy(g->tiles[i].primitive);
    for (int i = 0; i < g->threads; i++)
        dnnl_stream_destroy(g->streams[i]);
    if (g->engine)
        dnnl_engine_destroy(g->engine);
    free(g->streams);
    free(g);
}

struct dnnl_engine *gemm_engine(const struct gemm *g) { return g->engine; }

struct dnnl_stream *gemm_stream(const struct gemm *g) { return g->streams[cpu_thread()]; }

/* Is this the memory order of panels [k][width] one after the other? */
static bool is_panel_order(const dnnl_memory_desc_t *b, int64_t n, int64_t k)
{
    const dnnl_blocking_desc_t *f = &b->format_desc.blocking;
    int64_t width = n < CPU_PANEL ? n : CPU_PANEL;
    if (b->format_kind != dnnl_blocked || f->inner_nblks != 2 || k % f->inner_blks[0] != 0)
        return false;
    return f->inner_idxs[0] == 0 && f->inner_idxs[1] == 1 && f->inner_blks[1] == width &&
           f->strides[0] == f->inner_blks[0] * width && f->strides[1] == k * width;
}

/* Is this the memory order of one paired panel? */
static bool is_paired_order(const dnnl_memory_desc_t *b, int64_t k)
{
    const dnnl_blocking_desc_t *f = &b->format_desc.blocking;
    const int64_t *blocks = f->inner_blks, *axes = f->inner_idxs;
    if (b->format_kind != dnnl_blocked || f->inner_nblks != 3 || k % (2 * blocks[0]) != 0)
        return false;
    return axes[0] == 0 && axes[1] == 1 && axes[2] == 0 && blocks[1] == CPU_PANEL &&
           blocks[2] == 2 && f->strides[0] == 2 * blocks[0] * CPU_PANEL;
}

/* Prepare t by oneDNN's matmul, if it takes panels as they are. */
static bool tile_prepare(struct gemm_tile *t)
{
    dnnl_dims_t a_dims = {t->m, t->k}, b_dims = {t->k, t->n}, c_dims = {t->m, t->n};
    /* Dense: with gaps between rows oneDNN 2.6 is a tenth slower (measured on AVX-512). */
    dnnl_dims_t a_strides = {t->k, 1}, c_strides = {t->n, 1};
    dnnl_data_type_t operands = t->operands == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    dnnl_memory_desc_t any;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    bool is_ready = false;
    if (dnnl_memory_desc_init_by_strides(&t->a, 2, a_dims, operands, a_strides) != dnnl_success ||
        dnnl_memory_desc_init_by_strides(&t->c, 2, c_dims, dnnl_f32, c_strides) != dnnl_success ||
        dnnl_memory_desc_init_by_tag(&any, 2, b_dims, operands, dnnl_format_tag_any) !=
            dnnl_success ||
        dnnl_matmul_desc_init(&desc, &t->a, &any, NULL, &t->c) != dnnl_success ||
        dnnl_primitive_attr_create(&attr) != dnnl_success)
        return false;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (dnnl_primitive_desc_create(&pd, &desc, attr, t->gemm->engine, NULL) == dnnl_success) {
        t->b = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
        t->scratch = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        bool is_ours = t->operands == DTYPE_BF16 ? is_paired_order(&t->b, t->k)
                                                 : is_panel_order(&t->b, t->n, t->k);
        is_ready = is_ours && dnnl_primitive_create(&t->primitive, pd) == dnnl_success;
        dnnl_primitive_desc_destroy(pd);
    }
    dnnl_primitive_attr_destroy(attr);
    return is_ready;
}

static struct gemm_tile *tile_slot(struct gemm *g)
{
    if (g->n_tiles < MAX_TILES)
        return &g->tiles[g->n_tiles++];
    struct gemm_tile *oldest = &g->tiles[0];
    for (int i = 1; i < MAX_TILES; i++) {
        if (g->tiles[i].used < oldest->used)
            oldest = &g->tiles[i];
    }
    if (oldest->primitive)
        dnnl_primitive_destroy(oldest->primitive);
    return oldest;
}

const struct gemm_tile *gemm_prepare(struct cpu *cpu, enum dtype operands, int64_t m, int64_t n,
                                     int64_t k)
{
    struct gemm *g = cpu->gemm;
    struct gemm_tile *t = NULL;
    assert(n <= CPU_PANEL || n % CPU_PANEL == 0);
    assert(m > 0 && n > 0 && k > 0);
    for (int i = 0; i < g->n_tiles && !t; i++) {
        struct gemm_tile *known = &g->tiles[i];
        if (known->m == m && known->n == n && known->k == k && known->operands == operands)
            t = known;
    }
    if (!t) {
        t = tile_slot(g);
        *t = (struct gemm_tile){.m = m, .n = n, .k = k, .operands = operands, .gemm = g};
        int threads = cpu_library_threads(1); /* the cut that oneDNN plans is for one thread */
        if (!tile_prepare(t))
            t->primitive = NULL;
        cpu_library_threads(threads);
    }
    t->used = ++g->clock;
    return t->primitive || operands == DTYPE_F32 ? t : NULL;
}

size_t gemm_scratch_bytes(const struct gemm_tile *t)
{
    return t->primitive ? dnnl_memory_desc_get_size(&t->scratch) : 0;
}

/* dnnl_sgemm, panel by panel. */
static bool run_sgemm(const struct gemm_tile *t, float *c, const float *a, const float *b)
{
    int64_t width = t->n < CPU_PANEL ? t->n : CPU_PANEL;
    for (int64_t n = 0; n < t->n; n += width) {
        if (dnnl_sgemm('N', 'N', t->m, width, t->k, 1.0f, a, t->k, b + n * t->k, width, 0.0f, c + n,
                       t->n) != dnnl_success)
            return false;
    }
    return true;
}

bool gemm_run(const struct gemm_tile *t, float *c, const void *a, const void *b, void *scratch)
{
    if (!t->primitive)
        return run_sgemm(t, c, a, b);
    const struct {
        int arg;
        const dnnl_memory_desc_t *md;
        const void *data;
    } operands[] = {
        {DNNL_ARG_SRC, &t->a, a},
        {DNNL_ARG_WEIGHTS, &t->b, b},
        {DNNL_ARG_DST, &t->c, c},
        {DNNL_ARG_SCRATCHPAD, &t->scratch, scratch},
    };
    enum { N_OPERANDS = sizeof operands / sizeof operands[0] };
    dnnl_exec_arg_t args[N_OPERANDS];
    int n = 0;
    bool is_done = true;
    for (; n < N_OPERANDS && is_done; n++) {
        args[n].arg = operands[n].arg;
        args[n].memory = NULL;
        is_done = dnnl_memory_create(&args[n].memory, operands[n].md, t->gemm->engine,
                                     (void *)operands[n].data) == dnnl_success;
    }
    if (is_done)
        is_done = dnnl_primitive_execute(t->primitive, t->gemm->streams[cpu_thread()], n, args) ==
                  dnnl_success;
    for (int i = 0; i < n; i++)
        dnnl_memory_destroy(args[i].memory);
    return is_done;
}

/* --- linear -----------------------------------------------------------------------------------*/

/* The rows of x and out: `outer` groups of m rows with one stride each. */
struct linear_rows {
    int64_t m, x_stride, out_stride;
    int rank; /* axes of the groups */
    int64_t dims[TENSOR_MAX_RANK], x_strides[TENSOR_MAX_RANK], out_strides[TENSOR_MAX_RANK];
    int64_t groups;
};

static struct linear_rows rows_of(struct tensor x, struct tensor out)
{
    struct linear_rows r = {
        .m = 1, .x_stride = x.dims[x.rank - 1], .out_stride = out.dims[out.rank - 1], .groups = 1};
    for (int a = x.rank - 2; a >= 0; a--) {
        int64_t dim = x.dims[a];
        if (dim == 1)
            continue;
        if (r.m == 1 && r.groups == 1) {
            r.m = dim;
            r.x_stride = x.strides[a];
            r.out_stride = out.strides[a];
        } else if (r.rank == 0 && x.strides[a] == r.m * r.x_stride &&
                   out.strides[a] == r.m * r.out_stride) {
            r.m *= dim;
        } else {
            r.dims[r.rank] = dim;
            r.x_strides[r.rank] = x.strides[a];
            r.out_strides[r.rank] = out.strides[a];
            r.rank++;
            r.groups *= dim;
        }
    }
    return r;
}

static int64_t group_offset(const struct linear_rows *r, const int64_t *strides, int64_t group)
{
    int64_t offset = 0;
    for (int a = 0; a < r->rank; a++) {
        offset += group % r->dims[a] * strides[a];
        group /= r->dims[a];
    }
    return offset;
}

/* One call of op_linear on one group of rows. */
struct linear {
    struct cpu *cpu;
    const struct cpu_weight *w;
    const void *x; /* [m][k], dense, of type operands */
    enum dtype operands;
    int64_t m;
    void *out; /* row stride ldo, of out_dtype */
    int64_t ldo;
    enum dtype out_dtype;
    float *scales;     /* [m] of rounded inputs, whose codes x is; or NULL */
    const float *bias; /* or NULL */
    enum activation act;
    /* Tiles by [last rows?][last panel?]. */
    const struct gemm_tile *tiles[2][2];
    size_t panel_bytes, tile_bytes, scratch_bytes; /* of each thread */
};

static size_t align64(size_t bytes) { return (bytes + 63) / 64 * 64; }

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

static size_t linear_thread_bytes(const struct linear *l)
{
    return l->panel_bytes + l->tile_bytes + l->scratch_bytes;
}

/* A finished product of rows x width goes to its place in out. */
static void tile_store(const struct linear *l, float *tile, int64_t row, int64_t rows,
                       int64_t column, int64_t width)
{
    char *to = (char *)l->out + (row * l->ldo + column) * (int64_t)dtype_bytes(l->out_dtype);
    for (int64_t r = 0; l->scales && r < rows; r++) {
        for (int64_t i = 0; i < width; i++)
            tile[r * width + i] *= l->scales[row + r];
    }
    l->cpu->kernels->finish(to, l->out_dtype, l->ldo, tile, rows, width,
                            l->bias ? l->bias + column : NULL, l->act);
}

static int linear_team(const struct linear *l)
{
    return cpu_team(l->cpu, (double)(l->m * l->w->n * l->w->k));
}

static void linear_few_rows(const struct linear *l, char *work)
{
    const struct cpu_kernels *kernels = l->cpu->kernels;
    int64_t panels = (l->w->n + CPU_PANEL - 1) / CPU_PANEL;
    size_t thread_bytes = linear_thread_bytes(l);
#pragma omp parallel for num_threads(linear_team(l)) schedule(dynamic, 1)
    for (int64_t p = 0; p < panels; p++) {
        float *tile = (float *)(work + (size_t)cpu_thread() * thread_bytes);
        int64_t column = p * CPU_PANEL, width = min_i64(l->w->n - column, CPU_PANEL);
        struct cpu_panel panel = cpu_weight_panel(l->w, p);
        kernels->gemv(tile, width, l->x, l->w->k, l->m, &panel);
        tile_store(l, tile, 0, l->m, column, width);
    }
}

/* Find the products that l needs with operands of that type; false when there are none. */
static bool prepare_tiles(struct linear *l, enum dtype operands)
{
    int64_t last_rows = l->m % TILE_ROWS, last_width = l->w->n % CPU_PANEL;
    int64_t rows[2] = {TILE_ROWS, last_rows}, widths[2] = {CPU_PANEL, last_width};
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            bool is_needed = (i == 0 ? l->m >= TILE_ROWS : last_rows > 0) &&
                             (j == 0 ? l->w->n >= CPU_PANEL : last_width > 0);
            if (!is_needed)
                continue;
            l->tiles[i][j] = gemm_prepare(l->cpu, operands, rows[i], widths[j], l->w->k);
            if (!l->tiles[i][j])
                return false;
            size_t bytes = align64(gemm_scratch_bytes(l->tiles[i][j]));
            l->scratch_bytes = bytes > l->scratch_bytes ? bytes : l->scratch_bytes;
        }
    }
    l->operands = operands;
    return true;
}

static void linear_prepare(struct linear *l, enum dtype x_dtype)
{
    l->operands = DTYPE_F32;
    l->tile_bytes = (size_t)TILE_ROWS * CPU_PANEL * sizeof(float);
    if (l->m <= CPU_GEMV_ROWS)
        return;
    bool is_native = x_dtype == DTYPE_BF16 && l->w->is_paired && prepare_tiles(l, DTYPE_BF16);
    if (!is_native)
        (void)prepare_tiles(l, DTYPE_F32);
    if (l->w->dtype != l->operands)
        l->panel_bytes = align64((size_t)l->w->k * CPU_PANEL * dtype_bytes(l->operands));
}

/* A panel in the type of the product. */
static void widen_panel(const struct linear *l, void *to, const struct cpu_panel *panel)
{
    const struct cpu_kernels *kernels = l->cpu->kernels;
    if (panel->scales && l->operands == DTYPE_BF16)
        kernels->unpack_pairs(to, panel);
    else if (panel->scales)
        kernels->unpack(to, panel);
    else if (panel->is_paired)
        kernels->widen_pairs(to, panel->data, panel->k);
    else
        kernels->widen(to, panel->data, panel->dtype, panel->k * panel->n);
}

static void linear_many_rows(const struct linear *l, char *work)
{
    int64_t panels = (l->w->n + CPU_PANEL - 1) / CPU_PANEL;
    int64_t strips = (l->m + TILE_ROWS - 1) / TILE_ROWS;
    size_t thread_bytes = linear_thread_bytes(l);
    /* All strips of a panel go to one thread while there are panels enough: widened once. */
    int64_t run = panels >= 4 * (int64_t)l->cpu->threads ? strips : 1;
    int64_t x_bytes = (int64_t)dtype_bytes(l->operands);
    bool is_done = true;
#pragma omp parallel num_threads(linear_team(l)) reduction(&& : is_done)
    {
        cpu_library_threads(1);
        char *buffer = work + (size_t)cpu_thread() * thread_bytes;
        char *tile_buffer = buffer + l->panel_bytes;
        int64_t widened = -1;
#pragma omp for schedule(dynamic, run)
        for (int64_t t = 0; t < panels * strips; t++) {
            int64_t p = t / strips, row = t % strips * TILE_ROWS;
            int64_t rows = min_i64(l->m - row, TILE_ROWS), column = p * CPU_PANEL;
            int64_t width = min_i64(l->w->n - column, CPU_PANEL);
            struct cpu_panel panel = cpu_weight_panel(l->w, p);
            if (l->panel_bytes > 0) {
                if (widened != p)
                    widen_panel(l, buffer, &panel);
                widened = p;
                panel.data = buffer;
            }
            float *tile = (float *)tile_buffer;
            const char *x = (const char *)l->x + row * l->w->k * x_bytes;
            is_done = gemm_run(l->tiles[rows < TILE_ROWS][width < CPU_PANEL], tile, x, panel.data,
                               tile_buffer + l->tile_bytes) &&
                      is_done;
            tile_store(l, tile, row, rows, column, width);
        }
    }
    if (!is_done)
        fail(&l->cpu->backend.fault, ERR_INTERNAL, "linear: oneDNN failed");
}

/* Rows of x that the product can't read in place, as dense rows of its type. */
static void gather_rows(const struct linear *l, void *to, struct tensor x, int64_t offset,
                        int64_t stride)
{
    int64_t k = l->w->k, bytes = (int64_t)dtype_bytes(l->operands);
#pragma omp parallel for num_threads(linear_team(l)) if (l->m > CPU_GEMV_ROWS) schedule(static)
    for (int64_t r = 0; r < l->m; r++) {
        const char *from =
            (const char *)x.data + (offset + r * stride) * (int64_t)dtype_bytes(x.dtype);
        char *row = (char *)to + r * k * bytes;
        if (l->scales)
            l->scales[r] = cpu_round_row(l->cpu, row, l->operands, l->w, from, x.dtype);
        else if (x.dtype == l->operands)
            memcpy(row, from, (size_t)(k * bytes));
        else
            l->cpu->kernels->widen((float *)row, from, x.dtype, k);
    }
}

void cpu_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                struct tensor bias, enum activation act)
{
    struct cpu *cpu = cpu_of(b);
    struct linear_rows rows = rows_of(x, out);
    struct linear l = {.cpu = cpu,
                       .w = w.data,
                       .m = rows.m,
                       .ldo = rows.out_stride,
                       .out_dtype = out.dtype,
                       .bias = bias.data,
                       .act = act};
    if (tensor_elements(x) == 0 || tensor_elements(out) == 0)
        return;
    linear_prepare(&l, x.dtype);
    bool is_rounded = l.w->rounds_inputs && rows.m * rows.groups > QUANT_FEW_ROWS;
    bool is_direct =
        x.dtype == l.operands && (rows.x_stride == l.w->k || rows.m == 1) && !is_rounded;
    size_t codes_bytes = is_direct ? 0 : align64((size_t)(l.m * l.w->k) * dtype_bytes(l.operands));
    size_t x_bytes = codes_bytes + (is_rounded ? align64((size_t)l.m * sizeof(float)) : 0);
    char *work = cpu_work(cpu, x_bytes + (size_t)cpu->threads * linear_thread_bytes(&l));
    if (!work)
        return;
    l.scales = is_rounded ? (float *)(work + codes_bytes) : NULL;
    for (int64_t g = 0; g < rows.groups; g++) {
        int64_t offset = group_offset(&rows, rows.x_strides, g);
        l.out = (char *)out.data +
                group_offset(&rows, rows.out_strides, g) * (int64_t)dtype_bytes(out.dtype);
        l.x = is_direct ? (const char *)x.data + offset * (int64_t)dtype_bytes(x.dtype) : work;
        if (!is_direct)
            gather_rows(&l, work, x, offset, rows.x_stride);
        if (l.m <= CPU_GEMV_ROWS)
            linear_few_rows(&l, work + x_bytes);
        else
            linear_many_rows(&l, work + x_bytes);
    }
}
