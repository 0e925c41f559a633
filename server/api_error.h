/* Failures as the OpenAI API answers them:
 *
 *     {"error":{"message":"...","type":"invalid_request_error","param":"size","code":"..."}} */
#pragma once

#include "base/buf.h"

/* Append the object. param NULL or "" is written as null; code NULL takes the status's own. */
void api_error_write(struct buf *out, int status, const char *message, const char *param,
                     const char *code);

/* OpenAI's type of error for a status. */
const char *api_error_type(int status);
