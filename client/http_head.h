/* Heads of requests that this program sends itself, byte by byte those that libcurl sends. */
#pragma once

#include "base/buf.h"
#include "client/request.h"

/* Append the lines that all requests to a url begin with, the request line and Host. False, with
 * nothing appended, when libcurl has to send them: TLS, HTTP/2, a password in the address, header
 * fields that change how a request is framed. */
bool http_head_begin(struct buf *out, const struct request_target *target, const char *url);

/* Append the other lines, which are the record's. */
void http_head_end(struct buf *out, const struct request_target *target, const struct record *r);
