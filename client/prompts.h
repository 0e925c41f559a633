/* The data set: what request i asks for. Entries come from a file (single_turn rows) or are made
 * up (synthetic); requests take them in order and start over when there are more requests.
 *
 * Made before the run and then only read, so every thread may use it. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "client/fields.h"
#include "client/tokens.h"

struct prompts_entry {
    char *text;          /* owned, like the rest */
    char *session_id;    /* conversation_id of the records */
    struct fields extra; /* the row's own additions to the body */
    int64_t isl;         /* tokens; -1 without a tokenizer */
    struct buf body;     /* the request body */
};

struct prompts {
    struct prompts_entry *entries; /* owned: prompts_free */
    size_t n_entries;
};

void prompts_free(struct prompts *p);

/* Read a single_turn file: one JSON object a line, `text` or `texts` (the first one is used),
 * optional `extra` object and `session_id`. Blank lines are skipped. A failure names file and
 * line; fields that ask for what can't be given (images, timing) are refused. */
bool prompts_read(struct prompts *p, const char *path, struct error *err);

/* Make n entries with lengths from Normal(mean, std) tokens: negative draws are redrawn, the rest
 * rounded up, at least 1; with std 0 all have the rounded mean. tokens must not be NULL. */
void prompts_make(struct prompts *p, size_t n, double mean, double std, int64_t seed,
                  const struct tokens *tokens);

/* Count tokens (tokens may be NULL), name the sessions (numbered when the run is seeded, else
 * random UUIDs) and write the bodies. */
void prompts_finish(struct prompts *p, const struct tokens *tokens, bool is_seeded,
                    const char *model, const struct fields *extra);

/* Append the content of inputs.json. */
void prompts_print_inputs(const struct prompts *p, struct buf *out);
