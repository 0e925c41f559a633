/* What a struct flux holds; shared by the files behind flux/flux.h. */
#pragma once

#include "flux/pipeline.h"
#include "flux/weights.h"
#include "text/tokenizer.h"

enum part { CLIP, T5, TRANSFORMER, VAE, N_PARTS };

struct flux {
    struct backend *backend;
    struct tokenizer *clip_tokenizer, *t5_tokenizer;
    struct weights weights[N_PARTS];
    struct parts parts;
    struct flux_info info;
};

/* What follows from the configs; t5_length is the T5 tokenizer's, 0 when it says none. */
struct flux_info flux_info_of(const struct flux_config *c, int64_t t5_length);

/* False, naming the field "size", when a model can't make pictures of that size. */
bool flux_check_size(const struct flux_info *info, int width_px, int height_px, struct error *err);
