/* Copying and removing folders. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* Is the file or folder of that name, relative to the folder being copied, left out? */
typedef bool (*folder_skip_fn)(void *ctx, const char *name);

/* Copy what is in the folder from, links followed, into the existing folder to, without names that
 * begin with a dot. Fails naming the file. */
bool folder_copy_tree(const char *from, const char *to, folder_skip_fn skip, void *ctx,
                      struct error *err);

/* Bytes that this would take. */
bool folder_measure_tree(const char *from, folder_skip_fn skip, void *ctx, uint64_t *bytes,
                         struct error *err);

/* Remove a folder and all in it; what can't be removed stays. */
void folder_remove_tree(const char *path);
