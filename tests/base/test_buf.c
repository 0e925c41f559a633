/* base/buf: the growing buffer, allocation helpers, files. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/test_buf.XXXXXX";

static char *path_of(const char *name) { return xasprintf("%s/%s", directory, name); }

static void append_keeps_a_terminator(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_append(&b, "ab\0c", 4);
    assert_int_equal(b.size, 4);
    assert_memory_equal(b.data, "ab\0c", 5);
    buf_puts(&b, "de");
    buf_putc(&b, 'f');
    buf_printf(&b, "%03d%s", 7, "x");
    assert_memory_equal(b.data, "ab\0cdef007x", 12);
    assert_int_equal(b.size, 11);
    buf_free(&b);
    assert_null(b.data);
}

static void integers_are_put_in_decimal(void **state)
{
    (void)state;
    static const int64_t VALUES[] = {0, 7, -1, 1000, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof VALUES / sizeof VALUES[0]; i++) {
        struct buf b = {0};
        char *wanted = xasprintf("x%lld", (long long)VALUES[i]);
        buf_putc(&b, 'x');
        buf_put_int(&b, VALUES[i]);
        assert_string_equal(b.data, wanted);
        assert_int_equal(b.size, strlen(wanted));
        free(wanted);
        buf_free(&b);
    }
}

static void buffer_grows_byte_by_byte(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 10000; i++)
        buf_putc(&b, (char)('a' + i % 26));
    assert_int_equal(b.size, 10000);
    assert_int_equal(b.data[9999], 'a' + 9999 % 26);
    assert_int_equal(b.data[10000], 0);
    buf_free(&b);
}

static void nothing_can_be_appended(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_append(&b, NULL, 0);
    assert_int_equal(b.size, 0);
    assert_string_equal(b.data, "");
    buf_printf(&b, "%s", "");
    assert_int_equal(b.size, 0);
    buf_free(&b);
}

static void reserve_leaves_the_size_to_the_caller(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_puts(&b, "12");
    char *to = buf_reserve(&b, 1000);
    memset(to, 'z', 1000);
    assert_int_equal(b.size, 2);
    b.size += 1000;
    assert_int_equal(b.data[1001], 'z');
    buf_free(&b);
}

static void clear_keeps_the_memory(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_clear(&b);
    buf_puts(&b, "text");
    char *data = b.data;
    buf_clear(&b);
    assert_int_equal(b.size, 0);
    assert_string_equal(b.data, "");
    assert_ptr_equal(b.data, data);
    buf_free(&b);
}

static void string_helpers_copy(void **state)
{
    (void)state;
    char *a = xstrdup("text"), *b = xstrndup("text", 2), *c = xstrndup("text", 9);
    char *d = xasprintf("%s-%d", "n", 5), *e = xasprintf("%s", "");
    assert_string_equal(a, "text");
    assert_string_equal(b, "te");
    assert_string_equal(c, "text");
    assert_string_equal(d, "n-5");
    assert_string_equal(e, "");
    free(a);
    free(b);
    free(c);
    free(d);
    free(e);
    free(xrealloc(xcalloc(0, 0), 0));
}

static void written_file_reads_back(void **state)
{
    (void)state;
    char *path = path_of("file");
    struct buf data = {0}, back = {0};
    for (int i = 0; i < 100000; i++)
        buf_putc(&data, (char)i);
    struct error err = {0};
    assert_true(file_write(path, data.data, data.size, &err));
    buf_puts(&back, "before");
    assert_true(file_read(&back, path, &err));
    assert_int_equal(back.size, data.size + 6);
    assert_memory_equal(back.data + 6, data.data, data.size);

    assert_true(file_write(path, "", 0, &err)); /* replaces */
    buf_clear(&back);
    assert_true(file_read(&back, path, &err));
    assert_int_equal(back.size, 0);
    assert_string_equal(back.data, "");

    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
    buf_free(&data);
    buf_free(&back);
    free(path);
}

static void endless_files_can_be_read(void **state)
{
    (void)state;
    struct buf b = {0};
    struct error err = {0};
    assert_true(file_read(&b, "/proc/self/status", &err)); /* says its size is 0 */
    assert_true(b.size > 100);
    buf_free(&b);
}

static void missing_file_is_not_found(void **state)
{
    (void)state;
    char *path = path_of("missing");
    struct buf b = {0};
    struct error err = {0};
    assert_false(file_read(&b, path, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    assert_false(file_exists(path));
    buf_free(&b);
    free(path);
}

static void directory_is_no_file(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_puts(&b, "kept");
    struct error err = {0};
    assert_false(file_read(&b, directory, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_string_equal(b.data, "kept");
    buf_free(&b);
}

static void failed_write_leaves_nothing_behind(void **state)
{
    (void)state;
    char *path = path_of("taken");
    struct error err = {0};
    assert_true(dir_make(path, &err));
    assert_false(file_write(path, "x", 1, &err)); /* can't replace a directory */
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(rmdir(path), 0);

    struct error missing = {0};
    char *deep = path_of("no/such/file");
    assert_false(file_write(deep, "x", 1, &missing));
    assert_int_equal(missing.code, ERR_NOT_FOUND);
    free(deep);
    free(path);
}

static void directories_are_made_with_parents(void **state)
{
    (void)state;
    struct error err = {0};
    char *path = path_of("a//b/c/"), *file = path_of("a/file"), *under = path_of("a/file/d");
    assert_true(dir_make(path, &err));
    assert_true(dir_make(path, &err));
    assert_true(file_exists(path));
    assert_true(dir_make("/", &err));
    assert_true(file_write(file, "x", 1, &err));
    assert_false(dir_make(file, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.text, "a file is in the way"));
    struct error err2 = {0};
    assert_false(dir_make(under, &err2));
    free(path);
    free(file);
    free(under);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"file", "a/file", "a/b/c", "a/b", "a", ""};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char *path = path_of(NAMES[i]);
        remove(path);
        free(path);
    }
    assert_int_equal(access(directory, F_OK), -1); /* nothing else was left behind */
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_keeps_a_terminator),
        cmocka_unit_test(integers_are_put_in_decimal),
        cmocka_unit_test(buffer_grows_byte_by_byte),
        cmocka_unit_test(nothing_can_be_appended),
        cmocka_unit_test(reserve_leaves_the_size_to_the_caller),
        cmocka_unit_test(clear_keeps_the_memory),
        cmocka_unit_test(string_helpers_copy),
        cmocka_unit_test(written_file_reads_back),
        cmocka_unit_test(endless_files_can_be_read),
        cmocka_unit_test(missing_file_is_not_found),
        cmocka_unit_test(directory_is_no_file),
        cmocka_unit_test(failed_write_leaves_nothing_behind),
        cmocka_unit_test(directories_are_made_with_parents),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
