/* The handler of POST /v1/images/generations. */
#pragma once

#include "server/http.h"

void generations_handle(void *ctx, const struct http_request *request,
                        struct http_response *response);
