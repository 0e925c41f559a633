/* Weights in the form that products read them: cut into panels once, at load. */
#include <assert.h>
#include <stdlib.h>

#include "cpu/cpu_internal.h"
#include "tensor/dtype.h"
#include "tensor/quant.h"

static struct cpu_weight *weight_new(struct cpu *cpu, size_t bytes, struct error *err)
{
    struct cpu_weight *w = calloc(1, sizeof *w);
    if (w)
        w->data = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!w || !w->data) {
        free(w);
        fail(err, ERR_MEMORY, "no memory for a weight of %.1f MiB", (double)bytes / 0x1p20);
        return NULL;
    }
    w->next = cpu->weights;
    cpu->weights = w;
    return w;
}

void cpu_weights_free(struct cpu *cpu)
{
    while (cpu->weights) {
        struct cpu_weight *w = cpu->weights;
        cpu->weights = w->next;
        free(w->data);
        free(w->scales);
        free(w);
    }
}

struct cpu_panel cpu_weight_panel(const struct cpu_weight *w, int64_t index)
{
    int64_t first = index * CPU_PANEL, width = w->n - first < CPU_PANEL ? w->n - first : CPU_PANEL;
    bool is_quantised = dtype_is_quantised(w->dtype);
    int64_t row_bytes =
        is_quantised ? quant_code_bytes(w->dtype, w->k) : w->k * (int64_t)dtype_bytes(w->dtype);
    struct cpu_panel panel = {.data = (const char *)w->data + first * row_bytes,
                              .dtype = w->dtype,
                              .is_paired = w->is_paired,
                              .k = w->k,
                              .n = width};
    if (is_quantised)
        panel.scales =
            (const char *)w->scales + first * quant_n_scales(w->dtype, w->k) *
                                          (int64_t)dtype_bytes(quant_scale_dtype(w->dtype));
    return panel;
}

/* Type of a packed weight: 16 bits stay so, unless compute is bf16, which rounds everything. */
static enum dtype packed_dtype(const struct cpu *cpu, enum dtype dtype)
{
    return cpu->backend.compute == DTYPE_BF16 ? DTYPE_BF16 : dtype;
}

/* One panel of a matrix: [k][width] from rows of k. `rounded` has room for width x k elements,
 * for when the type changes on the way. */
static void pack_panel(const struct cpu *cpu, const struct cpu_weight *w, struct tensor host,
                       int64_t first, int64_t width, uint16_t *rounded)
{
    size_t bytes = dtype_bytes(w->dtype);
    char *to = (char *)w->data + (size_t)(first * w->k) * bytes;
    int64_t taps = w->kernel_y * w->kernel_x, channels = w->k / taps;
    if (w->is_paired) {
        for (int64_t i = 0; i < width * w->k; i++)
            rounded[i] = bf16_from_float(dtype_load(host.data, host.dtype, first * w->k + i));
        /* pairs of neighbours travel together, as 32 bits */
        cpu->kernels->transpose(to, rounded, width, w->k / 2, w->k / 2, sizeof(uint32_t));
        return;
    }
    if (w->dtype == host.dtype && taps == 1) {
        const char *from = (const char *)host.data + (size_t)(first * w->k) * bytes;
        cpu->kernels->transpose(to, from, width, w->k, w->k, bytes);
        return;
    }
    if (taps == 1) {
        for (int64_t i = 0; i < width * w->k; i++)
            rounded[i] = bf16_from_float(dtype_load(host.data, host.dtype, first * w->k + i));
        cpu->kernels->transpose(to, rounded, width, w->k, w->k, bytes);
        return;
    }
    for (int64_t o = 0; o < width; o++) {
        for (int64_t c = 0; c < channels; c++) {
            for (int64_t tap = 0; tap < taps; tap++) {
                int64_t at = (tap * channels + c) * width + o;
                int64_t from = ((first + o) * channels + c) * taps + tap;
                if (w->dtype == host.dtype)
                    memcpy(to + (size_t)at * bytes, (const char *)host.data + (size_t)from * bytes,
                           bytes);
                else
                    dtype_store(to, w->dtype, at, dtype_load(host.data, host.dtype, from));
            }
        }
    }
}

/* Will bf16 go into the product as it is? */
static bool can_pair(struct cpu *cpu, int64_t n, int64_t k)
{
    enum { ROWS = 128 }; /* any usual number: the form of the weight does not depend on it */
    return cpu->backend.compute == DTYPE_BF16 && n % CPU_PANEL == 0 && k % 32 == 0 &&
           gemm_prepare(cpu, DTYPE_BF16, ROWS, CPU_PANEL, k);
}

