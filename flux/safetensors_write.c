#include "flux/safetensors_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

struct safetensors_writer {
    int fd;
    char *path; /* owned */
};

static bool fail_write(const struct safetensors_writer *w, struct error *err)
{
    return fail(err, ERR_IO, "%s: can't be written: %s", w->path, strerror(errno));
}

static bool put(const struct safetensors_writer *w, uint64_t at, const void *data, size_t size,
                struct error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(w->fd, (const char *)data + done, size - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return fail_write(w, err);
        }
        done += (size_t)n;
    }
    return true;
}

/* Positions behind the header, widest type first. */
static void lay_out(struct safetensors_spec *specs, size_t n)
{
    uint64_t at = 0;
    for (size_t width = 8; width > 0; width--) {
        for (size_t i = 0; i < n; i++) {
            if (specs[i].type_bytes == width) {
                specs[i].at = at;
                at += specs[i].bytes;
            }
        }
    }
}

static struct json *entry(const struct safetensors_spec *spec)
{
    struct json *node = json_new_object(), *shape = json_new_array(), *range = json_new_array();
    for (int i = 0; i < spec->rank; i++) {
        json_push(shape, json_new_int(spec->dims[i]));
    }
    json_push(range, json_new_int((int64_t)spec->at));
    json_push(range, json_new_int((int64_t)(spec->at + spec->bytes)));
    json_set(node, "dtype", json_new_string(spec->type));
    json_set(node, "shape", shape);
    json_set(node, "data_offsets", range);
    return node;
}

bool safetensors_create(struct safetensors_writer **out, const char *path,
                        struct safetensors_spec *specs, size_t n, const struct json *metadata,
                        struct error *err)
{
    enum { LENGTH_BYTES = 8 };
    struct safetensors_writer *w = xcalloc(1, sizeof *w);
    struct json *header = json_new_object();
    struct buf text = {0};
    char length[LENGTH_BYTES];
    *out = w;
    w->path = xstrdup(path);
    lay_out(specs, n);
    if (metadata != NULL) {
        json_set(header, "__metadata__", json_copy(metadata));
    }
    for (size_t i = 0; i < n; i++) {
        json_set(header, specs[i].name, entry(&specs[i]));
    }
    json_print(&text, header, 0);
    json_free(header);
    while (text.size % LENGTH_BYTES != 0) {
        buf_putc(&text, ' ');
    }
    for (int i = 0; i < LENGTH_BYTES; i++) {
        length[i] = (char)((uint64_t)text.size >> (8 * i) & 0xff);
    }
    for (size_t i = 0; i < n; i++) {
        specs[i].at += LENGTH_BYTES + text.size;
    }
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool ok = (w->fd >= 0 || fail_write(w, err)) && put(w, 0, length, sizeof length, err) &&
              put(w, LENGTH_BYTES, text.data, text.size, err);
    buf_free(&text);
    return ok;
}

bool safetensors_write(struct safetensors_writer *w, const struct safetensors_spec *spec,
                       const void *data, struct error *err)
{
    return put(w, spec->at, data, spec->bytes, err);
}

bool safetensors_finish(struct safetensors_writer *w, struct error *err)
{
    if (w == NULL) {
        return true;
    }
    bool ok = w->fd >= 0;
    if (ok && fsync(w->fd) != 0) {
        ok = fail_write(w, err);
    }
    if (w->fd >= 0 && close(w->fd) != 0) {
        ok = fail_write(w, err);
    }
    free(w->path);
    free(w);
    return ok;
}
