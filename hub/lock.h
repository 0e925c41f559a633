/* Locks between processes, where and how huggingface_hub takes them: flock() on
 * CACHE/.locks/models--owner--name/ETAG.lock. They vanish with the process. */
#pragma once

#include <stdatomic.h>

#include "base/error.h"

/* Wait for the lock; the folders of path are made. what names the thing in the log line that says
 * that another process, or thread, has it. ERR_CANCELED when *stop becomes true. */
bool lock_take(int *fd, const char *path, const char *what, const atomic_bool *stop,
               struct error *err);
void lock_release(int fd); /* negative is fine */
