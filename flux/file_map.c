/* Private pages: what another program writes to the file later may show, nothing is written back.
 */
#include "flux/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_map_open(struct file_map *m, const char *path, struct error *err)
{
    *m = (struct file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(err, ERR_NOT_FOUND, "cannot be opened: %s", strerror(errno));
    }
    struct stat st;
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    void *address = NULL;
    if (ok && st.st_size > 0) {
        address = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    close(fd);
    if (!ok) {
        return fail(err, ERR_IO, "is no regular file");
    }
    if (address == MAP_FAILED) {
        return fail(err, ERR_MEMORY, "cannot be mapped: %s", strerror(errno));
    }
    *m = (struct file_map){.address = address, .size = (size_t)st.st_size};
    return true;
}

void file_map_close(struct file_map *m)
{
    if (m->address != NULL) {
        munmap(m->address, m->size);
    }
    *m = (struct file_map){0};
}
