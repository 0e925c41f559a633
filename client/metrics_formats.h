/* The value of --server-metrics-formats: json, csv and jsonl in any case, with commas or blanks
 * between. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Fails with ERR_INVALID for another name. */
bool metrics_formats_check(const char *list, struct error *err);
/* True when the list has it. */
bool metrics_formats_have(const char *list, const char *format);
