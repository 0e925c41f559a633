/* One walk serves copying and measuring. */
#include "flux/folder_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

struct walk {
    const char *from, *to; /* to NULL: measure */
    folder_skip_fn skip;
    void *ctx;
    uint64_t bytes;
};

/* --- files ------------------------------------------------------------------------------------*/

static bool pump(int in, int out, struct error *err)
{
    enum { CHUNK = 1 << 20 };
    char *chunk = xmalloc(CHUNK);
    bool ok = true;
    ssize_t n = 0;
    while (ok && (n = read(in, chunk, CHUNK)) > 0) {
        for (ssize_t done = 0; ok && done < n;) {
            ssize_t wrote = write(out, chunk + done, (size_t)(n - done));
            if (wrote <= 0) {
                ok = fail(err, ERR_IO, "can't be written: %s",
                          strerror(wrote == 0 ? ENOSPC : errno));
            }
            done += wrote;
        }
    }
    free(chunk);
    return ok && (n == 0 || fail(err, ERR_IO, "can't be read: %s", strerror(errno)));
}

static bool copy_file(const char *from, const char *to, struct error *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        return fail(err, ERR_IO, "%s: can't be read: %s", from, strerror(errno));
    }
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool ok = out >= 0 || fail(err, ERR_IO, "can't be written: %s", strerror(errno));
    ok = ok && pump(in, out, err);
    if (out >= 0 && close(out) != 0 && ok) {
        ok = fail(err, ERR_IO, "can't be written: %s", strerror(errno));
    }
    close(in);
    return ok || error_prefix(err, "%s", to);
}

/* --- folders ----------------------------------------------------------------------------------*/

static bool walk_folder(struct walk *w, const char *name, struct error *err);

static bool walk_entry(struct walk *w, const char *name, struct error *err)
{
    struct stat st;
    char *from = xasprintf("%s/%s", w->from, name);
    char *to = w->to == NULL ? NULL : xasprintf("%s/%s", w->to, name);
    bool ok =
        stat(from, &st) == 0 || fail(err, ERR_IO, "%s: can't be read: %s", from, strerror(errno));
    if (ok && S_ISDIR(st.st_mode)) {
        ok = (to == NULL || mkdir(to, 0777) == 0 ||
              fail(err, ERR_IO, "%s: can't be made: %s", to, strerror(errno))) &&
             walk_folder(w, name, err);
    } else if (ok && S_ISREG(st.st_mode)) {
        w->bytes += (uint64_t)st.st_size;
        ok = to == NULL || copy_file(from, to, err);
    }
    free(from);
    free(to);
    return ok;
}

/* name "" is the top. */
static bool walk_folder(struct walk *w, const char *name, struct error *err)
{
    char *path = *name == '\0' ? xstrdup(w->from) : xasprintf("%s/%s", w->from, name);
    DIR *d = opendir(path);
    bool ok = d != NULL || fail(err, ERR_IO, "%s: can't be read: %s", path, strerror(errno));
    for (struct dirent *e; ok && d != NULL && (e = readdir(d)) != NULL;) {
        char *entry = *name == '\0' ? xstrdup(e->d_name) : xasprintf("%s/%s", name, e->d_name);
        if (e->d_name[0] != '.' && !w->skip(w->ctx, entry)) {
            ok = strlen(entry) < PATH_MAX ? walk_entry(w, entry, err)
                                          : fail(err, ERR_INVALID, "%s: folders go too deep", path);
        }
        free(entry);
    }
    if (d != NULL) {
        closedir(d);
    }
    free(path);
    return ok;
}

bool folder_copy_tree(const char *from, const char *to, folder_skip_fn skip, void *ctx,
                      struct error *err)
{
    struct walk w = {.from = from, .to = to, .skip = skip, .ctx = ctx};
    return walk_folder(&w, "", err);
}

bool folder_measure_tree(const char *from, folder_skip_fn skip, void *ctx, uint64_t *bytes,
                         struct error *err)
{
    struct walk w = {.from = from, .skip = skip, .ctx = ctx};
    bool ok = walk_folder(&w, "", err);
    *bytes = w.bytes;
    return ok;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    (void)remove(path);
    return 0;
}

void folder_remove_tree(const char *path)
{
    enum { OPEN_AT_ONCE = 16 };
    (void)nftw(path, remove_one, OPEN_AT_ONCE, FTW_DEPTH | FTW_PHYS);
}
