/* A list of named byte blocks. Written in one go: header, padding to 8 bytes, data. */
#include "flux/dump.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "tensor/dtype.h"

struct block {
    char *name;       /* owned */
    const char *type; /* of the format: "F32", ... */
    int rank;
    int64_t dims[TENSOR_MAX_RANK + 1]; /* a stack has one axis more than a tensor */
    struct buf data;
};

struct flux_dump {
    struct block *blocks;
    size_t n_blocks;
};

struct flux_dump *flux_dump_new(void) { return xcalloc(1, sizeof(struct flux_dump)); }

void flux_dump_free(struct flux_dump *d)
{
    for (size_t i = 0; d != NULL && i < d->n_blocks; i++) {
        free(d->blocks[i].name);
        buf_free(&d->blocks[i].data);
    }
    if (d != NULL) {
        free(d->blocks);
        free(d);
    }
}

static const char *type_name(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return "F32";
    case DTYPE_BF16:
        return "BF16";
    case DTYPE_F16:
        return "F16";
    case DTYPE_I32:
        return "I32";
    case DTYPE_U8:
        return "U8";
    default:
        break;
    }
    return "?";
}

static struct block *find(struct flux_dump *d, const char *name)
{
    for (size_t i = 0; i < d->n_blocks; i++) {
        if (strcmp(d->blocks[i].name, name) == 0) {
            return &d->blocks[i];
        }
    }
    return NULL;
}

static struct block *new_block(struct flux_dump *d, const char *name, const char *type)
{
    d->blocks = xrealloc(d->blocks, (d->n_blocks + 1) * sizeof *d->blocks);
    struct block *block = &d->blocks[d->n_blocks++];
    *block = (struct block){.name = xstrdup(name), .type = type};
    return block;
}

/* --- adding -----------------------------------------------------------------------------------*/

void dump_host(struct flux_dump *d, const char *name, struct tensor host)
{
    if (find(d, name) != NULL) {
        return;
    }
    struct block *block = new_block(d, name, type_name(host.dtype));
    block->rank = host.rank;
    memcpy(block->dims, host.dims, sizeof host.dims);
    buf_append(&block->data, host.data, tensor_bytes(host));
}

void dump_floats(struct flux_dump *d, const char *name, enum dtype as, const float *host,
                 struct shape shape)
{
    struct tensor t = tensor_make(NULL, as, shape);
    int64_t n = tensor_elements(t);
    t.data = xmalloc(tensor_bytes(t) + 1);
    for (int64_t i = 0; i < n; i++) {
        dtype_store(t.data, as, i, host[i]);
    }
    dump_host(d, name, t);
    free(t.data);
}

void dump_double(struct flux_dump *d, const char *name, double value)
{
    struct block *block = new_block(d, name, "F64");
    block->rank = 1;
    block->dims[0] = 1;
    buf_append(&block->data, &value, sizeof value);
}

/* A dense host copy of a device tensor, for the caller to free. Windows are made dense on the
 * device first, in scratch that the plan did not count: hence memory of its own. */
static struct tensor fetch(struct backend *b, struct tensor t)
{
    struct shape shape = {.rank = t.rank};
    memcpy(shape.dims, t.dims, sizeof shape.dims);
    struct tensor host = tensor_make(NULL, t.dtype, shape);
    host.data = xmalloc(tensor_bytes(host) + 1);
    struct tensor dense = host;
    struct error err = {0};
    bool is_window = !tensor_is_dense(t);
    if (is_window) {
        dense.data = backend_alloc(b, tensor_bytes(host), &err);
        if (dense.data != NULL) {
            op_copy(b, dense, t);
        }
    } else {
        dense = t;
    }
    if (dense.data == NULL || !backend_download(b, host.data, dense, &err)) {
        memset(host.data, 0xff, tensor_bytes(host)); /* NaN: visibly no result */
    }
    if (is_window) {
        backend_free(b, dense.data);
    }
    return host;
}

void dump_device(struct flux_dump *d, struct backend *b, const char *name, struct tensor t)
{
    struct tensor host = fetch(b, t);
    dump_host(d, name, host);
    free(host.data);
}

