/* The rows of the profile command line. Internal to options.c. */
#pragma once

#include <stddef.h>

#include "base/args.h"

extern const struct option OPTIONS[];
extern const size_t N_OPTIONS;

/* The row whose name or alias is word[0..size), or NULL. */
const struct option *options_find(const char *word, size_t size);

/* The static name when word[0..size) is an option of AIPerf that is not supported, else NULL. */
const char *options_unsupported(const char *word, size_t size);
