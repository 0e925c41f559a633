/* Weights: converted on the host into pinned buffers, copied to the device as fast as the bus
 * goes. Two buffers alternate, so that one is filled (which reads the checkpoint's pages) while
 * the other is on its way. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda_internal.h"
#include "tensor/dtype.h"
#include "tensor/quant.h"

/* --- pinned buffers ---------------------------------------------------------------------------*/

enum { N_BUFFERS = 2 };
static const size_t BUFFER_BYTES = (size_t)16 << 20;

struct cuda_staging {
    char *buffers[N_BUFFERS];
    cudaEvent_t events[N_BUFFERS]; /* the buffer has been read */
    int next;
};

static void staging_free(struct cuda_staging *s)
{
    if (!s)
        return;
    for (int i = 0; i < N_BUFFERS; i++) {
        if (s->events[i])
            (void)cudaEventDestroy(s->events[i]);
        (void)cudaFreeHost(s->buffers[i]);
    }
    free(s);
}

static struct cuda_staging *staging(struct cuda *c, struct error *err)
{
    if (c->staging)
        return c->staging;
    struct cuda_staging *s = calloc(1, sizeof *s);
    bool is_done = s != NULL;
    for (int i = 0; is_done && i < N_BUFFERS; i++) {
        void *buffer = NULL;
        is_done = cudaMallocHost(&buffer, BUFFER_BYTES) == cudaSuccess;
        s->buffers[i] = buffer;
        is_done = is_done &&
                  cudaEventCreateWithFlags(&s->events[i], cudaEventDisableTiming) == cudaSuccess;
    }
    if (!is_done) {
        staging_free(s);
        (void)cudaGetLastError();
        fail(err, ERR_MEMORY, "no pinned host memory for two buffers of %.0f MiB",
             (double)BUFFER_BYTES / 0x1p20);
        return NULL;
    }
    c->staging = s;
    return s;
}

/* A buffer that nobody reads any more; NULL with the reason in err. */
static char *staging_take(struct cuda *c, struct error *err)
{
    struct cuda_staging *s = staging(c, err);
    if (!s)
        return NULL;
    cudaError_t status = cudaEventSynchronize(s->events[s->next]);
    if (status != cudaSuccess) {
        fail(err, ERR_DEVICE, "upload: %s", cudaGetErrorString(status));
        return NULL;
    }
    return s->buffers[s->next];
}

/* Send the first bytes of the buffer that was taken. */
static bool staging_send(struct cuda *c, void *to, size_t bytes, struct error *err)
{
    struct cuda_staging *s = c->staging;
    cudaError_t status =
        cudaMemcpyAsync(to, s->buffers[s->next], bytes, cudaMemcpyHostToDevice, c->stream);
    if (status == cudaSuccess)
        status = cudaEventRecord(s->events[s->next], c->stream);
    if (status != cudaSuccess)
        return fail(err, ERR_DEVICE, "upload of %.1f MiB: %s", (double)bytes / 0x1p20,
                    cudaGetErrorString(status));
    s->next = (s->next + 1) % N_BUFFERS;
    return true;
}

bool cuda_stage(struct cuda *c, void *to, const void *host, size_t bytes, struct error *err)
{
    for (size_t at = 0; at < bytes; at += BUFFER_BYTES) {
        size_t n = bytes - at < BUFFER_BYTES ? bytes - at : BUFFER_BYTES;
        char *buffer = staging_take(c, err);
        if (!buffer)
            return false;
        memcpy(buffer, (const char *)host + at, n);
        if (!staging_send(c, (char *)to + at, n, err))
            return false;
    }
    return true;
}

/* --- weights ----------------------------------------------------------------------------------*/

/* Room for a weight, on the device or (may_stream, and when backend.home says so) on the host. */
static struct cuda_weight *weight_new(struct cuda *c, size_t bytes, bool may_stream,
                                      struct error *err)
{
    struct cuda_weight *w = calloc(1, sizeof *w);
    if (!w) {
        fail(err, ERR_MEMORY, "no memory for a weight");
        return NULL;
    }
    bool is_streamed = may_stream && c->backend.home.chain != 0;
    if (!is_streamed)
        w->data = backend_alloc(&c->backend, bytes, err);
    if (is_streamed ? !cuda_stream_add(c, w, bytes, err) : !w->data) {
        error_prefix(err, "weight");
        free(w);
        return NULL;
    }
    w->next = c->weights;
    c->weights = w;
    return w;
}

void cuda_weights_free(struct cuda *c)
{
    staging_free(c->staging);
    c->staging = NULL;
    free(c->vectors.slots);
    c->vectors = (struct cuda_vectors){0};
    while (c->weights) {
        struct cuda_weight *w = c->weights;
        c->weights = w->next;
        if (w->layer)
            cuda_stream_drop(w);
        else
            (void)cudaFree(w->data);
        free(w);
    }
}

/* --- vectors by address -----------------------------------------------------------------------*/