static bool adopt_packed(struct cpu *cpu, struct tensor host, struct tensor *out, struct error *err)
{
    bool is_conv = host.rank == 4;
    int64_t n = host.dims[0], k = tensor_elements(host) / n;
    enum dtype dtype = packed_dtype(cpu, host.dtype);
    struct cpu_weight *w = weight_new(cpu, (size_t)(n * k) * dtype_bytes(dtype), err);
    if (!w)
        return false;
    w->dtype = dtype;
    w->n = n;
    w->k = k;
    w->kernel_y = is_conv ? host.dims[2] : 1;
    w->kernel_x = is_conv ? host.dims[3] : 1;
    w->is_paired = !is_conv && can_pair(cpu, n, k);
    size_t panel_bytes = (size_t)(CPU_PANEL * k) * sizeof(uint16_t);
    char *work = cpu_work(cpu, (size_t)cpu->threads * panel_bytes);
    if (!work)
        return fail(err, ERR_MEMORY, "no memory to pack a weight");
    int64_t panels = (n + CPU_PANEL - 1) / CPU_PANEL;
#pragma omp parallel for num_threads(cpu->threads) if (n * k > 16384) schedule(static)
    for (int64_t p = 0; p < panels; p++) {
        int64_t first = p * CPU_PANEL, width = n - first < CPU_PANEL ? n - first : CPU_PANEL;
        uint16_t *rounded = (uint16_t *)(work + (size_t)cpu_thread() * panel_bytes);
        pack_panel(cpu, w, host, first, width, rounded);
    }
    *out = host;
    out->data = w;
    out->dtype = dtype;
    out->is_packed = true;
    return true;
}

/* Codes and scales as they are, in the order of panels. */
static bool adopt_quantised(struct cpu *cpu, struct tensor host, struct tensor *out,
                            struct error *err)
{
    int64_t n = host.dims[0], k = host.dims[1];
    int64_t row_bytes = quant_code_bytes(host.dtype, k), row_scales = quant_n_scales(host.dtype, k);
    size_t scale_bytes = dtype_bytes(quant_scale_dtype(host.dtype));
    struct cpu_weight *w = weight_new(cpu, quant_codes_size(host), err);
    if (!w)
        return false;
    w->scales = malloc((size_t)(n * row_scales) * scale_bytes);
    if (!w->scales)
        return fail(err, ERR_MEMORY, "no memory for the scales of a weight");
    w->dtype = host.dtype;
    w->n = n;
    w->k = k;
    w->kernel_y = w->kernel_x = 1;
    w->is_paired = can_pair(cpu, n, k);
    w->rounds_inputs = cpu->backend.rounds_inputs;
    int64_t panels = (n + CPU_PANEL - 1) / CPU_PANEL;
#pragma omp parallel for num_threads(cpu->threads) if (n * k > 16384) schedule(static)
    for (int64_t p = 0; p < panels; p++) {
        struct cpu_panel panel = cpu_weight_panel(w, p);
        int64_t first = p * CPU_PANEL;
        cpu->kernels->transpose((void *)panel.data, (const char *)host.data + first * row_bytes,
                                panel.n, row_bytes, row_bytes, 1);
        cpu->kernels->transpose((void *)panel.scales,
                                (const char *)host.scales +
                                    (size_t)(first * row_scales) * scale_bytes,
                                panel.n, row_scales, row_scales, scale_bytes);
    }
    *out = host;
    out->data = w;
    out->scales = NULL;
    out->is_packed = true;
    return true;
}

/* A vector as f32, rounded to the compute type first: a bias takes part in bf16 arithmetic as the
 * value that a bf16 model would hold. */
static bool adopt_vector(struct cpu *cpu, struct tensor host, struct tensor *out, struct error *err)
{
    int64_t n = host.dims[0];
    struct cpu_weight *w = weight_new(cpu, (size_t)n * sizeof(float), err);
    if (!w)
        return false;
    for (int64_t i = 0; i < n; i++) {
        float x = dtype_load(host.data, host.dtype, i);
        ((float *)w->data)[i] = dtype_round(cpu->backend.compute, x);
    }
    *out = tensor_make(w->data, DTYPE_F32, SHAPE(n));
    return true;
}

bool cpu_adopt(struct backend *b, struct tensor host, enum weight_use use, struct tensor *out,
               struct error *err)
{
    struct cpu *cpu = cpu_of(b);
    assert(tensor_elements(host) > 0);
    switch (use) {
    case WEIGHT_VECTOR:
        return adopt_vector(cpu, host, out, err);
    case WEIGHT_MATRIX:
    case WEIGHT_CONV:
        if (dtype_is_quantised(host.dtype))
            return adopt_quantised(cpu, host, out, err);
        return adopt_packed(cpu, host, out, err);
    case WEIGHT_TABLE:
        break;
    }
    *out = host; /* read in place, row by row */
    return true;
}
