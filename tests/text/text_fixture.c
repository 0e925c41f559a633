
#include "tests/text/text_fixture.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const FILES[] = {
    "vocab.json",        "merges.txt",   "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "spiece.model", "tokenizer.json",
};

void fixture_open(struct fixture *f)
{
    strcpy(f->path, "/tmp/fluxbench-text-XXXXXX");
    assert_non_null(mkdtemp(f->path));
}

void fixture_close(struct fixture *f)
{
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        char *path = xasprintf("%s/%s", f->path, FILES[i]);
        unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(f->path), 0);
}

void fixture_write(const struct fixture *f, const char *name, const void *bytes, size_t size)
{
    struct error err = {0};
    char *path = xasprintf("%s/%s", f->path, name);
    assert_true(file_write(path, bytes, size, &err));
    free(path);
}

void fixture_puts(const struct fixture *f, const char *name, const char *text)
{
    fixture_write(f, name, text, strlen(text));
}

static void print_ids(const char *what, const int32_t *ids, size_t n)
{
    print_error("%s:", what);
    for (size_t i = 0; i < n; i++)
        print_error(" %d", (int)ids[i]);
    print_error("\n");
}

void assert_ids(const struct tokenizer *t, const char *text, const int32_t *expected)
{
    struct token_ids ids = {0};
    size_t n = 0;
    while (expected[n] >= 0)
        n++;
    tokenizer_encode(t, text, strlen(text), &ids);
    bool equal = ids.n_ids == n && (n == 0 || memcmp(ids.ids, expected, n * sizeof *expected) == 0);
    if (!equal) {
        print_error("\"%s\"\n", text);
        print_ids("expected", expected, n);
        print_ids("got     ", ids.ids, ids.n_ids);
    }
    token_ids_free(&ids);
    assert_true(equal);
}