void dump_stack(struct flux_dump *d, struct backend *b, const char *name, struct tensor t)
{
    struct tensor host = fetch(b, t);
    struct block *block = find(d, name);
    if (block == NULL) {
        block = new_block(d, name, type_name(t.dtype));
        block->rank = t.rank + 1;
        memcpy(block->dims + 1, t.dims, (size_t)t.rank * sizeof t.dims[0]);
    }
    block->dims[0]++;
    buf_append(&block->data, host.data, tensor_bytes(host));
    free(host.data);
}

void dump_image_float(struct flux_dump *d)
{
    const struct block *decoded = find(d, "image_decoded");
    if (decoded == NULL || find(d, "image_float") != NULL) {
        return;
    }
    enum dtype dtype = strcmp(decoded->type, "BF16") == 0 ? DTYPE_BF16 : DTYPE_F32;
    size_t n = decoded->data.size / dtype_bytes(dtype);
    float *pixels = xcalloc(n, sizeof *pixels);
    for (size_t i = 0; i < n; i++) {
        float half = dtype_round(dtype, dtype_load(decoded->data.data, dtype, (int64_t)i) * 0.5f);
        float x = dtype_round(dtype, half + 0.5f);
        pixels[i] = x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x;
    }
    struct shape shape = {.rank = 4};
    memcpy(shape.dims, decoded->dims, sizeof shape.dims);
    dump_floats(d, "image_float", dtype, pixels, shape);
    free(pixels);
}

static void tap_fn(struct tap *tap, const char *name, struct tensor t)
{
    struct dump_tap *self = (struct dump_tap *)tap;
    struct tensor host = fetch(self->backend, t);
    if (strncmp(name, "dbg.rope.", 9) == 0) { /* shown as pairs, stored flat */
        host = tensor_join(host, 1);
    }
    dump_host(self->dump, name, host);
    free(host.data);
}

struct dump_tap dump_tap(struct flux_dump *d, struct backend *b)
{
    return (struct dump_tap){.tap = {.fn = tap_fn}, .dump = d, .backend = b};
}

/* --- writing ----------------------------------------------------------------------------------*/

static size_t type_bytes(const char *type)
{
    static const struct {
        const char *type;
        size_t bytes;
    } SIZES[] = {{"F64", 8}, {"F32", 4}, {"I32", 4}, {"BF16", 2}, {"F16", 2}, {"U8", 1}};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        if (strcmp(SIZES[i].type, type) == 0) {
            return SIZES[i].bytes;
        }
    }
    return 1;
}

/* Widest types first, so that every block is aligned to its type. */
static int compare_blocks(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    size_t x_bytes = type_bytes(x->type), y_bytes = type_bytes(y->type);
    return x_bytes != y_bytes ? (x_bytes < y_bytes ? 1 : -1) : strcmp(x->name, y->name);
}

static struct json *header_entry(const struct block *block, int64_t offset)
{
    struct json *entry = json_new_object(), *shape = json_new_array(), *range = json_new_array();
    for (int axis = 0; axis < block->rank; axis++) {
        json_push(shape, json_new_int(block->dims[axis]));
    }
    json_push(range, json_new_int(offset));
    json_push(range, json_new_int(offset + (int64_t)block->data.size));
    json_set(entry, "dtype", json_new_string(block->type));
    json_set(entry, "shape", shape);
    json_set(entry, "data_offsets", range);
    return entry;
}

bool flux_dump_write(const struct flux_dump *d, const char *path, struct error *err)
{
    if (d->n_blocks > 1) {
        qsort(d->blocks, d->n_blocks, sizeof *d->blocks, compare_blocks);
    }
    struct json *header = json_new_object();
    int64_t offset = 0;
    for (size_t i = 0; i < d->n_blocks; i++) {
        json_set(header, d->blocks[i].name, header_entry(&d->blocks[i], offset));
        offset += (int64_t)d->blocks[i].data.size;
    }
    struct buf text = {0}, file = {0};
    json_print(&text, header, 0);
    json_free(header);
    while (text.size % 8 != 0) {
        buf_putc(&text, ' ');
    }
    for (int i = 0; i < 8; i++) {
        buf_putc(&file, (char)((uint64_t)text.size >> (8 * i) & 0xff));
    }
    buf_append(&file, text.data, text.size);
    for (size_t i = 0; i < d->n_blocks; i++) {
        buf_append(&file, d->blocks[i].data.data, d->blocks[i].data.size);
    }
    bool ok = file_write(path, file.data, file.size, err);
    buf_free(&text);
    buf_free(&file);
    return ok;
}
