/* The timeline of each request as Chrome trace events: for chrome://tracing and Perfetto. Every
 * request is a row of nested spans: due, connecting, sending, the server's stages, receiving. */
#pragma once

#include "base/buf.h"
#include "client/record.h"

/* Append the events of one request, each a line that ends in ",\n". A file of them begins with
 * TRACE_BEGIN and ends with TRACE_END. The server tells durations only; its stages are laid one
 * after the other from the last byte sent on. */
void trace_print(struct buf *out, const struct record *r, int64_t unix_offset_ns);

#define TRACE_BEGIN "[\n"
#define TRACE_END                                                                   \
    "{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": 1, \"args\": {\"name\": " \
    "\"fluxperf\"}}\n"                                                              \
    "]\n"
