/* A cursor walks through the header; each read is checked against what is left. Counts and sizes
 * come from outside: none is used before it is bounded by the size of the file. */
#include "flux/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flux/file_map.h"

static const char MAGIC[4] = "GGUF";
enum {
    FIRST_VERSION = 2,
    LAST_VERSION = 3,
    DEFAULT_ALIGNMENT = 32,
    MIN_ALIGNMENT = 8, /* that of the largest plain number */
    MAX_ALIGNMENT = 1 << 20,
    MAX_NAME_BYTES = 1024,
    MAX_NESTING = 4,      /* of arrays */
    MIN_TENSOR_BYTES = 24 /* of a tensor's description: name length, axes, type, offset */
};

struct entry {
    char *name; /* owned */
    uint64_t offset, bytes;
    struct gguf_tensor tensor;
};

struct gguf {
    struct file_map map;
    uint64_t alignment;
    char *architecture; /* owned, or NULL */
    struct entry *entries;
    size_t n_entries;
};

/* --- the cursor -------------------------------------------------------------------------------*/

struct cursor {
    const uint8_t *at;
    size_t left;
};

static const uint8_t *take(struct cursor *c, uint64_t n, struct error *err)
{
    if (n > c->left) {
        (void)fail(err, ERR_INVALID, "the file ends inside its header: truncated?");
        return NULL;
    }
    const uint8_t *bytes = c->at;
    c->at += n;
    c->left -= n;
    return bytes;
}

/* A little-endian number of n bytes. */
static bool take_number(struct cursor *c, int n, uint64_t *value, struct error *err)
{
    const uint8_t *bytes = take(c, (uint64_t)n, err);
    *value = 0;
    for (int i = n - 1; bytes != NULL && i >= 0; i--) {
        *value = *value << 8 | bytes[i];
    }
    return bytes != NULL;
}

static bool take_u32(struct cursor *c, uint32_t *value, struct error *err)
{
    uint64_t wide;
    bool ok = take_number(c, 4, &wide, err);
    *value = (uint32_t)wide;
    return ok;
}

/* A string as a window on the file. */
static bool take_string(struct cursor *c, const char **text, size_t *size, struct error *err)
{
    uint64_t length;
    if (!take_number(c, 8, &length, err)) {
        return false;
    }
    *text = (const char *)take(c, length, err);
    *size = (size_t)length;
    return *text != NULL;
}

/* --- key-value pairs --------------------------------------------------------------------------*/

enum value_type { VALUE_U32 = 4, VALUE_STRING = 8, VALUE_ARRAY = 9 };

/* Bytes of a value by its type; 0: string and array, which say their length themselves. */
static const uint8_t VALUE_BYTES[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static bool is_value_type(uint32_t type, struct error *err)
{
    return type < sizeof VALUE_BYTES ||
           fail(err, ERR_INVALID, "value type %u is unknown: must be 0 to %zu", type,
                sizeof VALUE_BYTES - 1);
}

static bool skip_value(struct cursor *c, uint32_t type, int depth, struct error *err)
{
    if (VALUE_BYTES[type] > 0) {
        return take(c, VALUE_BYTES[type], err) != NULL;
    }
    if (type == VALUE_STRING) {
        const char *text;
        size_t size;
        return take_string(c, &text, &size, err);
    }
    uint32_t item;
    uint64_t count, bytes;
    if (!take_u32(c, &item, err) || !is_value_type(item, err) || !take_number(c, 8, &count, err)) {
        return false;
    }
    if (VALUE_BYTES[item] > 0) {
        return __builtin_mul_overflow(count, VALUE_BYTES[item], &bytes)
                   ? fail(err, ERR_INVALID, "an array of %llu values does not fit the file",
                          (unsigned long long)count)
                   : take(c, bytes, err) != NULL;
    }
    if (depth == MAX_NESTING) {
        return fail(err, ERR_INVALID, "arrays are nested more than %d deep", MAX_NESTING);
    }
    bool ok = true;
    for (uint64_t i = 0; ok && i < count; i++) { /* each takes bytes, so the file's end ends it */
        ok = skip_value(c, item, depth + 1, err);
    }
    return ok;
}

static bool is_key(const char *key, size_t size, const char *name)
{
    return size == strlen(name) && memcmp(key, name, size) == 0;
}

static bool want_type(uint32_t type, enum value_type wanted, struct error *err)
{
    return type == wanted || fail(err, ERR_INVALID, "value type %u, must be %d", type, (int)wanted);
}

static bool read_value(struct gguf *g, struct cursor *c, const char *key, size_t key_size,
                       struct error *err)
{
    uint32_t type;
    if (!take_u32(c, &type, err) || !is_value_type(type, err)) {
        return false;
    }
    if (is_key(key, key_size, "general.alignment")) {
        if (!want_type(type, VALUE_U32, err) || !take_number(c, 4, &g->alignment, err)) {
            return false;
        }
        bool is_power = (g->alignment & (g->alignment - 1)) == 0;
        return (is_power && g->alignment >= MIN_ALIGNMENT && g->alignment <= MAX_ALIGNMENT) ||
               fail(err, ERR_INVALID, "%llu, must be a power of two from %d to %d",
                    (unsigned long long)g->alignment, MIN_ALIGNMENT, MAX_ALIGNMENT);
    }
    if (is_key(key, key_size, "general.architecture")) {
        const char *text;
        size_t size;
        if (!want_type(type, VALUE_STRING, err) || !take_string(c, &text, &size, err)) {
            return false;
        }
        free(g->architecture);
        g->architecture = xstrndup(text, size < MAX_NAME_BYTES ? size : MAX_NAME_BYTES);
        return true;
    }
    return skip_value(c, type, 0, err);
}

static bool read_pairs(struct gguf *g, struct cursor *c, uint64_t count, struct error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        const char *key = "";
        size_t size = 0;
        if (!take_string(c, &key, &size, err)) {
            return error_prefix(err, "key %llu of %llu", (unsigned long long)i,
                                (unsigned long long)count);
        }
        if (!read_value(g, c, key, size, err)) {
            return error_prefix(err, "key '%.*s'", size < 120 ? (int)size : 120, key);
        }
    }
    return true;
}

