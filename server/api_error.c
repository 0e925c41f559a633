/* One row per status: OpenAI's type of error, and the code where the handler knows none better. */
#include "server/api_error.h"

#include <string.h>

#include "base/json.h"

static const struct row {
    int status;
    const char *type, *code;
} ROWS[] = {
    {400, "invalid_request_error", "invalid_value"},
    {404, "invalid_request_error", "not_found"},
    {405, "invalid_request_error", "method_not_allowed"},
    {410, "invalid_request_error", "gone"},
    {413, "invalid_request_error", "request_too_large"},
    {415, "invalid_request_error", "unsupported_media_type"},
    {429, "rate_limit_error", "queue_full"},
    {503, "service_unavailable_error", "service_unavailable"},
    {500, "server_error", "internal_error"}, /* last: also for any other status */
};

static const struct row *find(int status)
{
    const struct row *row = ROWS;
    while (row->status != status && row->status != 500)
        row++;
    return row;
}

const char *api_error_type(int status) { return find(status)->type; }

static void write_string_or_null(struct buf *out, const char *text)
{
    if (text && *text)
        json_print_string(out, text, strlen(text));
    else
        buf_puts(out, "null");
}

void api_error_write(struct buf *out, int status, const char *message, const char *param,
                     const char *code)
{
    const struct row *row = find(status);
    buf_puts(out, "{\"error\":{\"message\":");
    write_string_or_null(out, message);
    buf_printf(out, ",\"type\":\"%s\",\"param\":", row->type);
    write_string_or_null(out, param);
    buf_puts(out, ",\"code\":");
    write_string_or_null(out, code ? code : row->code);
    buf_puts(out, "}}\n");
}
