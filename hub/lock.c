/* Waiting is polling, so that Ctrl-C and another thread's failure end it: at 20 looks a second this
 * costs nothing beside what is waited for, and nobody has to be woken. */
#include "hub/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#define LOOK_NS (50 * NS_PER_MS)

/* Others may remove lock files that they have let go: then ours is a lock on nothing. */
static bool is_still_there(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

bool lock_take(int *fd, const char *path, const char *what, const atomic_bool *stop,
               struct error *err)
{
    char *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    bool ok = dir_make(folder, err), has_said = false;
    free(folder);
    *fd = -1;
    while (ok) {
        if (*fd < 0)
            *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0664);
        if (*fd < 0)
            return fail(err, ERR_IO, "can't open %s: %s", path, strerror(errno));
        if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
            if (is_still_there(*fd, path))
                return true;
            lock_release(*fd);
            *fd = -1;
            continue;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            ok = fail(err, ERR_IO, "can't lock %s: %s", path, strerror(errno));
        } else if (atomic_load(stop)) {
            ok = fail(err, ERR_CANCELED, "interrupted while waiting for another download of %s",
                      what);
        } else {
            if (!has_said)
                log_info("waiting for another download of %s", what);
            has_said = true;
            clock_sleep_until_ns(clock_now_ns() + LOOK_NS);
        }
    }
    lock_release(*fd);
    *fd = -1;
    return false;
}

void lock_release(int fd)
{
    if (fd >= 0)
        close(fd);
}
