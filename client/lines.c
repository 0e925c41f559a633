#include "client/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool lines_read(const char *path, line_fn handle, void *self, struct error *err)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t size;
    bool ok = true;
    if (!file)
        return fail(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "can't read %s: %s", path,
                    strerror(errno));
    while (ok && (size = getline(&line, &capacity, file)) > 0) {
        number++;
        ok = handle(self, line, (size_t)size, err) || error_prefix(err, "%s:%zu", path, number);
    }
    if (ok && ferror(file))
        ok = fail(err, ERR_IO, "can't read %s: %s", path, strerror(errno));
    free(line);
    fclose(file);
    return ok;
}
