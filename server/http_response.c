/* Filling in a response: headers, OpenAI's error object, and what the log line shall say. */
#include "server/http.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "server/api_error.h"

void http_add_header(struct http_response *response, const char *name, const char *format, ...)
{
    assert(response->n_headers < HTTP_MAX_HEADERS);
    struct http_header *header = &response->headers[response->n_headers++];
    va_list args;
    va_start(args, format);
    header->name = name;
    vsnprintf(header->value, sizeof header->value, format, args);
    va_end(args);
}

void http_log_text(struct http_response *response, const char *key, const char *value)
{
    buf_printf(&response->log, "%s%s=", response->log.size ? " " : "", key);
    json_print_string(&response->log, value, strlen(value));
}

void http_fail(struct http_response *response, int status, const char *param, const char *code,
               const char *format, ...)
{
    struct buf message = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    response->status = status;
    response->content_type = NULL;
    buf_clear(&response->body);
    api_error_write(&response->body, status, message.data, param, code);
    http_log_text(response, "error", message.data);
    buf_free(&message);
}

void http_fail_with(struct http_response *response, const struct error *err)
{
    http_fail(response, error_http_status(err->code), err->field, NULL, "%s", err->text);
}
