/* The wish of POST /v1/images/edits: a form's texts become the JSON object that the table of fields
 * reads, so that each field is defined once for both routes; its picture becomes pixels.
 *
 * The picture's size is read first, since it is the default size and must pass the same limits:
 * nothing is decoded that could not be used. */
#include <string.h>

#include "server/images_api.h"
#include "text/unicode.h"

/* Members that OpenAI or other servers know, and that would change the picture if they worked. */
static const struct {
    const char *name, *why;
} REFUSED[] = {
    {"mask", "is not supported: the model changes the whole picture, leave it out"},
    {"mask[]", "is not supported: the model changes the whole picture, leave it out"},
    {"url", "is not supported: the server fetches no pictures, send the file as image"},
};

static bool is_image(const char *name)
{
    return strcmp(name, "image") == 0 || strcmp(name, "image[]") == 0;
}

static bool check_known(const struct form_part *part, struct error *err)
{
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        if (strcmp(part->name, REFUSED[i].name) == 0)
            return fail_field(err, part->name, "%s %s", part->name, REFUSED[i].why);
    }
    return true;
}

/* A text as its field's type: "2" of a number becomes 2. What is none stays text, and the field's
 * own check refuses it. */
static struct json *node_of(const struct form_part *part)
{
    struct json *node = NULL;
    if (!images_is_text(part->name))
        node = json_parse(part->value.data, part->value.size, NULL);
    if (node && json_type(node) != JSON_NUMBER && json_type(node) != JSON_BOOL) {
        json_free(node);
        node = NULL;
    }
    return node ? node : json_new_string(part->value.data);
}

static bool add_text(struct json *body, const struct form_part *part, struct error *err)
{
    const struct buf *value = &part->value;
    if (!utf8_valid(part->name, strlen(part->name)))
        return fail(err, ERR_INVALID, "the name of a part is not valid UTF-8");
    if (!utf8_valid(value->data, value->size) || memchr(value->data, '\0', value->size))
        return fail_field(err, part->name, "%s: must be UTF-8 text without NUL", part->name);
    if (json_get(body, part->name))
        return fail_field(err, part->name, "%s is given twice: give it once", part->name);
    json_set(body, part->name, node_of(part));
    return true;
}

/* Texts go into r->body; *file is the picture's. */
static bool sort_parts(struct images_request *r, const struct form *form, const struct buf **file,
                       struct error *err)
{
    r->body = json_new_object();
    for (int i = 0; i < form->n_parts; i++) {
        const struct form_part *part = &form->parts[i];
        if (!check_known(part, err))
            return false;
        if (!is_image(part->name)) {
            if (!add_text(r->body, part, err))
                return false;
        } else if (*file) {
            return fail_field(err, "image", "image: 2 or more pictures, must be one");
        } else {
            *file = &part->value;
        }
    }
    if (*file && (*file)->size)
        return true;
    return fail_field(err, "image", "image: %s, must be a file: PNG, JPEG, WebP, GIF or BMP",
                      *file ? "empty" : "missing");
}

static bool fail_image(struct error *err, const struct error *why)
{
    return fail_field(err, "image", "image: %s", why->text);
}

/* The size may be told, but is the picture's. */
static bool check_same_size(const struct images_request *r, int width_px, int height_px,
                            struct error *err)
{
    if (r->width_px == width_px && r->height_px == height_px)
        return true;
    return fail_field(err, r->size ? "size" : "width",
                      "size %lldx%lld: the image is %dx%d, must be the same; leave size out to "
                      "take the image's",
                      (long long)r->width_px, (long long)r->height_px, width_px, height_px);
}

bool images_parse_edit(struct images_request *r, const struct form *form,
                       const struct images_limits *limits, const struct flux_spec *defaults,
                       struct error *err)
{
    const struct buf *file = NULL;
    struct error why = {0};
    struct flux_spec sized = *defaults;
    r->is_edit = true;
    if (!sort_parts(r, form, &file, err) || !file)
        return false;
    if (!image_probe(file->data, file->size, &sized.width_px, &sized.height_px, &why))
        return fail_image(err, &why);
    if ((int64_t)sized.width_px * sized.height_px > limits->max_pixels) {
        return fail_field(err, "image", "image: %dx%d pixels, this server's limit is %lld in all",
                          sized.width_px, sized.height_px, (long long)limits->max_pixels);
    }
    if (!images_read(r, limits, &sized, err) ||
        !check_same_size(r, sized.width_px, sized.height_px, err))
        return false;
    return image_decode(&r->picture, file->data, file->size, FLUX_MAX_SIDE_PX, &why) ||
           fail_image(err, &why);
}
