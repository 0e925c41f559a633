/* One sorted table of names over all shards. The header comes from outside, so every number in it
 * is checked against the file before use. */
#include "flux/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "flux/file_map.h"

enum { HEADER_LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100 << 20 };

struct entry {
    char *name;       /* owned */
    const char *type; /* "F32", ... of TYPES, or "?" */
    int rank;         /* -1: more axes than a tensor can have */
    int64_t dims[TENSOR_MAX_RANK];
    const char *data;
};

struct safetensors {
    struct file_map *mappings;
    size_t n_mappings;
    struct entry *entries; /* sorted by name */
    size_t n_entries;
};

/* Types that a checkpoint may hold. Those we compute with have a dtype. */
static const struct {
    const char *name;
    size_t bytes;
    int dtype; /* enum dtype, or -1: can be stored but not used */
} TYPES[] = {
    {"F32", 4, DTYPE_F32}, {"BF16", 2, DTYPE_BF16}, {"F16", 2, DTYPE_F16}, {"I32", 4, DTYPE_I32},
    {"U8", 1, DTYPE_U8},   {"F64", 8, -1},          {"I64", 8, -1},        {"I16", 2, -1},
    {"I8", 1, -1},         {"BOOL", 1, -1},         {"U16", 2, -1},        {"U32", 4, -1},
    {"U64", 8, -1},        {"F8_E4M3", 1, -1},      {"F8_E5M2", 1, -1},
};
enum { N_TYPES = sizeof TYPES / sizeof TYPES[0] };

