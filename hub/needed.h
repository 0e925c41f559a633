/* Which files of a model its pipeline needs: model_index.json names the parts, each part is a
 * folder with small files (configs, vocabularies) and, for the networks, safetensors weights, in
 * one file or in shards that an index lists. Single-file checkpoints, pictures, and weights in
 * other formats (.bin, .msgpack, .onnx) stay at the hub. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "hub/hub.h"

struct names {
    char **items; /* owned */
    size_t n_items;
};

void names_add(struct names *n, const char *name); /* unless it is there */
bool names_has(const struct names *n, const char *name);
void names_free(struct names *n);

/* From the names listed at the hub and snapshot_dir/model_index.json: the small files. */
bool needed_small(const char *snapshot_dir, const struct names *listed, struct names *out,
                  struct error *err);

/* When those are there too: the weight files, without those of options->without. */
bool needed_weights(const char *snapshot_dir, const struct names *listed,
                    const struct hub_options *options, struct names *out, struct error *err);

/* Without a hub, from the snapshot alone: all files that the pipeline needs, whether they are there
 * or not, and missing, those that are not. A snapshot without readable model_index.json misses that
 * file; a tokenizer folder without any vocabulary misses tokenizer.json. */
void needed_locally(const char *snapshot_dir, const struct hub_options *options, struct names *all,
                    struct names *missing);
