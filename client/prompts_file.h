/* Data set files: one JSON object a line, in one of the forms that AIPerf calls
 *
 *   single_turn     {"text": "A red fox"}, also timestamp, extra, session_id, image
 *   random_pool     the same without timing and extra; requests draw from the rows
 *   mooncake_trace  {"timestamp": 0, "text_input": "A red fox"}, or input_length for a prompt that
 * is made up
 *
 * Blank lines are skipped. A failure names file and line. A field that nobody knows, or that asks
 * for what can't be done, is refused: a misspelt key must not silently change what is measured. */
#pragma once

#include "client/prompts.h"

enum prompts_format {
    PROMPTS_SINGLE_TURN,
    PROMPTS_RANDOM_POOL,
    PROMPTS_MOONCAKE,
    N_PROMPTS_FORMATS
};

/* Names as in --custom-dataset-type; a dash for an underscore is fine. -1: unknown. */
const char *prompts_format_name(enum prompts_format format);
int prompts_format_parse(const char *name);

/* Read all rows, in the order of the file. takes_images: rows must have an input picture (else they
 * must not). */
bool prompts_read(struct prompts *p, const char *path, enum prompts_format format,
                  bool takes_images, struct error *err);

/* True when the first row has a timestamp; false too when there is no readable row. */
bool prompts_first_has_timestamp(const char *path);

/* Replace the rows by n draws from them, with replacement: those that AIPerf draws with that seed.
 */
void prompts_draw(struct prompts *p, size_t n, int64_t seed);
