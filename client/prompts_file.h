/* Data set files: one JSON object a line, in one of the forms that AIPerf calls
 *
 *   single_turn     {"text": "A red fox"}, also timestamp, extra, session_id, image
 *   random_pool     the same without timing and extra; requests draw from the rows
 *   mooncake_trace  {"timestamp": 0, "text_input": "A red fox"}, or input_length for a prompt that
 * is made up
 *
 * Blank lines are skipped. A failure names file and line. A field that nobody knows, or that asks
 * for what can't be done, is refused: a misspelt key must not silently change what is measured.
 *
 * The file is read once, line by line, so it may be a pipe, and may change later. */
#pragma once

#include "client/draft.h"

enum prompts_format {
    PROMPTS_SINGLE_TURN,
    PROMPTS_RANDOM_POOL,
    PROMPTS_MOONCAKE,
    N_PROMPTS_FORMATS
};

/* Names as in --custom-dataset-type; a dash for an underscore is fine. -1: unknown. */
const char *prompts_format_name(enum prompts_format format);
int prompts_format_parse(const char *name);

struct prompts_source {
    const char *path;
    enum prompts_format format;
    bool takes_images;     /* rows must have an input picture; else they must not */
    size_t n_drawn;        /* of a random_pool: so many rows are drawn, with replacement */
    int64_t seed;          /* likewise: those that AIPerf draws with that seed */
    const char *spill_dir; /* likewise: where a large pool may lie meanwhile; NULL: memory */
};

/* Finish and keep a row; it frees nothing. On false the reading ends, and err gets file and line.
 */
typedef bool (*prompts_row_fn)(void *self, struct draft *row, struct error *err);

/* Hand all rows to handle in the order of the file, or those drawn from a pool. */
bool prompts_read(const struct prompts_source *source, prompts_row_fn handle, void *self,
                  struct error *err);

/* True when the first row has a timestamp; false too when there is no readable row. */
bool prompts_first_has_timestamp(const char *path);
