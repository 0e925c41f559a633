/* Each connection is an open file, of which the system allows a process only so many. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Take as many as the system allows. */
void file_limit_raise(void);
/* Fails with ERR_INVALID when the connections of --concurrency are more. */
bool file_limit_check(int64_t concurrency, struct error *err);
