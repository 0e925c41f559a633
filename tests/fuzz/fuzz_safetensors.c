/* Opening any file as a checkpoint; every tensor that it admits to can be read to its last byte. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "flux/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", 0);
    CLAIM(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    char *path = xasprintf("/proc/self/fd/%d", fd);
    struct safetensors *set = NULL;
    struct error err = {0};
    if (safetensors_open_file(&set, path, &err)) {
        for (size_t i = 0; i < safetensors_count(set); i++) {
            struct tensor t;
            struct error find_err = {0};
            if (!safetensors_find(set, safetensors_name(set, i), &t, &find_err))
                continue;
            const volatile uint8_t *bytes = t.data;
            for (size_t k = 0; k < tensor_bytes(t); k++)
                (void)bytes[k];
        }
    } else {
        CLAIM(err.code != ERR_NONE);
    }
    safetensors_close(set);
    free(path);
    close(fd);
    return 0;
}
