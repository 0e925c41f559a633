/* The dimensions of a transformer from the shapes of its tensors: single files have no config. */
#pragma once

#include "flux/checkpoint.h"
#include "flux/config.h"

/* Everything but the rotary axes, which no tensor tells. Fails naming the tensor that is missing or
 * does not fit; all others are checked when the model is bound. */
bool infer_transformer(struct transformer_config *t, const struct checkpoint *c, struct error *err);

/* The type that a part's weights are stored in, by its largest kind of matrix; *is_in_blocks when
 * they are quantised (and the result is f32). */
enum dtype infer_dtype(const struct checkpoint *c, enum part part, bool *is_in_blocks);
