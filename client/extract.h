/* `fluxperf extract-images [INPUT [DIR]]`: the pictures of a raw export as files. */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define EXTRACT_INPUT                                                              \
    "artifacts/black-forest-labs_FLUX.1-dev-openai-image_generation-concurrency1/" \
    "profile_export_raw.jsonl"
#define EXTRACT_DIR "extracted_images"

/* Write every data[].b64_json of every response in the raw export at input into dir, as
 * image_<line, 4 digits>_<index, 2 digits>.<png|jpg|webp|...>, the ending by what the bytes are
 * ("bin" when they are no picture). Prints a line per file to stdout. *n_written counts them. A
 * line that is not as expected fails, with file and line. */
bool extract_images(const char *input, const char *dir, size_t *n_written, struct error *err);