/* Slot of an address, or the empty one where it belongs. */
static size_t vector_slot(const struct cuda_vectors *t, const float *values)
{
    size_t i = (size_t)(((uintptr_t)values >> 4) * 0x9e3779b97f4a7c15ull >> 20);
    for (i &= t->n_slots - 1; t->slots[i].values && t->slots[i].values != values;)
        i = (i + 1) & (t->n_slots - 1);
    return i;
}

static bool vector_add(struct cuda_vectors *t, const float *values, int64_t n)
{
    if (2 * t->n_used >= t->n_slots) {
        struct cuda_vectors larger = {.n_slots = t->n_slots ? 2 * t->n_slots : 256,
                                      .n_used = t->n_used};
        larger.slots = calloc(larger.n_slots, sizeof *larger.slots);
        if (!larger.slots)
            return false;
        for (size_t i = 0; i < t->n_slots; i++) {
            if (t->slots[i].values)
                larger.slots[vector_slot(&larger, t->slots[i].values)] = t->slots[i];
        }
        free(t->slots);
        *t = larger;
    }
    t->slots[vector_slot(t, values)] = (struct cuda_vector){values, n};
    t->n_used++;
    return true;
}

/* The twin stands behind the vector, at 16 bytes. */
static size_t twin_offset(int64_t n) { return ((size_t)n * sizeof(float) + 15) / 16 * 16; }

const void *cuda_vector_bf16(const struct cuda *c, const float *values, int64_t n)
{
    if (!c->vectors.n_slots)
        return NULL;
    const struct cuda_vector *v = &c->vectors.slots[vector_slot(&c->vectors, values)];
    return v->values && v->n == n ? (const char *)values + twin_offset(n) : NULL;
}

/* --- packing ----------------------------------------------------------------------------------*/

static void convert(void *to, enum dtype to_dtype, const void *from, enum dtype from_dtype,
                    int64_t first, int64_t n)
{
    const char *start = (const char *)from + first * (int64_t)dtype_bytes(from_dtype);
    if (to_dtype == from_dtype) {
        memcpy(to, start, (size_t)n * dtype_bytes(to_dtype));
        return;
    }
    for (int64_t i = 0; i < n; i++)
        dtype_store(to, to_dtype, i, dtype_load(start, from_dtype, i));
}

/* One output's row, K ordered (kernel row, kernel column, channel), padded with zeros. */
static void pack_row(const struct cuda_weight *w, struct tensor host, int64_t n, char *to)
{
    int64_t taps = w->kernel_y * w->kernel_x, channels = w->k / taps;
    size_t bytes = dtype_bytes(w->dtype);
    if (taps == 1) {
        convert(to, w->dtype, host.data, host.dtype, n * w->k, w->k);
    } else {
        for (int64_t i = 0; i < w->k; i++) {
            int64_t from = (n * channels + i % channels) * taps + i / channels;
            dtype_store(to, w->dtype, i, dtype_load(host.data, host.dtype, from));
        }
    }
    memset(to + (size_t)w->k * bytes, 0, (size_t)(w->row - w->k) * bytes);
}

static bool send_rows(struct cuda *c, const struct cuda_weight *w, struct tensor host,
                      struct error *err)
{
    int64_t row_bytes = w->row * (int64_t)dtype_bytes(w->dtype);
    for (int64_t n = 0; w->layer && n < w->n; n++)
        pack_row(w, host, n, w->host + n * row_bytes);
    if (w->layer)
        return true;
    int64_t rows_each = (int64_t)BUFFER_BYTES / row_bytes;
    if (rows_each == 0)
        return fail(err, ERR_INVALID, "a weight of %lld inputs: at most %zu MiB a row",
                    (long long)w->k, BUFFER_BYTES >> 20);
    for (int64_t n = 0; n < w->n; n += rows_each) {
        int64_t rows = w->n - n < rows_each ? w->n - n : rows_each;
        char *buffer = staging_take(c, err);
        if (!buffer)
            return false;
        for (int64_t r = 0; r < rows; r++)
            pack_row(w, host, n + r, buffer + r * row_bytes);
        if (!staging_send(c, (char *)w->data + n * row_bytes, (size_t)(rows * row_bytes), err))
            return false;
    }
    return true;
}

/* values: made up on the device, host has no data then; or NULL. */
static bool adopt_packed(struct cuda *c, struct tensor host, const struct random_values *values,
                         struct tensor *out, struct error *err)
{
    int64_t n = host.dims[0], k = tensor_elements(host) / n;
    int64_t row = (k + CUDA_ROW - 1) / CUDA_ROW * CUDA_ROW;
    enum dtype dtype = c->backend.compute == DTYPE_BF16 ? DTYPE_BF16 : host.dtype;
    struct cuda_weight *w =
        weight_new(c, (size_t)(n * row) * dtype_bytes(dtype), host.rank == 2, err);
    if (!w)
        return false;
    w->dtype = dtype;
    w->n = n;
    w->k = k;
    w->row = row;
    w->kernel_y = host.rank == 4 ? host.dims[2] : 1;
    w->kernel_x = host.rank == 4 ? host.dims[3] : 1;
    if (values)
        cuda_random_fill(c, w, host.dtype, values);
    else if (!send_rows(c, w, host, err))
        return false;
    *out = host;
    out->data = w;
    out->dtype = dtype;
    out->is_packed = true;
    return true;
}

