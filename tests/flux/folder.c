#include "tests/flux/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#include <cmocka.h> /* last: it defines fail */

static void run(const char *format, const char *a, const char *b)
{
    char *command = NULL;
    assert_true(asprintf(&command, "%s '%s' '%s'", format, a, b) > 0);
    int status = system(command); /* NOLINT(cert-env33-c): test fixture with fixed commands */
    free(command);
    assert_int_equal(status, 0);
}

char *folder_new(void)
{
    char *name = xstrdup("/tmp/fluxbench-test-XXXXXX");
    assert_non_null(mkdtemp(name));
    return name;
}

char *folder_copy(const char *from)
{
    char *name = folder_new(), *all = xasprintf("%s/.", from);
    run("cp -r", all, name);
    free(all);
    return name;
}

void folder_write(const char *folder, const char *name, const void *bytes, size_t size)
{
    char *path = xasprintf("%s/%s", folder, name), *parent = xstrdup(path);
    struct error err = {0};
    *strrchr(parent, '/') = '\0';
    assert_true(dir_make(parent, &err));
    assert_true(file_write(path, bytes, size, &err));
    free(parent);
    free(path);
}

void folder_edit(const char *folder, const char *name, const char *from, const char *to)
{
    char *path = xasprintf("%s/%s", folder, name);
    struct buf text = {0}, edited = {0};
    struct error err = {0};
    assert_true(file_read(&text, path, &err));
    const char *at = strstr(text.data, from);
    assert_non_null(at);
    buf_append(&edited, text.data, (size_t)(at - text.data));
    buf_puts(&edited, to);
    buf_puts(&edited, at + strlen(from));
    assert_true(file_write(path, edited.data, edited.size, &err));
    buf_free(&text);
    buf_free(&edited);
    free(path);
}

void folder_remove(const char *folder, const char *name)
{
    char *path = xasprintf("%s/%s", folder, name);
    run("rm -rf", path, path);
    free(path);
}

void folder_delete(char *folder)
{
    run("rm -rf", folder, folder);
    free(folder);
}
