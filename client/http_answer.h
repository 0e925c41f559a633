/* The head of an answer: the status line and the four header fields that matter here. No socket. */
#pragma once

#include <stddef.h>

#include "client/record.h"

#define HTTP_MAX_BODY ((size_t)1 << 30) /* a larger answer is TRANSFER_OVERSIZED */

/* Take one line as it came, line end included, into the record: a status line begins an answer
 * anew (after a redirect or "100 Continue" there are several), the empty line stamps ack_ns. */
void http_answer_line(struct record *r, const char *line, size_t size);
