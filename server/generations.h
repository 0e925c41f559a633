/* The handler of POST /v1/images/generations, and of /v1/images/edits, whose wish comes as a form
 * with a picture. */
#pragma once

#include "server/http.h"

void generations_handle(void *ctx, const struct http_request *request,
                        struct http_response *response);
