/* Apart from model_dir.c because it asks flux/, which the server's library leaves out. */
#include "server/find_model.h"

#include "flux/flux.h"

bool find_model(struct buf *model, const char *path, unsigned content, struct error *err)
{
    if ((content & MODEL_CONFIGS) && path && flux_is_known(path) && !file_exists(path)) {
        buf_puts(model, path);
        return true;
    }
    return model_dir_find(model, path, content, err);
}
