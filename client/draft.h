/* One entry of the data set in the making: from a row of a file, or from a wished length, to a name
 * and a request body. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/error.h"
#include "client/edit_image.h"
#include "client/fields.h"
#include "client/random.h"
#include "client/tokens.h"

struct draft {
    char *text;        /* owned, like the rest; NULL: to be made up */
    int64_t n_tokens;  /* of a text to be made up */
    char *session_id;  /* NULL: to be named */
    bool is_named;     /* by its row */
    size_t turn;       /* of a session, from 0 */
    char *correlation; /* or NULL */
    char *image;       /* the input picture as the row names it, or NULL */
    bool has_timestamp;
    double timestamp_ms;
    size_t line;         /* of the file, from 1; 0: made up */
    struct fields extra; /* the row's own additions to the body */
    int64_t isl;         /* tokens of the prompt that is sent; -1 without a tokenizer */
    struct buf body;     /* the request body */
    char *content_type;  /* of the body; NULL: JSON */
    struct buf json;     /* what stands for the body in files; empty: the body itself */
};

void draft_free(struct draft *d);

/* What all entries of a data set share; nothing is owned by the options. */
struct draft_options {
    const char *model;
    const struct fields *extra;   /* --extra-inputs */
    const struct tokens *tokens;  /* or NULL */
    const char *correlation_mark; /* its requests are named so and by the session; NULL: anew */
    const struct edit_image_shape *shape; /* entries are edits, and pictures have it; NULL: no */
    bool is_seeded;                       /* sessions are numbered; else they are random UUIDs */
    int64_t seed;
};

/* Finishes drafts in the order of the data set. */
struct draft_maker;
struct draft_maker *draft_maker_open(const struct draft_options *options);
void draft_maker_close(struct draft_maker *m); /* NULL is fine */

/* Make up a text if it has none, name its session (a later turn has that of the draft before it),
 * write its body and count its tokens. Fails with ERR_INVALID when there is no tokenizer for a text
 * to be made up, or the picture of an edit is none; with ERR_IO when it can't be read. */
bool draft_finish(struct draft_maker *m, struct draft *d, struct error *err);
