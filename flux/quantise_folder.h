/* A model folder in the diffusers layout to another one with quantised matrices. */
#pragma once

#include "flux/quantise.h"

struct quantise_folder {
    const char *from, *to; /* to must not exist */
    enum quant quant;
    struct backend *backend; /* its threads do the work */
    /* Asked before each tensor; false stops with ERR_CANCELED. NULL: never. */
    bool (*may_continue)(void *ctx);
    void *ctx;
};

/* Layers that differ in their block's number alone. */
struct quantise_kind {
    char *name; /* owned; "*" for the number */
    int n_layers;
    struct quantise_error sum;
    double worst;     /* relative error of the worst layer */
    char *worst_name; /* owned */
};

struct quantise_report {
    struct quantise_kind *kinds; /* owned */
    size_t n_kinds;
    uint64_t bytes_before, bytes_after; /* of the weight files of the parts that were quantised */
};

/* Write q->to: the transformer and T5 with the matrices that quantise_scheme() names as codes and
 * scales (the names of flux/quantise.h; the scheme also in each file's metadata and in the parts'
 * configs), everything else as it is, except single files of weights at the top and hidden files.
 * The folder is made under another name beside it and renamed at the end: it is there whole or not
 * at all. Fails naming the file or tensor: q->to exists, too little room on the disk, NaN in a
 * weight, a model that is quantised already. report may be full or empty on failure; free it. */
bool quantise_folder(const struct quantise_folder *q, struct quantise_report *report,
                     struct error *err);
void quantise_report_free(struct quantise_report *report);

/* sqrt(error_2 / power); 0 for zeros. */
double quantise_relative(struct quantise_error e);
