/* A whole file as read-only memory. */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct file_map {
    void *address; /* NULL when the file is empty */
    size_t size;
};

/* Fails without the path: the caller adds it. */
bool file_map_open(struct file_map *m, const char *path, struct error *err);
void file_map_close(struct file_map *m);
