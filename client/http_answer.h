/* An answer on its way into a record: the status line, the header fields that matter here, the
 * body. No socket. */
#pragma once

#include <stddef.h>

#include "client/record.h"

#define HTTP_MAX_BODY ((size_t)1 << 30) /* a larger answer is TRANSFER_OVERSIZED */

/* Take one line as it came, line end included, into the record: a status line begins an answer
 * anew (after a redirect or "100 Continue" there are several), the empty line stamps ack_ns. */
void http_answer_line(struct record *r, const char *line, size_t size);
/* Take the next bytes of the body, which have come this moment. False: it is too long. */
bool http_answer_body(struct record *r, const char *data, size_t size);