static int type_index(const char *name)
{
    for (int i = 0; i < N_TYPES; i++) {
        if (strcmp(TYPES[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* --- header -----------------------------------------------------------------------------------*/

/* A whole number in [0, limit], read from a JSON number. */
static bool read_size(const struct json *node, uint64_t limit, uint64_t *value)
{
    if (node == NULL || json_type(node) != JSON_NUMBER) {
        return false;
    }
    double x = json_number(node);
    if (!(x >= 0 && x <= (double)limit && x <= 0x1p53) || x != (double)(uint64_t)x) {
        return false;
    }
    *value = (uint64_t)x;
    return true;
}

/* Fill e from one member of the header; data_bytes is the size of the area behind it. */
static bool read_entry(struct entry *e, const struct json *node, const char *data,
                       uint64_t data_bytes, struct error *err)
{
    const char *type = NULL;
    if (!json_read_string(node, "dtype", &type, err)) {
        return false;
    }
    int index = type == NULL ? -1 : type_index(type);
    if (index < 0) {
        return fail(err, ERR_INVALID, "dtype %s is unknown", type == NULL ? "(none)" : type);
    }
    e->type = TYPES[index].name;

    const struct json *shape = json_get(node, "shape");
    if (shape == NULL || json_type(shape) != JSON_ARRAY) {
        return fail(err, ERR_INVALID, "shape is missing or no array");
    }
    uint64_t bytes = TYPES[index].bytes;
    e->rank = json_size(shape) > TENSOR_MAX_RANK ? -1 : (int)json_size(shape);
    int axis = 0;
    for (const struct json *dim = json_first(shape); dim != NULL; dim = json_next(dim), axis++) {
        uint64_t size;
        if (!read_size(dim, UINT32_MAX, &size) || __builtin_mul_overflow(bytes, size, &bytes)) {
            return fail(err, ERR_INVALID, "shape[%d] is no size", axis);
        }
        if (axis < TENSOR_MAX_RANK) {
            e->dims[axis] = (int64_t)size;
        }
    }

    const struct json *offsets = json_get(node, "data_offsets");
    uint64_t begin, end;
    if (offsets == NULL || json_type(offsets) != JSON_ARRAY || json_size(offsets) != 2 ||
        !read_size(json_first(offsets), data_bytes, &begin) ||
        !read_size(json_next(json_first(offsets)), data_bytes, &end) || begin > end) {
        return fail(err, ERR_INVALID, "data_offsets are not two positions within %llu data bytes",
                    (unsigned long long)data_bytes);
    }
    if (end - begin != bytes) {
        return fail(err, ERR_INVALID, "data_offsets span %llu bytes, dtype and shape need %llu",
                    (unsigned long long)(end - begin), (unsigned long long)bytes);
    }
    e->data = data + begin;
    return true;
}

static bool add_entries(struct safetensors *s, const struct json *header, const char *data,
                        uint64_t data_bytes, struct error *err)
{
    size_t room = s->n_entries + json_size(header);
    s->entries = xrealloc(s->entries, (room + 1) * sizeof *s->entries);
    for (const struct json *node = json_first(header); node != NULL; node = json_next(node)) {
        if (strcmp(json_key(node), "__metadata__") == 0) {
            continue;
        }
        struct entry e = {0};
        if (json_type(node) != JSON_OBJECT || !read_entry(&e, node, data, data_bytes, err)) {
            (void)fail(err, ERR_INVALID, "entry is no object");
            return error_prefix(err, "tensor '%.120s'", json_key(node));
        }
        e.name = xstrdup(json_key(node));
        s->entries[s->n_entries++] = e;
    }
    return true;
}

/* --- files ------------------------------------------------------------------------------------*/

static bool add_file(struct safetensors *s, const char *path, struct error *err)
{
    struct file_map m;
    if (!file_map_open(&m, path, err)) {
        return error_prefix(err, "%s", path);
    }
    s->mappings = xrealloc(s->mappings, (s->n_mappings + 1) * sizeof *s->mappings);
    s->mappings[s->n_mappings++] = m;

    const unsigned char *bytes = m.address;
    if (bytes == NULL || m.size < HEADER_LENGTH_BYTES) {
        (void)fail(err, ERR_INVALID, "is too short (%zu bytes) for a safetensors header", m.size);
        return error_prefix(err, "%s", path);
    }
    uint64_t length = 0;
    for (int i = HEADER_LENGTH_BYTES - 1; i >= 0; i--) {
        length = length << 8 | bytes[i];
    }
    if (length > m.size - HEADER_LENGTH_BYTES || length > MAX_HEADER_BYTES) {
        (void)fail(err, ERR_INVALID,
                   "header of %llu bytes does not fit the file of %zu: truncated?",
                   (unsigned long long)length, m.size);
        return error_prefix(err, "%s", path);
    }
    struct json *header = json_parse((const char *)bytes + HEADER_LENGTH_BYTES, length, err);
    bool ok = header != NULL;
    if (ok && json_type(header) != JSON_OBJECT) {
        ok = fail(err, ERR_INVALID, "header is no object");
    }
    ok = ok && add_entries(s, header, (const char *)bytes + HEADER_LENGTH_BYTES + length,
                           m.size - HEADER_LENGTH_BYTES - length, err);
    json_free(header);
    return ok || error_prefix(err, "%s", path);
}

static bool was_listed(char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Open every shard that the index's weight_map names, once each. */
static bool add_shards(struct safetensors *s, const char *dir, const struct json *index,
                       struct error *err)
{
    const struct json *map = json_get(index, "weight_map");
    if (map == NULL || json_type(map) != JSON_OBJECT || json_size(map) == 0) {
        return fail(err, ERR_INVALID, "weight_map is missing or empty");
    }
    char **shards = NULL;
    size_t n_shards = 0;
    bool ok = true;
    for (const struct json *node = json_first(map); ok && node != NULL; node = json_next(node)) {
        const char *file = json_type(node) == JSON_STRING ? json_string(node) : "";
        if (file[0] == '\0' || strchr(file, '/') != NULL) {
            ok = fail(err, ERR_INVALID, "weight_map['%.120s'] is no file name", json_key(node));
        } else if (!was_listed(shards, n_shards, file)) {
            shards = xrealloc(shards, (n_shards + 1) * sizeof *shards);
            shards[n_shards++] = xstrdup(file);
        }
    }
    for (size_t i = 0; i < n_shards; i++) {
        char *path = xasprintf("%s/%s", dir, shards[i]);
        ok = ok && add_file(s, path, err);
        free(path);
        free(shards[i]);
    }
    free(shards);
    return ok;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static bool sort_entries(struct safetensors *s, struct error *err)
{
    if (s->n_entries > 1) {
        qsort(s->entries, s->n_entries, sizeof *s->entries, compare_entries);
    }
    for (size_t i = 1; i < s->n_entries; i++) {
        if (strcmp(s->entries[i - 1].name, s->entries[i].name) == 0) {
            return fail(err, ERR_INVALID, "tensor '%.120s' occurs twice", s->entries[i].name);
        }
    }
    return true;
}

/* --- public -----------------------------------------------------------------------------------*/

bool safetensors_open_file(struct safetensors **out, const char *path, struct error *err)
{
    *out = xcalloc(1, sizeof **out);
    if (add_file(*out, path, err) && (sort_entries(*out, err) || error_prefix(err, "%s", path))) {
        return true;
    }
    safetensors_close(*out);
    *out = NULL;
    return false;
}

bool safetensors_open(struct safetensors **out, const char *dir, const char *base,
                      struct error *err)
{
    *out = NULL;
    char *single = xasprintf("%s/%s.safetensors", dir, base);
    char *index_path = xasprintf("%s/%s.safetensors.index.json", dir, base);
    bool ok;
    if (file_exists(single)) {
        ok = safetensors_open_file(out, single, err);
    } else if (file_exists(index_path)) {
        *out = xcalloc(1, sizeof **out);
        struct json *index = json_read_file(index_path, err);
        ok = index != NULL &&
             (add_shards(*out, dir, index, err) || error_prefix(err, "%s", index_path)) &&
             (sort_entries(*out, err) || error_prefix(err, "%s", dir));
        json_free(index);
    } else {
        ok = fail(err, ERR_NOT_FOUND, "%s: no such file, nor %s.safetensors.index.json", single,
                  base);
    }
    if (!ok) {
        safetensors_close(*out);
        *out = NULL;
    }
    free(single);
    free(index_path);
    return ok;
}

void safetensors_close(struct safetensors *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->n_mappings; i++) {
        file_map_close(&s->mappings[i]);
    }
    for (size_t i = 0; i < s->n_entries; i++) {
        free(s->entries[i].name);
    }
    free(s->mappings);
    free(s->entries);
    free(s);
}

size_t safetensors_count(const struct safetensors *s) { return s->n_entries; }

const char *safetensors_name(const struct safetensors *s, size_t index)
{
    return s->entries[index].name;
}

static const struct entry *find_entry(const struct safetensors *s, const char *name)
{
    struct entry key = {.name = (char *)(uintptr_t)name};
    return s->n_entries == 0 ? NULL
                             : bsearch(&key, s->entries, s->n_entries, sizeof key, compare_entries);
}

bool safetensors_find(const struct safetensors *s, const char *name, struct tensor *out,
                      struct error *err)
{
    const struct entry *e = find_entry(s, name);
    if (e == NULL) {
        return fail(err, ERR_NOT_FOUND, "%s: missing", name);
    }
    int dtype = TYPES[type_index(e->type)].dtype;
    if (dtype < 0) {
        return fail(err, ERR_INVALID, "%s: dtype %s can't be used (F32, BF16 or F16 can)", name,
                    e->type);
    }
    if (e->rank < 0) {
        return fail(err, ERR_INVALID, "%s: more than %d axes", name, TENSOR_MAX_RANK);
    }
    if ((uintptr_t)e->data % dtype_bytes((enum dtype)dtype) != 0) {
        return fail(err, ERR_INVALID, "%s: data is not aligned to its type", name);
    }
    struct shape shape = {.rank = e->rank == 0 ? 1 : e->rank, .dims = {1}};
    memcpy(shape.dims, e->rank == 0 ? shape.dims : e->dims, sizeof shape.dims);
    *out = tensor_make((void *)(uintptr_t)e->data, (enum dtype)dtype, shape);
    return true;
}

static bool raw_of(const struct entry *e, struct safetensors_raw *out, struct error *err)
{
    if (e->rank < 0) {
        return fail(err, ERR_INVALID, "%s: more than %d axes", e->name, TENSOR_MAX_RANK);
    }
    *out = (struct safetensors_raw){.name = e->name,
                                    .type = e->type,
                                    .type_bytes = TYPES[type_index(e->type)].bytes,
                                    .rank = e->rank,
                                    .data = e->data};
    out->bytes = out->type_bytes;
    for (int i = 0; i < e->rank; i++) {
        out->dims[i] = e->dims[i];
        out->bytes *= (size_t)e->dims[i];
    }
    return true;
}

bool safetensors_raw(const struct safetensors *s, size_t index, struct safetensors_raw *out,
                     struct error *err)
{
    return raw_of(&s->entries[index], out, err);
}

bool safetensors_find_raw(const struct safetensors *s, const char *name,
                          struct safetensors_raw *out)
{
    const struct entry *e = find_entry(s, name);
    return e != NULL && raw_of(e, out, NULL);
}
