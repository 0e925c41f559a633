/* The name of a model on the hub: owner/name[@revision]. */
#pragma once

#include "base/error.h"

struct model_id {
    char *repo;     /* "owner/name" */
    char *revision; /* branch, tag or commit */
};

/* Split and check text; a revision that is not NULL overrides the one in text, and without any it
 * is "main". ERR_INVALID says what is wrong. model_id_free also after a failure. */
bool model_id_parse(struct model_id *id, const char *text, const char *revision, struct error *err);
void model_id_free(struct model_id *id);

/* True for a relative path of plain parts, which can't leave the folder that it is put into. */
bool model_id_is_safe_path(const char *path);

/* True for a full commit hash, 40 hexadecimal digits. */
bool model_id_is_commit(const char *text);
