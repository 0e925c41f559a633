/* The data set: what request i asks for. Entries come from a file (prompts_file.h) or are made
 * up, are finished one by one (draft.h) and put on a shelf here, so that a data set of millions of
 * lines needs little memory: its bodies lie in a file, and are read when they are due.
 *
 * Made before the run and then only read, so every thread may use it. */
#pragma once

#include "client/draft.h"
#include "client/shelf.h"

/* What is kept of a finished draft. Its texts lie in its row. */
struct prompts_entry {
    const char *row; /* the entry's own bytes, for prompts_view */
    const char *text;
    const char *session_id;  /* conversation_id of the records */
    bool is_named;           /* by its row */
    const char *correlation; /* X-Correlation-ID of its requests; NULL: a new one for each */
    size_t turn;             /* of a session, from 0; later turns stand behind */
    size_t line;             /* of the file, from 1; 0: made up */
    bool has_timestamp;
    double timestamp_ms;      /* when the row is due, on the file's own clock */
    int64_t isl;              /* tokens; -1 without a tokenizer */
    const char *body;         /* the request body, body_bytes long */
    const char *content_type; /* of the body; NULL: JSON */
    const char *json;         /* what stands for the body in files: itself, or made for a form */
    size_t body_bytes, json_bytes;
};

/* Zero-initialise for one in memory. */
struct prompts {
    struct shelf shelf;
    size_t n_entries;
    size_t n_named; /* those whose row has a session_id */
};

/* dir is where its files may lie, nameless; NULL: memory. */
void prompts_init(struct prompts *p, const char *dir);
void prompts_free(struct prompts *p);

/* Append a finished draft, which stays the caller's. */
bool prompts_put(struct prompts *p, const struct draft *d, struct error *err);
/* All are there: from now on prompts_at may be used. */
bool prompts_done(struct prompts *p, struct error *err);

/* Reads entries, by one thread. */
struct prompts_reader {
    struct shelf_reader shelf;
};
struct prompts_reader prompts_reader(const struct prompts *p);
void prompts_reader_free(struct prompts_reader *r);

/* Entry i < n_entries; holds until the next call. */
struct prompts_entry prompts_at(struct prompts_reader *r, size_t i);
/* The same for longer: until *owned is freed, or as long as p when that is NULL. */
struct prompts_entry prompts_take(struct prompts_reader *r, size_t i, char **owned);
/* What a row says. */
struct prompts_entry prompts_view(const char *row);

/* Find two entries, *a < *b, of one session_id, later turns aside; only among those named by their
 * rows when only_named. *found says whether there are any. */
bool prompts_twins(const struct prompts *p, bool only_named, bool *found, size_t *a, size_t *b,
                   struct error *err);

/* Hash all request bodies: SHA-256 over their SHA-256s in order. */
void prompts_hash(const struct prompts *p, uint8_t digest[SHA256_SIZE]);

/* Write inputs.json. A failure shows in the stream. */
void prompts_print_inputs(const struct prompts *p, FILE *out);
