/* Directories are judged by their model_index.json, or else by the names of the files in them; what
 * is in those is the business of flux/. */
#include "server/model_dir.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/hub.h"

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

static int is_model_file(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return e->d_name[0] != '.' && dot &&
           (strcmp(dot, ".safetensors") == 0 || strcmp(dot, ".gguf") == 0);
}

/* Are there files at its top that may hold a part of a model? */
static bool has_model_files(const char *dir)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_model_file, NULL);
    for (int i = 0; i < n; i++)
        free(list[i]);
    free(list);
    return n > 0;
}

static bool find_on_hub(struct buf *dir, const char *id, unsigned content, struct error *err)
{
    static const char *const CONFIGS[] = {"model_index.json", "*/config.json",
                                          "scheduler/scheduler_config.json"};
    const char *without[2];
    struct hub_options networks = {.without = without};
    if (content & MODEL_WITHOUT_TRANSFORMER)
        without[networks.n_without++] = "transformer";
    if (content & MODEL_WITHOUT_VAE)
        without[networks.n_without++] = "vae";
    static const struct hub_options CONFIGS_ONLY = {
        .include = CONFIGS, .n_include = sizeof CONFIGS / sizeof CONFIGS[0]};
    char *found = NULL;
    bool ok = content & MODEL_CONFIGS ? hub_fetch(&CONFIGS_ONLY, id, &found, err)
                                      : hub_locate(&networks, id, &found, err);
    if (ok)
        buf_puts(dir, found);
    free(found);
    return ok || error_prefix(err, "--model-path '%s'", id);
}

static bool find_given(struct buf *dir, const char *path, unsigned content, struct error *err)
{
    if (is_directory(path)) {
        if (!is_checkpoint(path) && !has_model_files(path)) {
            return fail_field(err, "--model-path",
                              "--model-path '%s': neither a model_index.json there, so it is no "
                              "model directory in the diffusers layout, nor a .safetensors or "
                              ".gguf file",
                              path);
        }
        buf_puts(dir, path);
        return true;
    }
    if (hub_is_model_id(path))
        return find_on_hub(dir, path, content, err);
    return fail_field(err, "--model-path",
                      "--model-path '%s': no such directory, and no model name: must be a "
                      "directory in the diffusers layout or with single files, or "
                      "owner/name[@revision]; a single file goes to --transformer-path",
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

bool model_dir_find(struct buf *dir, const char *path, unsigned content, struct error *err)
{
    return path && *path ? find_given(dir, path, content, err) : find_embedded(dir, err);
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
