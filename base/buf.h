/* A growing byte buffer, and the few allocation and file helpers that go with it. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* Zero-initialise to start. data is NUL-terminated once anything was appended, so text can be
 * used as a C string; size does not count that byte. */
struct buf {
    char *data;
    size_t size, capacity;
};

void buf_append(struct buf *b, const void *bytes, size_t size);
void buf_puts(struct buf *b, const char *text);
void buf_putc(struct buf *b, char c);
void buf_put_int(struct buf *b, int64_t value); /* in decimal */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Make room for size more bytes and return where they go; the caller adds to b->size itself. */
char *buf_reserve(struct buf *b, size_t size);

/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);
/* Free the memory; b may be used again. */
void buf_free(struct buf *b);

/* Small, bounded host allocations: abort with a message when memory is out. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t size);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Append a whole file; fails with the path in the text, ERR_NOT_FOUND when there is none. */
bool file_read(struct buf *b, const char *path, struct error *err);
/* Write a file by way of a temporary name beside it, so that readers see all of it or nothing. */
bool file_write(const char *path, const void *bytes, size_t size, struct error *err);
/* The same in pieces: after file_begin write to `file`, then call file_end, which fails if any of
 * that did. */
struct file_writer {
    FILE *file;
    const char *path;
    char *temporary; /* owned */
};
bool file_begin(struct file_writer *w, const char *path, struct error *err);
bool file_end(struct file_writer *w, struct error *err);
/* Create a directory and its parents; existing ones are fine. */
bool dir_make(const char *path, struct error *err);
/* True when the path exists (any type). */
bool file_exists(const char *path);