/* --- tensors ----------------------------------------------------------------------------------*/

/* Axes, fastest first, into e->tensor, and the size of it all into e->bytes. */
static bool read_shape(struct entry *e, struct cursor *c, struct error *err)
{
    uint32_t rank, id;
    uint64_t dims[TENSOR_MAX_RANK] = {0}, elements = 1;
    if (!take_u32(c, &rank, err)) {
        return false;
    }
    if (rank < 1 || rank > TENSOR_MAX_RANK) {
        return fail(err, ERR_INVALID, "%u axes, must be 1 to %d", rank, TENSOR_MAX_RANK);
    }
    for (uint32_t i = 0; i < rank; i++) {
        if (!take_number(c, 8, &dims[i], err)) {
            return false;
        }
        if (dims[i] < 1 || __builtin_mul_overflow(elements, dims[i], &elements) ||
            elements > INT64_MAX / sizeof(float)) {
            return fail(err, ERR_INVALID, "axis %u of %llu makes no possible size", i,
                        (unsigned long long)dims[i]);
        }
        e->tensor.dims[rank - 1 - i] = (int64_t)dims[i];
    }
    e->tensor.rank = (int)rank;
    if (!take_u32(c, &id, err) || !take_number(c, 8, &e->offset, err)) {
        return false;
    }
    const struct ggml_format *f = e->tensor.format = ggml_format_find(id);
    if (f == NULL) {
        return fail(err, ERR_INVALID, "number format %u can't be read (%s can)", id,
                    ggml_format_names());
    }
    if (dims[0] % (uint64_t)f->block_values != 0) {
        return fail(err, ERR_INVALID, "rows of %llu values are no multiple of %s's blocks of %d",
                    (unsigned long long)dims[0], f->name, f->block_values);
    }
    e->bytes = elements / (uint64_t)f->block_values * (uint64_t)f->block_bytes;
    return true;
}

static bool read_tensors(struct gguf *g, struct cursor *c, uint64_t count, struct error *err)
{
    if (count > c->left / MIN_TENSOR_BYTES) {
        return fail(err, ERR_INVALID, "%llu tensors do not fit the file: truncated?",
                    (unsigned long long)count);
    }
    g->entries = xcalloc((size_t)count + 1, sizeof *g->entries);
    for (uint64_t i = 0; i < count; i++) {
        struct entry *e = &g->entries[g->n_entries];
        const char *name = "";
        size_t size = 0;
        if (!take_string(c, &name, &size, err)) {
            return error_prefix(err, "tensor %llu of %llu", (unsigned long long)i,
                                (unsigned long long)count);
        }
        if (size > MAX_NAME_BYTES) {
            return fail(err, ERR_INVALID, "tensor %llu has a name of %zu bytes, at most %d can be",
                        (unsigned long long)i, size, MAX_NAME_BYTES);
        }
        e->name = xstrndup(name, size);
        g->n_entries++;
        if (!read_shape(e, c, err)) {
            return error_prefix(err, "tensor '%.120s'", e->name);
        }
    }
    return true;
}

