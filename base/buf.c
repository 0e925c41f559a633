/* The growing buffer, the allocation helpers that abort, and whole-file input and output. */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- allocation ---------------------------------------------------------------------------- */

static _Noreturn void die_out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory: no room for %zu bytes\n", size);
    abort();
}

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        die_out_of_memory(size);
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        die_out_of_memory(count * size);
    return p;
}

void *xrealloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p)
        die_out_of_memory(size);
    return p;
}

char *xstrdup(const char *text) { return xstrndup(text, strlen(text)); }

char *xstrndup(const char *text, size_t size)
{
    size_t used = strnlen(text, size);
    char *copy = xmalloc(used + 1);
    memcpy(copy, text, used);
    copy[used] = '\0';
    return copy;
}

char *xasprintf(const char *format, ...)
{
    struct buf b = {0};
    buf_reserve(&b, 1)[0] = '\0'; /* an empty result is still a string */
    va_list args;
    va_start(args, format);
    buf_vprintf(&b, format, args);
    va_end(args);
    return b.data;
}

/* ---- buffer -------------------------------------------------------------------------------- */

char *buf_reserve(struct buf *b, size_t size)
{
    if (size >= SIZE_MAX / 2 - b->size)
        die_out_of_memory(size);
    size_t need = b->size + size + 1;
    if (need > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : 64;
        while (capacity < need)
            capacity *= 2;
        b->data = xrealloc(b->data, capacity);
        b->capacity = capacity;
    }
    return b->data + b->size;
}

void buf_append(struct buf *b, const void *bytes, size_t size)
{
    char *to = buf_reserve(b, size);
    if (size)
        memcpy(to, bytes, size);
    to[size] = '\0';
    b->size += size;
}

void buf_puts(struct buf *b, const char *text) { buf_append(b, text, strlen(text)); }

void buf_putc(struct buf *b, char c)
{
    if (b->size + 2 > b->capacity)
        buf_reserve(b, 1);
    b->data[b->size++] = c;
    b->data[b->size] = '\0';
}

void buf_put_int(struct buf *b, int64_t value)
{
    char text[24], *end = text + sizeof text, *at = end;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        *--at = '-';
    buf_append(b, at, (size_t)(end - at));
}

void buf_vprintf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    assert(size >= 0); /* only a bad format or an unprintable wide character could do that */
    if (size >= 0) {
        char *to = buf_reserve(b, (size_t)size);
        vsnprintf(to, (size_t)size + 1, format, again);
        b->size += (size_t)size;
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(b, format, args);
    va_end(args);
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    if (b->data)
        b->data[0] = '\0';
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

/* ---- files --------------------------------------------------------------------------------- */

static enum error_code errno_code(int number)
{
    return number == ENOENT || number == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
}

bool file_read(struct buf *b, const char *path, struct error *err)
{
    size_t before = b->size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, errno_code(errno), "can't open %s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        buf_reserve(b, (size_t)st.st_size + 1);
    for (;;) {
        char *to = buf_reserve(b, 1 << 14);
        size_t room = b->capacity - b->size - 1;
        ssize_t got = read(fd, to, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fail(err, ERR_IO, "can't read %s: %s", path, strerror(errno));
            close(fd);
            b->size = before;
            b->data[before] = '\0';
            return false;
        }
        b->size += (size_t)got;
        b->data[b->size] = '\0';
        if (got == 0)
            break;
    }
    close(fd);
    return true;
}

bool file_begin(struct file_writer *w, const char *path, struct error *err)
{
    *w = (struct file_writer){.path = path, .temporary = xasprintf("%s.XXXXXX", path)};
    int fd = mkostemp(w->temporary, O_CLOEXEC);
    w->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (w->file) {
        /* mkostemp makes a private file; give it what a plain open() would have given. */
        mode_t mask = umask(0);
        umask(mask);
        fchmod(fd, 0666 & ~mask);
        return true;
    }
    fail(err, errno_code(errno), "can't create %s: %s", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(w->temporary);
    }
    free(w->temporary);
    return false;
}

bool file_end(struct file_writer *w, struct error *err)
{
    bool ok = fflush(w->file) == 0 && !ferror(w->file);
    int number = errno;
    if (fclose(w->file) != 0 && ok) {
        ok = false;
        number = errno;
    }
    if (ok && rename(w->temporary, w->path) != 0) {
        ok = false;
        number = errno;
    }
    if (!ok) {
        unlink(w->temporary);
        fail(err, ERR_IO, "can't write %s: %s", w->path, strerror(number));
    }
    free(w->temporary);
    return ok;
}

bool file_write(const char *path, const void *bytes, size_t size, struct error *err)
{
    struct file_writer w;
    if (!file_begin(&w, path, err))
        return false;
    fwrite(bytes, 1, size, w.file);
    return file_end(&w, err);
}

bool dir_make(const char *path, struct error *err)
{
    char *part = xstrdup(path);
    bool ok = true;
    for (char *p = part; ok && *p; p++) {
        bool is_end = p[1] == '\0';
        if (!is_end && (p[1] != '/' || *p == '/'))
            continue;
        char keep = p[1];
        p[1] = '\0';
        struct stat st;
        if (mkdir(part, 0777) != 0 &&
            (errno != EEXIST || stat(part, &st) != 0 || !S_ISDIR(st.st_mode)))
            ok = fail(err, ERR_IO, "can't create directory %s: %s", part,
                      errno == EEXIST ? "a file is in the way" : strerror(errno));
        p[1] = keep;
    }
    free(part);
    return ok;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}
