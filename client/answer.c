#include "client/answer.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "client/random.h"
#include "image/image.h"
#include "text/unicode.h"

#define MAX_MESSAGE 65536 /* of a body quoted in an error */

static void set_error(struct record *r, int code, const char *type, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A copy with malformed UTF-8 replaced: messages quote what servers send. */
static char *copy_utf8(const char *text, size_t size)
{
    struct buf out = {0};
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += utf8_decode(text + at, size - at, &code);
        utf8_append(&out, code);
    }
    return out.data ? out.data : xstrdup("");
}

/* The first failure stays. */
static void set_error(struct record *r, int code, const char *type, const char *format, ...)
{
    if (r->error.message)
        return;
    struct buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    r->error.code = code;
    r->error.type = type;
    r->error.message = copy_utf8(text.data, text.size);
    buf_free(&text);
}

static void judge_transfer(struct record *r)
{
    const char *text = r->transfer_text ? r->transfer_text : "";
    switch (r->transfer) {
    case TRANSFER_DONE:
        break;
    case TRANSFER_CANCELED:
        set_error(r, 499, "RequestCancellationError", "still in flight when the run ended");
        break;
    case TRANSFER_DROPPED:
        set_error(r, 499, "RequestCancellationError", "Request cancelled %.3fs after being sent",
                  clock_seconds(r->drop_after_ns));
        break;
    case TRANSFER_NO_HOST:
        set_error(r, 0, "ClientConnectorDNSError", "%s", text);
        break;
    case TRANSFER_NO_CONNECT:
        set_error(r, 0, "ClientConnectorError", "%s", text);
        break;
    case TRANSFER_DISCONNECTED:
        set_error(r, 0, "ServerDisconnectedError", "%s", text);
        break;
    case TRANSFER_TIMEOUT:
        set_error(r, 0, "TimeoutError", "%s", text);
        break;
    case TRANSFER_OVERSIZED:
        set_error(r, 0, "ResponseTooLargeError", "the answer is larger than 1 GiB");
        break;
    case TRANSFER_FAILED:
        set_error(r, 0, "ClientError", "%s", text);
        break;
    }
}

static void judge_status(struct record *r)
{
    if (r->status >= 200 && r->status <= 299)
        return;
    size_t n = r->body.size < MAX_MESSAGE ? r->body.size : MAX_MESSAGE;
    const char *reason = r->reason && *r->reason ? r->reason : "HTTP error";
    char *type = copy_utf8(reason, strlen(reason));
    free(r->reason);
    r->reason = type; /* the record keeps it alive */
    set_error(r, r->status, type, "%.*s", (int)n, r->body.data ? r->body.data : "");
}

/* Get the bytes of one entry, by value or by address. */
static bool read_entry(struct record *r, const struct json *entry, size_t index,
                       const struct answer_source *source, struct buf *out)
{
    const char *b64 = NULL, *url = NULL;
    size_t n = 0;
    struct error err = {0};
    bool is_object = json_type(entry) == JSON_OBJECT;
    if (!is_object || !json_read_string(entry, "b64_json", &b64, &err) ||
        !json_read_string(entry, "url", &url, &err) || (!b64 && !url)) {
        set_error(r, 0, "NoImageError", "data[%zu] has neither b64_json nor url", index);
        return false;
    }
    if (b64)
        b64 = json_text(json_get(entry, "b64_json"), &n);
    const char *comma = n > 5 && memcmp(b64, "data:", 5) == 0 ? memchr(b64, ',', n) : NULL;
    if (comma) { /* a data URL */
        n -= (size_t)(comma + 1 - b64);
        b64 = comma + 1;
    }
    if (b64 && !base64_decode(out, b64, n, &err)) {
        set_error(r, 0, "InvalidBase64Error", "data[%zu].b64_json: %s", index, err.text);
        return false;
    }
    if (!b64 && !source->fetch(source->self, r, url, out, &err)) {
        set_error(r, 0, "ImageFetchError", "data[%zu].url: %s", index, err.text);
        return false;
    }
    return true;
}