static int by_offset(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* Point every entry at its bytes in the data area behind the header. */
static bool place_tensors(struct gguf *g, const uint8_t *data, uint64_t data_bytes,
                          struct error *err)
{
    qsort(g->entries, g->n_entries, sizeof *g->entries, by_offset);
    for (size_t i = 0; i < g->n_entries; i++) {
        struct entry *e = &g->entries[i];
        const struct entry *before = i == 0 ? NULL : &g->entries[i - 1];
        if (e->offset % g->alignment != 0) {
            return fail(err, ERR_INVALID, "tensor '%.120s': offset %llu is no multiple of %llu",
                        e->name, (unsigned long long)e->offset, (unsigned long long)g->alignment);
        }
        if (e->offset > data_bytes || e->bytes > data_bytes - e->offset) {
            return fail(err, ERR_INVALID,
                        "tensor '%.120s': %llu bytes from %llu do not fit the file's %llu bytes of "
                        "data: truncated?",
                        e->name, (unsigned long long)e->bytes, (unsigned long long)e->offset,
                        (unsigned long long)data_bytes);
        }
        if (before != NULL && e->offset - before->offset < before->bytes) {
            return fail(err, ERR_INVALID, "tensors '%.80s' and '%.80s' overlap", before->name,
                        e->name);
        }
        e->tensor.data = data + e->offset;
    }
    qsort(g->entries, g->n_entries, sizeof *g->entries, by_name);
    for (size_t i = 1; i < g->n_entries; i++) {
        if (strcmp(g->entries[i - 1].name, g->entries[i].name) == 0) {
            return fail(err, ERR_INVALID, "tensor '%.120s' occurs twice", g->entries[i].name);
        }
    }
    return true;
}

/* --- the file ---------------------------------------------------------------------------------*/

static bool read_file(struct gguf *g, struct error *err)
{
    struct cursor c = {.at = g->map.address, .left = g->map.size};
    if (g->map.size < sizeof MAGIC || memcmp(g->map.address, MAGIC, sizeof MAGIC) != 0) {
        return fail(err, ERR_INVALID, "is no GGUF file: it does not begin with the letters GGUF");
    }
    (void)take(&c, sizeof MAGIC, err);
    uint32_t version;
    uint64_t n_tensors, n_pairs;
    if (!take_u32(&c, &version, err)) {
        return false;
    }
    if (version < FIRST_VERSION || version > LAST_VERSION) {
        return fail(err, ERR_INVALID, "version %u of GGUF can't be read: must be %d or %d%s",
                    version, FIRST_VERSION, LAST_VERSION,
                    version > UINT16_MAX ? ", little-endian" : "");
    }
    if (!take_number(&c, 8, &n_tensors, err) || !take_number(&c, 8, &n_pairs, err) ||
        !read_pairs(g, &c, n_pairs, err) || !read_tensors(g, &c, n_tensors, err)) {
        return false;
    }
    uint64_t header = g->map.size - c.left;
    uint64_t begin = (header + g->alignment - 1) / g->alignment * g->alignment;
    uint64_t data_bytes = begin < g->map.size ? g->map.size - begin : 0;
    return place_tensors(g, (const uint8_t *)g->map.address + (data_bytes > 0 ? begin : 0),
                         data_bytes, err);
}

bool gguf_open(struct gguf **out, const char *path, struct error *err)
{
    struct gguf *g = xcalloc(1, sizeof *g);
    g->alignment = DEFAULT_ALIGNMENT;
    if (file_map_open(&g->map, path, err) && read_file(g, err)) {
        *out = g;
        return true;
    }
    gguf_close(g);
    *out = NULL;
    return error_prefix(err, "%s", path);
}

void gguf_close(struct gguf *g)
{
    if (g == NULL) {
        return;
    }
    for (size_t i = 0; i < g->n_entries; i++) {
        free(g->entries[i].name);
    }
    free(g->entries);
    free(g->architecture);
    file_map_close(&g->map);
    free(g);
}

const char *gguf_architecture(const struct gguf *g)
{
    return g->architecture == NULL ? "" : g->architecture;
}

size_t gguf_count(const struct gguf *g) { return g->n_entries; }

const char *gguf_name(const struct gguf *g, size_t index) { return g->entries[index].name; }

bool gguf_find(const struct gguf *g, const char *name, struct gguf_tensor *out, struct error *err)
{
    struct entry key = {.name = (char *)(uintptr_t)name};
    const struct entry *e =
        g->n_entries == 0 ? NULL : bsearch(&key, g->entries, g->n_entries, sizeof key, by_name);
    if (e == NULL) {
        return fail(err, ERR_NOT_FOUND, "%s: missing", name);
    }
    *out = e->tensor;
    return true;
}
