/* Number formats against values that another reader computed, and files in which a number lies. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flux/gguf.h"
#include "flux/safetensors.h"
#include "tensor/dtype.h"
#include "tests/flux/folder.h"

#include <cmocka.h> /* last: it defines fail */

#define DATA FLUXBENCH_SOURCE_DIR "/tests/data/gguf"

static void every_format_decodes_as_elsewhere(void **state)
{
    (void)state;
    struct gguf *g = NULL;
    struct safetensors *s = NULL;
    struct error err = {0};
    assert_true(gguf_open(&g, DATA "/formats.gguf", &err));
    assert_true(safetensors_open_file(&s, DATA "/formats.safetensors", &err));
    assert_string_equal(gguf_architecture(g), "flux");
    assert_int_equal(gguf_count(g), 13);
    for (size_t i = 0; i < gguf_count(g); i++) {
        struct gguf_tensor t;
        struct tensor want;
        assert_true(gguf_find(g, gguf_name(g, i), &t, &err));
        assert_true(safetensors_find(s, gguf_name(g, i), &want, &err));
        assert_string_equal(t.format->name, gguf_name(g, i));
        assert_non_null(strstr(ggml_format_names(), t.format->name));
        assert_int_equal(t.rank, 2);
        assert_int_equal(t.dims[0], 3);
        assert_int_equal(t.dims[1], 256);
        float got[3 * 256];
        if (t.format->decode != NULL) {
            ggml_decode(t.format, got, t.data, 3 * 256);
        }
        for (int k = 0; k < 3 * 256; k++) {
            float x = t.format->decode != NULL ? got[k]
                                               : dtype_load(t.data, (enum dtype)t.format->dtype, k);
            if (x != ((const float *)want.data)[k]) { /* bit for bit: same products, same order */
                fail_msg("%s[%d] is %g, must be %g", t.format->name, k, (double)x,
                         (double)((const float *)want.data)[k]);
            }
        }
    }
    gguf_close(g);
    safetensors_close(s);
}

/* --- files made by hand -----------------------------------------------------------------------*/

static void put(struct buf *b, int n, uint64_t value)
{
    for (int i = 0; i < n; i++) {
        buf_putc(b, (char)(value >> (8 * i) & 0xff));
    }
}

static void put_string(struct buf *b, const char *text)
{
    put(b, 8, strlen(text));
    buf_puts(b, text);
}

/* What a file says; zero-initialised members are those of a good file with one tensor. */
struct lies {
    const char *magic;
    uint32_t version, type;
    uint64_t n_tensors, n_pairs, offset, second_offset, alignment, rank;
    uint64_t dims[5];
    const char *second; /* name of a second tensor */
    size_t data_bytes;
    size_t cut; /* bytes taken from the end */
};

static uint64_t or_else(uint64_t value, uint64_t usual) { return value != 0 ? value : usual; }

static void put_tensor(struct buf *b, const struct lies *l, const char *name, uint64_t offset)
{
    put_string(b, name);
    uint64_t rank = or_else(l->rank, 2);
    put(b, 4, rank);
    for (uint64_t i = 0; i < rank && i < 5; i++) {
        put(b, 8, or_else(l->dims[i], i == 0 ? 32 : 1));
    }
    put(b, 4, l->type);
    put(b, 8, offset);
}

static struct buf file_of(const struct lies *l)
{
    struct buf b = {0};
    uint64_t alignment = or_else(l->alignment, 32);
    buf_puts(&b, l->magic != NULL ? l->magic : "GGUF");
    put(&b, 4, or_else(l->version, 3));
    put(&b, 8, or_else(l->n_tensors, l->second != NULL ? 2 : 1));
    put(&b, 8, or_else(l->n_pairs, 1));
    put_string(&b, "general.alignment");
    put(&b, 4, 4);
    put(&b, 4, alignment);
    put_tensor(&b, l, "w", l->offset);
    if (l->second != NULL) {
        put_tensor(&b, l, l->second, or_else(l->second_offset, 128));
    }
    while (b.size % 32 != 0) {
        buf_putc(&b, 0);
    }
    for (size_t i = 0; i < or_else(l->data_bytes, 256); i++) {
        buf_putc(&b, (char)i);
    }
    b.size -= l->cut;
    return b;
}

/* The error for these bytes, or "" when they are accepted. The caller frees it. */
static char *judge(const void *bytes, size_t size)
{
    char *folder = folder_new(), *path = xasprintf("%s/x.gguf", folder);
    struct gguf *g = NULL;
    struct error err = {0};
    folder_write(folder, "x.gguf", bytes, size);
    bool ok = gguf_open(&g, path, &err);
    assert_true(ok == (g != NULL));
    if (!ok) {
        assert_non_null(strstr(err.text, "x.gguf: "));
    }
    gguf_close(g);
    free(path);
    folder_delete(folder);
    return xstrdup(ok ? "" : err.text);
}

static void a_good_file_is_accepted(void **state)
{
    (void)state;
    const struct lies good[] = {{0}, {.second = "v"}, {.version = 2}, {.alignment = 64}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct buf b = file_of(&good[i]);
        char *text = judge(b.data, b.size);
        assert_string_equal(text, "");
        free(text);
        buf_free(&b);
    }
}

