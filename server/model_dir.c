/* Directories are judged by their model_index.json alone; what is in it is the business of flux/.
 */
#include "server/model_dir.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_checkpoint(const char *dir)
{
    char *index = xasprintf("%s/model_index.json", dir);
    bool found = file_exists(index);
    free(index);
    return found;
}

/* "owner/name", as models are called on a hub. */
static bool is_hub_name(const char *path)
{
    int n_slashes = 0;
    if (!isalnum((unsigned char)*path))
        return false;
    for (const char *p = path; *p; p++) {
        if (*p == '/' && isalnum((unsigned char)p[1]))
            n_slashes++;
        else if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return false;
    }
    return n_slashes == 1;
}

static bool find_given(struct buf *dir, const char *path, struct error *err)
{
    if (is_directory(path)) {
        if (!is_checkpoint(path)) {
            return fail_field(err, "--model-path",
                              "--model-path '%s': no model_index.json there, so it is no model "
                              "directory in the diffusers layout",
                              path);
        }
        buf_puts(dir, path);
        return true;
    }
    if (is_hub_name(path)) {
        return fail_field(err, "--model-path",
                          "--model-path '%s': no such directory, and models can't be fetched from "
                          "a hub for now: it has to be a local directory in the diffusers layout",
                          path);
    }
    return fail_field(err, "--model-path",
                      "--model-path '%s': no such directory: it has to be a local directory in the "
                      "diffusers layout",
                      path);
}

/* Append the directory of the running program, without its name. */
static void put_program_dir(struct buf *out)
{
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0) {
        buf_puts(out, ".");
        return;
    }
    path[size] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    buf_puts(out, path);
}

static bool try_dir(struct buf *dir, struct buf *tried, const char *below, const char *root)
{
    char *candidate = xasprintf("%s%s%s", root, below, MODEL_DIR_DEFAULT);
    char *clean = realpath(candidate, NULL);
    bool found = clean && is_checkpoint(clean);
    if (found)
        buf_puts(dir, clean);
    else
        buf_printf(tried, "%s%s", tried->size ? ", " : "", candidate);
    free(clean);
    free(candidate);
    return found;
}

static bool find_embedded(struct buf *dir, struct error *err)
{
    struct buf program = {0}, tried = {0};
    const char *given = getenv("FLUXBENCH_MODEL_DIR");
    put_program_dir(&program);
    bool found = (given && *given && try_dir(dir, &tried, "/", given)) ||
                 try_dir(dir, &tried, "/../share/fluxbench/models/", program.data) ||
                 try_dir(dir, &tried, "/../../models/", program.data);
    if (!found) {
        fail_field(err, "--model-path",
                   "no --model-path given, and the embedded model is in none of %s", tried.data);
    }
    buf_free(&program);
    buf_free(&tried);
    return found;
}

bool model_dir_find(struct buf *dir, const char *path, struct error *err)
{
    return path && *path ? find_given(dir, path, err) : find_embedded(dir, err);
}

void model_dir_basename(struct buf *name, const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    buf_append(name, path + start, end - start);
}
