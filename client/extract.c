#include "client/extract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "client/lines.h"
#include "image/image.h"

struct extraction {
    const char *dir;
    size_t line;
    size_t n_written;
};

static bool write_image(struct extraction *x, const char *b64, size_t index, struct error *err)
{
    struct buf file = {0};
    if (!base64_decode(&file, b64, strlen(b64), err)) {
        buf_free(&file);
        return error_prefix(err, "data[%zu].b64_json", index);
    }
    enum image_format format = image_sniff(file.data, file.size);
    char *path = xasprintf("%s/image_%04zu_%02zu.%s", x->dir, x->line, index,
                           format == IMAGE_UNKNOWN ? "bin" : image_format_extension(format));
    bool ok = file_write(path, file.data ? file.data : "", file.size, err);
    if (ok) {
        char *absolute = realpath(path, NULL);
        printf("Extracted: %s\n", absolute ? absolute : path);
        free(absolute);
        x->n_written++;
    }
    free(path);
    buf_free(&file);
    return ok;
}

static bool extract_response(struct extraction *x, const struct json *response, struct error *err)
{
    const char *text = NULL;
    if (!json_read_string(response, "text", &text, err))
        return false;
    struct json *answer = text ? json_parse(text, strlen(text), NULL) : NULL;
    const struct json *data = json_get(answer, "data");
    bool ok = true;
    size_t index = 0;
    for (const struct json *item = json_first(data); ok && item; item = json_next(item), index++) {
        const char *b64 = NULL;
        ok = json_read_string(item, "b64_json", &b64, err) &&
             (!b64 || !*b64 || write_image(x, b64, index, err));
    }
    json_free(answer);
    return ok;
}

static bool extract_line(void *self, const char *line, size_t size, struct error *err)
{
    struct extraction *x = self;
    x->line++;
    if (strspn(line, " \t\r\n") == size)
        return true;
    struct json *record = json_parse(line, size, err);
    if (!record)
        return false;
    bool ok = json_type(record) == JSON_OBJECT
                  ? true
                  : fail(err, ERR_INVALID, "a line must be a JSON object, not a %s",
                         json_type_name(json_type(record)));
    const struct json *responses = ok ? json_get(record, "responses") : NULL;
    for (const struct json *r = json_first(responses); ok && r; r = json_next(r))
        ok = extract_response(x, r, err);
    json_free(record);
    return ok;
}

bool extract_images(const char *input, const char *dir, size_t *n_written, struct error *err)
{
    struct extraction x = {.dir = dir};
    *n_written = 0;
    if (!file_exists(input))
        return fail(err, ERR_NOT_FOUND,
                    "can't read %s: run fluxperf profile with --export-level raw first", input);
    bool ok = dir_make(dir, err) && lines_read(input, extract_line, &x, err);
    *n_written = x.n_written;
    return ok;
}