static void lies_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct lies lies;
        const char *reason, *also;
    } CASES[] = {
        {{.magic = "GGML"}, "letters GGUF", ""},
        {{.version = 1}, "version 1 of GGUF", "must be 2 or 3"},
        {{.version = 4}, "version 4 of GGUF", "must be 2 or 3"},
        {{.version = 0x03000000}, "little-endian", ""},
        {{.n_tensors = 3}, "tensor ''", "0 axes"},
        {{.n_tensors = UINT64_MAX}, "18446744073709551615 tensors", "truncated?"},
        {{.n_pairs = 2}, "ends inside its header", "truncated?"},
        {{.alignment = 24}, "key 'general.alignment'", "power of two"},
        {{.alignment = 4}, "key 'general.alignment'", "from 8"},
        {{.alignment = 1u << 31}, "key 'general.alignment'", "power of two"},
        {{.type = 99}, "tensor 'w': number format 99", "Q4_K"},
        {{.type = 4}, "number format 4 can't be read", "Q8_0"}, /* Q4_2, withdrawn */
        {{.rank = 5}, "tensor 'w': 5 axes", "1 to 4"},
        {{.dims = {33}, .type = 8}, "rows of 33 values", "blocks of 32"},
        {{.dims = {32}, .type = 12}, "rows of 32 values", "blocks of 256"},
        {{.dims = {UINT64_MAX, 2}}, "tensor 'w': axis 0", ""},
        {{.dims = {UINT32_MAX, UINT32_MAX}}, "tensor 'w': axis 1", ""},
        {{.dims = {64, 2}}, "512 bytes from 0 do not fit the file's 256", "'w'"},
        {{.offset = 8}, "offset 8 is no multiple of 32", "'w'"},
        {{.offset = 1024}, "from 1024 do not fit", "'w'"},
        {{.offset = UINT64_MAX - 31}, "do not fit", "'w'"},
        {{.second = "v", .second_offset = 96}, "'w' and 'v' overlap", ""},
        {{.second = "w"}, "tensor 'w' occurs twice", ""},
        {{.cut = 250}, "do not fit the file's 6 bytes", "truncated?"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf b = file_of(&CASES[i].lies);
        char *text = judge(b.data, b.size);
        if (strstr(text, CASES[i].reason) == NULL || strstr(text, CASES[i].also) == NULL) {
            fail_msg("case %zu: '%s' does not say '%s' and '%s'", i, text, CASES[i].reason,
                     CASES[i].also);
        }
        free(text);
        buf_free(&b);
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct buf b = file_of(&(struct lies){.second = "v"});
    for (size_t size = 0; size < b.size; size += size < 200 ? 1 : 16) {
        char *text = judge(b.data, size);
        assert_true(text[0] != '\0');
        free(text);
    }
    buf_free(&b);
}

static void values_of_all_types_are_skipped(void **state)
{
    (void)state;
    static const int BYTES[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    struct buf b = {0};
    buf_puts(&b, "GGUF");
    put(&b, 4, 3);
    put(&b, 8, 0);
    put(&b, 8, 15);
    for (uint32_t type = 0; type < 13; type++) {
        put_string(&b, "key");
        put(&b, 4, type);
        if (type == 8) {
            put_string(&b, "text");
        } else if (type == 9) { /* an array of two strings */
            put(&b, 4, 8);
            put(&b, 8, 2);
            put_string(&b, "a");
            put_string(&b, "");
        } else {
            put(&b, BYTES[type], 1);
        }
    }
    put_string(&b, "numbers");
    put(&b, 4, 9);
    put(&b, 4, 2);
    put(&b, 8, 3);
    put(&b, 6, 0);
    put_string(&b, "general.architecture");
    put(&b, 4, 8);
    put_string(&b, "flux");
    char *text = judge(b.data, b.size), *cut = judge(b.data, b.size - 1);
    assert_string_equal(text, "");
    assert_non_null(strstr(cut, "general.architecture"));
    free(text);
    free(cut);
    buf_free(&b);
}

static void bad_values_are_refused_by_key(void **state)
{
    (void)state;
    static const struct {
        uint32_t type, item;
        uint64_t count;
        const char *reason;
    } CASES[] = {
        {13, 0, 0, "key 'key': value type 13 is unknown"},
        {9, 13, 1, "key 'key': value type 13 is unknown"},
        {9, 10, UINT64_MAX, "key 'key': an array of 18446744073709551615 values"},
        {9, 0, 1000, "key 'key': the file ends inside its header"},
        {8, 0, 0, "key 'key': the file ends inside its header"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf b = {0};
        buf_puts(&b, "GGUF");
        put(&b, 4, 3);
        put(&b, 8, 0);
        put(&b, 8, 1);
        put_string(&b, "key");
        put(&b, 4, CASES[i].type);
        put(&b, 4, CASES[i].item);
        put(&b, CASES[i].type == 9 ? 8 : 2, CASES[i].count);
        char *text = judge(b.data, b.size);
        if (strstr(text, CASES[i].reason) == NULL) {
            fail_msg("'%s' does not say '%s'", text, CASES[i].reason);
        }
        free(text);
        buf_free(&b);
    }
}

static void arrays_may_not_nest_without_end(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_puts(&b, "GGUF");
    put(&b, 4, 3);
    put(&b, 8, 0);
    put(&b, 8, 1);
    put_string(&b, "key");
    put(&b, 4, 9);
    for (int i = 0; i < 100; i++) {
        put(&b, 4, 9);
        put(&b, 8, 1);
    }
    char *text = judge(b.data, b.size);
    assert_non_null(strstr(text, "nested more than 4 deep"));
    free(text);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_decodes_as_elsewhere),
        cmocka_unit_test(a_good_file_is_accepted),
        cmocka_unit_test(lies_are_refused_by_name),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(values_of_all_types_are_skipped),
        cmocka_unit_test(bad_values_are_refused_by_key),
        cmocka_unit_test(arrays_may_not_nest_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
