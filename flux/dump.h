/* Collecting tensors under names, and writing them as safetensors. The public part is in flux.h. */
#pragma once

#include "flux/flux.h"
#include "flux/layers.h"

/* Add a dense host tensor (copied). Of two with one name the first is kept. */
void dump_host(struct flux_dump *d, const char *name, struct tensor host);
void dump_floats(struct flux_dump *d, const char *name, enum dtype as, const float *host,
                 struct shape shape);
void dump_double(struct flux_dump *d, const char *name, double value);

/* Add a device tensor of any strides, and append one to a stack: the result has a new leading
 * axis that counts the calls. Waits for the device. */
void dump_device(struct flux_dump *d, struct backend *b, const char *name, struct tensor t);
void dump_stack(struct flux_dump *d, struct backend *b, const char *name, struct tensor t);

/* Add image_float = clip(image_decoded / 2 + 1/2, 0, 1), in image_decoded's type. */
void dump_image_float(struct flux_dump *d);

/* A tap that adds what it sees. */
struct dump_tap {
    struct tap tap; /* first */
    struct flux_dump *dump;
    struct backend *backend;
};
struct dump_tap dump_tap(struct flux_dump *d, struct backend *b);
