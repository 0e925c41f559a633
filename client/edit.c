#include "client/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "client/random.h"
#include "image/image.h"

#define BOUNDARY_SIZE 33 /* 32 hexadecimal digits and the NUL */

static const char TEXT_TYPE[] = "text/plain; charset=utf-8";

/* ---- fields --------------------------------------------------------------------------------- */

bool edit_check_extra(const struct fields *extra, struct error *err)
{
    static const char *const OWN[] = {"prompt", "image", "url", "mask"};
    for (size_t i = 0; i < sizeof OWN / sizeof OWN[0]; i++) {
        if (fields_get(extra, OWN[i]))
            return fail_field(err, OWN[i],
                              "extra field '%s': of an image edit it can't be replaced", OWN[i]);
    }
    return true;
}

/* The picture as it stands in files. */
static void set_image(struct fields *all, const struct buf *image, enum image_format format)
{
    struct buf value = {0}, base64 = {0};
    base64_encode(&base64, image->data, image->size);
    buf_printf(&value, "{\"b64_data\":\"%s\",\"filename\":\"image.%s\",\"content_type\":\"%s\"}",
               base64.data, image_format_extension(format), image_format_mime(format));
    fields_set(all, "image", value.data);
    buf_free(&value);
    buf_free(&base64);
}

static void gather(struct fields *all, const struct edit_input *in, enum image_format format,
                   const struct fields *extra, const struct fields *row)
{
    fields_set_string(all, "prompt", in->prompt);
    fields_set_string(all, "model", in->model);
    fields_set_string(all, "response_format", "b64_json");
    fields_set(all, "n", "1");
    if (in->url)
        fields_set_string(all, "url", in->url);
    else
        set_image(all, in->image, format);
    fields_merge(all, extra);
    fields_merge(all, row);
}

/* ---- parts ---------------------------------------------------------------------------------- */

/* The name of a field inside the quotes of a head: what would end it is percent-coded. */
static void put_name(struct buf *out, const char *name)
{
    for (; *name; name++) {
        if (*name == '"' || *name == '\r' || *name == '\n')
            buf_printf(out, "%%%02X", (unsigned)*name);
        else
            buf_putc(out, *name);
    }
}

static void put_part(struct buf *out, const char *boundary, const char *type, const char *name,
                     const char *file, const void *bytes, size_t size)
{
    buf_printf(out, "--%s\r\nContent-Type: %s\r\nContent-Disposition: form-data; name=\"", boundary,
               type);
    put_name(out, name);
    buf_putc(out, '"');
    if (file)
        buf_printf(out, "; filename=\"image.%s\"", file);
    buf_puts(out, "\r\n\r\n");
    buf_append(out, bytes, size);
    buf_puts(out, "\r\n");
}

/* A string as it is, anything else as its JSON text; null is left out. */
static void put_field(struct buf *out, const char *boundary, const struct field *field)
{
    struct json *value = json_parse(field->value, strlen(field->value), NULL);
    const char *text = value && json_type(value) == JSON_STRING ? json_string(value) : field->value;
    if (!value || json_type(value) != JSON_NULL)
        put_part(out, boundary, TEXT_TYPE, field->key, NULL, text, strlen(text));
    json_free(value);
}

static void put_form(struct buf *out, const char *boundary, const struct fields *all,
                     const struct buf *image, enum image_format format)
{
    for (size_t i = 0; i < all->n_items; i++) {
        if (image && strcmp(all->items[i].key, "image") == 0)
            put_part(out, boundary, image_format_mime(format), "image",
                     image_format_extension(format), image->data, image->size);
        else
            put_field(out, boundary, &all->items[i]);
    }
    buf_printf(out, "--%s--\r\n", boundary);
}

/* From the content, so that equal runs send equal bytes; it can't be foreseen by the content. */
static void make_boundary(char out[BOUNDARY_SIZE], const struct buf *json)
{
    uint8_t digest[SHA256_SIZE];
    sha256(json->data, json->size, digest);
    for (size_t i = 0; i < (BOUNDARY_SIZE - 1) / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

bool edit_form_make(struct edit_form *form, const struct edit_input *in, const struct fields *extra,
                    const struct fields *row, struct error *err)
{
    enum image_format format =
        in->url ? IMAGE_UNKNOWN : image_sniff(in->image->data, in->image->size);
    if (!in->url && format == IMAGE_UNKNOWN)
        return fail_field(err, "image", "the input picture is no PNG, JPEG, WebP, GIF or BMP file");
    if (!edit_check_extra(extra, err) || !edit_check_extra(row, err))
        return false;
    struct fields all = {0};
    char boundary[BOUNDARY_SIZE];
    gather(&all, in, format, extra, row);
    fields_print(&form->json, &all, 0, 0);
    make_boundary(boundary, &form->json);
    put_form(&form->body, boundary, &all, in->url ? NULL : in->image, format);
    form->content_type = xasprintf("multipart/form-data; boundary=%s", boundary);
    fields_free(&all);
    return true;
}

void edit_form_free(struct edit_form *form)
{
    buf_free(&form->body);
    buf_free(&form->json);
    free(form->content_type);
    *form = (struct edit_form){0};
}
