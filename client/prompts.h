/* The data set: what request i asks for. Entries come from a file (prompts_file.h) or are made
 * up (synthetic); requests take them in order and start over when there are more requests.
 *
 * Made before the run and then only read, so every thread may use it. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "client/fields.h"
#include "client/tokens.h"

struct prompts_entry {
    char *text;        /* owned, like the rest; NULL while it is to be made up */
    int64_t n_tokens;  /* of a text to be made up */
    char *session_id;  /* conversation_id of the records */
    size_t turn;       /* of a session, from 0; later turns stand behind */
    char *correlation; /* X-Correlation-ID of its requests; NULL: a new one for each */
    char *image;       /* the input picture as the row names it, or NULL */
    bool has_timestamp;
    double timestamp_ms; /* when the row is due, on the file's own clock */
    size_t line;         /* of the file, from 1; 0: made up */
    struct fields extra; /* the row's own additions to the body */
    int64_t isl;         /* tokens; -1 without a tokenizer */
    struct buf body;     /* the request body */
    char *content_type;  /* of the body; NULL: JSON */
    struct buf json;     /* what stands for the body in files; empty: the body itself */
};

struct prompts {
    struct prompts_entry *entries; /* owned: prompts_free */
    size_t n_entries;
};

void prompts_free(struct prompts *p);

/* The JSON text that stands for the request in files. */
const struct buf *prompts_json(const struct prompts_entry *e);

/* A new last entry; takes text. The pointer holds until the next one. */
struct prompts_entry *prompts_add(struct prompts *p, char *text);

/* Make n sessions of Normal(mean, std) turns, drawn like lengths, without texts. */
void prompts_make_sessions(struct prompts *p, size_t n, double mean, double std, int64_t seed);

/* Make n entries with lengths from Normal(mean, std) tokens: negative draws are redrawn, the rest
 * rounded up, at least 1; with std 0 all have the rounded mean. tokens must not be NULL. */
void prompts_make(struct prompts *p, size_t n, double mean, double std, int64_t seed,
                  const struct tokens *tokens);

/* Draw the lengths of entries that are there, in order, and make their texts. */
void prompts_fill(struct prompts *p, double mean, double std, int64_t seed,
                  const struct tokens *tokens);

/* Make up the texts of those entries that have only a length. tokens must not be NULL then. */
void prompts_make_texts(struct prompts *p, int64_t seed, const struct tokens *tokens);

/* Name the sessions: numbered when the run is seeded, else random UUIDs. */
void prompts_name(struct prompts *p, bool is_seeded);

/* Count tokens (tokens may be NULL), name the sessions and write the bodies. */
void prompts_finish(struct prompts *p, const struct tokens *tokens, bool is_seeded,
                    const char *model, const struct fields *extra);

/* Append the content of inputs.json. */
void prompts_print_inputs(const struct prompts *p, struct buf *out);