static void judge_entry(struct record *r, const struct json *entry, size_t index,
                        const struct answer_source *source)
{
    struct buf file = {0};
    struct image image = {0};
    struct error err = {0};
    struct record_image *info = &r->images[index];
    if (read_entry(r, entry, index, source, &file)) {
        info->bytes = file.size;
        r->image_bytes += (int64_t)file.size;
        sha256(file.data, file.size, r->digests[index]);
        if (image_decode(&image, file.data, file.size, ANSWER_MAX_SIDE_PX, &err)) {
            info->format = image_format_name(image_sniff(file.data, file.size));
            info->width_px = image.width_px;
            info->height_px = image.height_px;
            r->image_pixels += (int64_t)image.width_px * image.height_px;
            r->n_decoded++;
            if (source->show)
                source->show(source->self, r, &file, &image);
        } else {
            set_error(r, 0, "UndecodableImageError", "data[%zu]: %s", index, err.text);
        }
    }
    image_free(&image);
    buf_free(&file);
}

/* One count of usage, by either of its two names; -1 when it is not there. */
static int64_t read_usage(const struct json *usage, const char *name, const char *other)
{
    int64_t value = -1;
    if (usage && json_type(usage) == JSON_OBJECT) {
        json_read_int(usage, other, 0, INT32_MAX, &value, NULL);
        json_read_int(usage, name, 0, INT32_MAX, &value, NULL);
    }
    return value;
}

/* Pictures by address may change; stages are times. */
static bool depends_on_bytes_alone(const struct record *r, const struct json *tree)
{
    struct stages *own = stages_read(NULL, tree);
    bool has_own = own != NULL;
    stages_free(own);
    for (const struct json *entry = json_first(json_get(tree, "data")); entry && !has_own;
         entry = json_next(entry))
        has_own = json_get(entry, "url") != NULL;
    return record_succeeded(r) && !has_own;
}

static bool judge_body(struct record *r, const struct answer_source *source)
{
    struct error err = {0};
    const struct buf *body = record_body(r);
    struct json *tree =
        json_parse_around(body->data ? body->data : "", body->size, "b64_json", &err);
    if (!tree || json_type(tree) != JSON_OBJECT || !json_first(tree)) {
        set_error(r, 0, "InvalidInferenceResultError", "the answer has no usable content: %s",
                  tree ? "not a JSON object with fields" : err.text);
        json_free(tree);
        return false;
    }
    const struct json *data = json_get(tree, "data"), *usage = json_get(tree, "usage");
    r->usage_prompt_tokens = read_usage(usage, "prompt_tokens", "input_tokens");
    r->usage_completion_tokens = read_usage(usage, "completion_tokens", "output_tokens");
    const char *model = NULL;
    if (json_read_string(tree, "model", &model, NULL) && model)
        r->served_model = xstrdup(model);
    r->stages = stages_read(r->server_timing, tree);
    bool is_list = data && json_type(data) == JSON_ARRAY;
    r->n_returned = is_list ? json_size(data) : 0;
    if (r->n_returned == 0)
        set_error(r, 0, "NoImageError",
                  is_list ? "data[] is empty: no image was returned"
                          : "the answer has no data[] list");
    r->images = xcalloc(r->n_returned + 1, sizeof *r->images);
    r->digests = xcalloc(r->n_returned + 1, sizeof *r->digests);
    size_t index = 0;
    for (const struct json *entry = r->n_returned ? json_first(data) : NULL; entry;
         entry = json_next(entry))
        judge_entry(r, entry, index++, source);
    bool may_be_kept = depends_on_bytes_alone(r, tree);
    json_free(tree);
    return may_be_kept;
}

void answer_recall(struct record *r)
{
    answer_memory_recall(r);
    r->stages = stages_read(r->server_timing, NULL);
}

bool answer_judge(struct record *r, const struct answer_source *source)
{
    r->usage_prompt_tokens = r->usage_completion_tokens = -1;
    judge_transfer(r);
    if (record_succeeded(r))
        judge_status(r);
    return record_succeeded(r) && judge_body(r, source);
}
