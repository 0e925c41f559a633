/* Opening any file as GGUF; every tensor that it admits to can be decoded to its last block. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "flux/gguf.h"
#include "tests/fuzz/fuzz.h"

enum { LARGEST_BLOCK = 256 };

static void decode_all(const struct gguf_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dims[i];
    const uint8_t *bytes = t->data;
    if (t->format->decode == NULL) {
        const volatile uint8_t *last = bytes + n * t->format->block_bytes - 1;
        (void)*last;
        return;
    }
    float values[LARGEST_BLOCK];
    for (int64_t i = 0; i < n; i += t->format->block_values, bytes += t->format->block_bytes)
        ggml_decode(t->format, values, bytes, t->format->block_values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", 0);
    CLAIM(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    char *path = xasprintf("/proc/self/fd/%d", fd);
    struct gguf *g = NULL;
    struct error err = {0};
    if (gguf_open(&g, path, &err)) {
        for (size_t i = 0; i < gguf_count(g); i++) {
            struct gguf_tensor t;
            CLAIM(gguf_find(g, gguf_name(g, i), &t, NULL));
            decode_all(&t);
        }
    } else {
        CLAIM(err.code != ERR_NONE);
    }
    gguf_close(g);
    free(path);
    close(fd);
    return 0;
}
