/* Single files are told apart by the tensors in them, whatever they are called. */
#include "flux/part_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"

static const struct {
    const char *folder, *base;
} FOLDERS[N_PARTS] = {
    [CLIP] = {"text_encoder", "model"},
    [T5] = {"text_encoder_2", "model"},
    [TRANSFORMER] = {"transformer", "diffusion_pytorch_model"},
    [VAE] = {"vae", "diffusion_pytorch_model"},
};

const char *part_folder(enum part part) { return FOLDERS[part].folder; }
const char *part_base(enum part part) { return FOLDERS[part].base; }

/* --- the diffusers form -----------------------------------------------------------------------*/

/* Are all shards of an index there? */
static bool has_shards(const char *dir, const char *index_path)
{
    struct json *index = json_read_file(index_path, NULL);
    const struct json *map = index == NULL ? NULL : json_get(index, "weight_map");
    bool all = map != NULL && json_type(map) == JSON_OBJECT && json_size(map) > 0;
    for (const struct json *e = all ? json_first(map) : NULL; all && e != NULL; e = json_next(e)) {
        char *path = xasprintf("%s/%s", dir, json_type(e) == JSON_STRING ? json_string(e) : "");
        all = file_exists(path);
        free(path);
    }
    json_free(index);
    return all;
}

static bool is_complete(const char *model_dir, enum part part)
{
    char *dir = xasprintf("%s/%s", model_dir, FOLDERS[part].folder);
    char *config = xasprintf("%s/config.json", dir);
    char *single = xasprintf("%s/%s.safetensors", dir, FOLDERS[part].base);
    char *index = xasprintf("%s.index.json", single);
    bool complete = file_exists(config) &&
                    (file_exists(single) || (file_exists(index) && has_shards(dir, index)));
    free(dir);
    free(config);
    free(single);
    free(index);
    return complete;
}

/* --- single files -----------------------------------------------------------------------------*/

static int is_model_file(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return e->d_name[0] != '.' && dot != NULL &&
           (strcmp(dot, ".safetensors") == 0 || strcmp(dot, ".gguf") == 0);
}

/* Give the parts in need those that the file holds. */
static bool offer(struct part_files *f, const bool *needed, const char *path, struct error *err)
{
    for (int part = 0; part < N_PARTS; part++) {
        struct checkpoint c;
        struct error why = {0};
        if (!needed[part]) {
            continue;
        }
        if (access(path, R_OK) != 0) {
            return fail(err, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
        }
        if (!checkpoint_open_file(&c, path, (enum part)part, &why)) {
            if (why.code != ERR_NOT_FOUND) {
                return fail(err, why.code, "%s", why.text);
            }
            continue;
        }
        checkpoint_close(&c);
        if (f->file[part] != NULL) {
            static const char *const OPTIONS[N_PARTS] = {[TRANSFORMER] = ", or name one with "
                                                                         "--transformer-path",
                                                         [VAE] = ", or name one with --vae-path"};
            return fail(err, ERR_INVALID, "%s and %s both hold a %s: leave one of them there%s",
                        f->file[part], path, FOLDERS[part].folder,
                        OPTIONS[part] == NULL ? "" : OPTIONS[part]);
        }
        f->file[part] = xstrdup(path);
    }
    return true;
}

/* Search the folder's own files, in the order of their names. */
static bool search(struct part_files *f, const bool *needed, const char *model_dir,
                   struct error *err)
{
    struct dirent **list = NULL;
    int n = scandir(model_dir, &list, is_model_file, alphasort);
    struct buf unread = {0};
    bool ok = true;
    for (int i = 0; i < n; i++) {
        char *path = xasprintf("%s/%s", model_dir, list[i]->d_name);
        ok = ok && offer(f, needed, path, err);
        bool is_read = false;
        for (int part = 0; part < N_PARTS; part++) {
            is_read = is_read || (f->file[part] != NULL && strcmp(f->file[part], path) == 0);
        }
        if (!is_read) {
            buf_printf(&unread, "%s%s", unread.size == 0 ? "" : ", ", list[i]->d_name);
        }
        free(path);
        free(list[i]);
    }
    free(list);
    f->unread = unread.size == 0 ? NULL : xstrdup(unread.data);
    buf_free(&unread);
    return ok;
}

/* --- public -----------------------------------------------------------------------------------*/

bool part_files_find(struct part_files *f, const char *model_dir, const struct flux_load *load,
                     struct error *err)
{
    const char *given[N_PARTS] = {[TRANSFORMER] = load->transformer_path, [VAE] = load->vae_path};
    bool needed[N_PARTS];
    *f = (struct part_files){0};
    for (int part = 0; part < N_PARTS; part++) {
        f->file[part] = given[part] == NULL ? NULL : xstrdup(given[part]);
        needed[part] = given[part] == NULL && !is_complete(model_dir, (enum part)part);
    }
    if (search(f, needed, model_dir, err)) {
        return true;
    }
    part_files_free(f);
    return false;
}

void part_files_free(struct part_files *f)
{
    for (int part = 0; part < N_PARTS; part++) {
        free(f->file[part]);
    }
    free(f->unread);
    *f = (struct part_files){0};
}

bool part_files_has_any(const struct part_files *f)
{
    for (int part = 0; part < N_PARTS; part++) {
        if (f->file[part] != NULL) {
            return true;
        }
    }
    return false;
}