/* Codes in padded rows, then the scales as they are. */
static bool adopt_quantised(struct cuda *c, struct tensor host, struct tensor *out,
                            struct error *err)
{
    int64_t n = host.dims[0], k = host.dims[1];
    int64_t row = (k + CUDA_CODE_ROW - 1) / CUDA_CODE_ROW * CUDA_CODE_ROW;
    size_t code_bytes = (size_t)quant_code_bytes(host.dtype, k);
    size_t row_bytes = (size_t)quant_code_bytes(host.dtype, row);
    size_t scales_at = ((size_t)n * row_bytes + 15) / 16 * 16;
    size_t bytes = scales_at + tensor_bytes(host) - quant_codes_size(host);
    struct cuda_weight *w = weight_new(c, bytes, true, err);
    char *packed = w && !w->layer ? calloc(1, bytes) : NULL;
    char *to = w && w->layer ? memset(w->host, 0, bytes) : packed;
    if (!to)
        return fail(err, ERR_MEMORY, "no memory to pack a weight of %zu MiB", bytes >> 20);
    for (int64_t r = 0; r < n; r++)
        memcpy(to + (size_t)r * row_bytes, (const char *)host.data + (size_t)r * code_bytes,
               code_bytes);
    memcpy(to + scales_at, host.scales, bytes - scales_at);
    bool is_done = !packed || cuda_stage(c, w->data, packed, bytes, err);
    free(packed);
    w->dtype = host.dtype;
    w->n = n;
    w->k = k;
    w->row = row;
    w->kernel_y = w->kernel_x = 1;
    w->scales_at = scales_at;
    w->rounds_inputs = c->backend.rounds_inputs;
    *out = host;
    out->data = w;
    out->scales = NULL;
    out->is_packed = true;
    return is_done;
}

/* A vector as f32, rounded to the compute type first; in bf16 with its twin of that type. */
static bool adopt_vector(struct cuda *c, struct tensor host, struct tensor *out, struct error *err)
{
    int64_t n = host.dims[0];
    bool has_twin = c->backend.compute == DTYPE_BF16;
    size_t bytes = twin_offset(n) + (has_twin ? (size_t)n * sizeof(uint16_t) : 0);
    struct cuda_weight *w = weight_new(c, bytes, false, err);
    char *values = calloc(1, bytes);
    if (!w || !values) {
        free(values);
        return fail(err, ERR_MEMORY, "no memory for a vector of %lld", (long long)n);
    }
    for (int64_t i = 0; i < n; i++) {
        float x = dtype_round(c->backend.compute, dtype_load(host.data, host.dtype, i));
        dtype_store(values, DTYPE_F32, i, x);
        if (has_twin)
            dtype_store(values + twin_offset(n), DTYPE_BF16, i, x);
    }
    bool is_done = cuda_stage(c, w->data, values, bytes, err);
    free(values);
    if (has_twin && is_done && !vector_add(&c->vectors, w->data, n))
        return fail(err, ERR_MEMORY, "no memory for a table of vectors");
    *out = tensor_make(w->data, DTYPE_F32, SHAPE(n));
    return is_done;
}

/* Read row by row: as it is. */
static bool adopt_table(struct cuda *c, struct tensor host, const struct random_values *values,
                        struct tensor *out, struct error *err)
{
    struct cuda_weight *w = weight_new(c, tensor_bytes(host), true, err);
    if (!w)
        return false;
    *out = host;
    if (w->layer) {
        w->is_table = true;
        out->data = memcpy(w->host, host.data, tensor_bytes(host));
        return true;
    }
    out->data = w->data;
    if (!values)
        return cuda_stage(c, w->data, host.data, tensor_bytes(host), err);
    w->dtype = host.dtype;
    w->n = host.dims[0];
    w->k = w->row = tensor_elements(host) / w->n;
    w->kernel_y = w->kernel_x = 1;
    cuda_random_fill(c, w, host.dtype, values);
    return true;
}

bool cuda_adopt(struct backend *b, struct tensor host, enum weight_use use, struct tensor *out,
                struct error *err)
{
    struct cuda *c = cuda_use(b);
    assert(tensor_elements(host) > 0);
    if (dtype_is_quantised(host.dtype))
        return adopt_quantised(c, host, out, err);
    if (use == WEIGHT_MATRIX || use == WEIGHT_CONV)
        return adopt_packed(c, host, NULL, out, err);
    return use == WEIGHT_VECTOR ? adopt_vector(c, host, out, err)
                                : adopt_table(c, host, NULL, out, err);
}

bool cuda_adopt_made(struct backend *b, struct tensor like, enum weight_use use,
                     const struct random_values *values, struct tensor *out, struct error *err)
{
    struct cuda *c = cuda_use(b);
    assert(tensor_elements(like) > 0 && use != WEIGHT_VECTOR);
    return (use == WEIGHT_TABLE ? adopt_table : adopt_packed)(c, like, values, out, err);
}
