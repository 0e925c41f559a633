/* Reads files of one entry a line, as records and raw exports are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Handle a line of size bytes, its newline included; false, with a reason, ends the reading. */
typedef bool (*line_fn)(void *self, const char *line, size_t size, struct error *err);

/* Hand every line to handle, in the order of the file, one in memory at a time.
 * Fails with file and line where handle did; with ERR_NOT_FOUND when there is no file,
 * with ERR_IO when it can't be read to its end. */
bool lines_read(const char *path, line_fn handle, void *self, struct error *err);
