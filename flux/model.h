/* What a struct flux holds; shared by the files behind flux/flux.h. */
#pragma once

#include "flux/part_files.h"
#include "flux/pipeline.h"
#include "flux/weights.h"
#include "tensor/team.h"
#include "text/tokenizer.h"

struct flux {
    struct backend *backend;
    struct tokenizer *clip_tokenizer, *t5_tokenizer;
    struct weights weights[N_PARTS];
    struct parts parts;
    struct flux_info info;
    struct flux *mates[SHARE_MAX]; /* owned: the same model on the other ranks, from 1 on */
};

/* What follows from the configs; t5_length is the T5 tokenizer's, 0 when it says none. */
struct flux_info flux_info_of(const struct flux_config *c, int64_t t5_length);

/* False, naming the field "size", when a model can't make pictures of that size. */
bool flux_check_size(const struct flux_info *info, int width_px, int height_px, struct error *err);

/* The configs of a folder, or of a known name if may_be_known and no such folder is there, cut down
 * to the blocks that load asks for. *t5_length is 0 for a folder. *files is where its parts are;
 * part_files_free it, after a failure too. */
bool flux_config_of(struct flux_config *c, int64_t *t5_length, struct part_files *files,
                    const char *model, bool may_be_known, const struct flux_load *load,
                    struct error *err);

/* Where a part's layers live. The text encoders are one chain: T5's layers are numbered on from
 * CLIP's. */
struct weight_home flux_home_of(enum part part, const struct flux_memory *memory);

/* The type that a part's weights are loaded in. */
enum dtype flux_weight_dtype(const struct flux_config *c, enum part part,
                             const struct flux_load *load, enum dtype compute);

/* flux_open_as() and flux_generate() on one back end, of a team or alone. *is_follower: it stopped
 * because another rank did. */
bool flux_open_alone(struct flux **out, struct backend *b, const char *model,
                     const struct flux_load *load, struct error *err);
bool flux_generate_alone(struct flux *f, const struct flux_spec *spec,
                         const struct flux_hooks *hooks, struct flux_result *result,
                         bool *is_follower, struct error *err);

/* False, naming the field "ulysses_degree", when n ranks can't have whole heads; naming "size" or
 * "max_sequence_length" when one of them would have no token of the image or of the text. */
bool flux_check_heads(const struct flux_config *c, int n, struct error *err);
bool flux_check_shares(const struct flux_info *info, int width_px, int height_px, int n_text, int n,
                       struct error *err);
