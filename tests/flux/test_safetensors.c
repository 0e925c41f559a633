/* Files from outside: every number in a header may be a lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flux/dump.h"
#include "flux/safetensors.h"
#include "tests/flux/folder.h"

#include <cmocka.h> /* last: it defines fail */

/* A file of that header text and so many zero bytes of data. */
static char *file_with(const char *folder, const char *name, const char *header, size_t data_bytes)
{
    struct buf file = {0};
    uint64_t length = strlen(header);
    for (int i = 0; i < 8; i++) {
        buf_putc(&file, (char)(length >> (8 * i) & 0xff));
    }
    buf_puts(&file, header);
    for (size_t i = 0; i < data_bytes; i++) {
        buf_putc(&file, (char)i);
    }
    folder_write(folder, name, file.data, file.size);
    buf_free(&file);
    return xasprintf("%s/%s", folder, name);
}

/* The error text for a header, which must be refused. */
static void assert_refused(const char *header, size_t data_bytes, const char *reason)
{
    char *folder = folder_new();
    char *path = file_with(folder, "x.safetensors", header, data_bytes);
    struct safetensors *s = NULL;
    struct error err = {0};
    assert_false(safetensors_open_file(&s, path, &err));
    assert_null(s);
    if (strstr(err.text, reason) == NULL || strstr(err.text, "x.safetensors") == NULL) {
        fail_msg("'%s' does not name the file and '%s'", err.text, reason);
    }
    free(path);
    folder_delete(folder);
}

static void malformed_headers_are_refused_by_name(void **state)
{
    (void)state;
    assert_refused("[]", 0, "no object");
    assert_refused("{", 0, "line 1");
    assert_refused("{\"w\":3}", 0, "'w'");
    assert_refused("{\"w\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype");
    assert_refused("{\"w\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "F33");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "shape");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
                   "shape[0]");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", 8,
                   "shape[0]");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 8,
                   "4 bytes");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,16]}}", 8,
                   "data_offsets");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8,
                   "data_offsets");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8,
                   "data_offsets");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967295,4294967295,4294967295],"
                   "\"data_offsets\":[0,8]}}",
                   8, "shape[1]");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                   8, "twice");
}

static void short_and_missing_files_are_refused(void **state)
{
    (void)state;
    char *folder = folder_new();
    struct safetensors *s = NULL;
    struct error err = {0}, empty = {0}, truncated = {0}, none = {0};
    folder_write(folder, "a.safetensors", "abc", 3);
    folder_write(folder, "b.safetensors", "\xff\xff\xff\xff\0\0\0\0{}", 10);
    folder_write(folder, "empty.safetensors", "", 0);
    assert_false(safetensors_open(&s, folder, "a", &err));
    assert_non_null(strstr(err.text, "too short"));
    assert_false(safetensors_open(&s, folder, "b", &truncated));
    assert_non_null(strstr(truncated.text, "does not fit"));
    assert_false(safetensors_open(&s, folder, "empty", &empty));
    assert_false(safetensors_open(&s, folder, "c", &none));
    assert_int_equal(none.code, ERR_NOT_FOUND);
    assert_non_null(strstr(none.text, "c.safetensors.index.json"));
    folder_delete(folder);
}

static void tensors_are_found_by_name(void **state)
{
    (void)state;
    char *folder = folder_new();
    char *path = file_with(folder, "m.safetensors",
                           "{\"__metadata__\":{\"format\":\"pt\"},"
                           "\"b\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[4,10]},"
                           "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                           "\"odd\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[10,10]}}",
                           10);
    struct safetensors *s = NULL;
    struct tensor t;
    struct error err = {0};
    assert_true(safetensors_open(&s, folder, "m", &err));
    assert_int_equal(safetensors_count(s), 3);
    assert_string_equal(safetensors_name(s, 0), "a");
    assert_true(safetensors_find(s, "b", &t, &err));
    assert_int_equal(t.rank, 2);
    assert_int_equal(((const uint8_t *)t.data)[5], 9);
    assert_true(safetensors_find(s, "a", &t, &err));
    assert_int_equal(t.rank, 1); /* a scalar reads as [1] */
    assert_false(safetensors_find(s, "odd", &t, &err));
    assert_non_null(strstr(err.text, "I64"));
    err = (struct error){0};
    assert_false(safetensors_find(s, "nobody", &t, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    safetensors_close(s);
    free(path);
    folder_delete(folder);
}

static void shards_are_one_set(void **state)
{
    (void)state;
    char *folder = folder_new();
    struct safetensors *s = NULL;
    struct tensor t;
    struct error err = {0};
    free(file_with(folder, "m-1.safetensors",
                   "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}} ", 1));
    free(file_with(folder, "m-2.safetensors",
                   "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}} ", 1));
    const char *index = "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}}";
    folder_write(folder, "m.safetensors.index.json", index, strlen(index));
    assert_true(safetensors_open(&s, folder, "m", &err));
    assert_true(safetensors_find(s, "a", &t, &err) && safetensors_find(s, "b", &t, &err));
    safetensors_close(s);

    folder_remove(folder, "m-2.safetensors");
    assert_false(safetensors_open(&s, folder, "m", &err));
    assert_non_null(strstr(err.text, "m-2.safetensors"));
    err = (struct error){0};
    folder_edit(folder, "m.safetensors.index.json", "m-2.safetensors", "../m-2.safetensors");
    assert_false(safetensors_open(&s, folder, "m", &err));
    assert_non_null(strstr(err.text, "no file name"));
    folder_delete(folder);
}

static void a_dump_reads_back(void **state)
{
    (void)state;
    char *folder = folder_new(), *path = xasprintf("%s/d.safetensors", folder);
    struct flux_dump *d = flux_dump_new();
    uint8_t bytes[3] = {1, 2, 3};
    float floats[2] = {0.5f, -2.0f};
    struct error err = {0};
    dump_host(d, "bytes", tensor_make(bytes, DTYPE_U8, SHAPE(3)));
    dump_floats(d, "half", DTYPE_BF16, floats, SHAPE(1, 2));
    dump_floats(d, "half", DTYPE_F32, floats, SHAPE(2)); /* the first of a name is kept */
    dump_double(d, "mu", 0.1);
    assert_true(flux_dump_write(d, path, &err));
    struct safetensors *s = NULL;
    struct tensor t;
    assert_true(safetensors_open_file(&s, path, &err));
    assert_int_equal(safetensors_count(s), 3);
    assert_true(safetensors_find(s, "bytes", &t, &err));
    assert_memory_equal(t.data, bytes, 3);
    assert_true(safetensors_find(s, "half", &t, &err));
    assert_int_equal(t.dtype, DTYPE_BF16);
    assert_int_equal(((const uint16_t *)t.data)[1], 0xc000);
    safetensors_close(s);
    flux_dump_free(d);
    free(path);
    folder_delete(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_headers_are_refused_by_name),
        cmocka_unit_test(short_and_missing_files_are_refused),
        cmocka_unit_test(tensors_are_found_by_name),
        cmocka_unit_test(shards_are_one_set),
        cmocka_unit_test(a_dump_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
