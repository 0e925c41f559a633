/* Any form of POST /v1/images/edits, as its parts come in: taken or refused with a reason, in one
 * piece or in many, and then a wish within the limits or refused.
 *
 * The input is a list of parts: a byte that chooses name and encoding, a byte for how long the
 * pieces of its value are, the value up to a byte 0xff. */
#include <string.h>

#include "tests/fuzz/wish.h"

#define END 0xff

static const char *const NAMES[] = {"prompt", "image",           "model",    "n",     "size",
                                    "seed",   "guidance_scale",  "strength", "steps", "mask",
                                    "stream", "response_format", "image[]",  "x",     "",
                                    NULL};
static const char *const ENCODINGS[] = {NULL, "", "binary", "base64"};

struct reading {
    const uint8_t *at;
    size_t left;
};

static uint8_t next_byte(struct reading *r)
{
    if (r->left == 0)
        return 0;
    r->left--;
    return *r->at++;
}

/* The next part; a part that is refused is the last one, as in the server. */
static bool add_part(struct form *form, struct reading *r, size_t piece, struct error *err)
{
    uint8_t choice = next_byte(r), length = next_byte(r);
    const struct form_head head = {NAMES[choice % 16], ENCODINGS[choice / 16 % 4]};
    const uint8_t *end = r->left ? memchr(r->at, END, r->left) : NULL;
    size_t size = end ? (size_t)(end - r->at) : r->left, done = 0;
    const uint8_t *value = r->at;
    piece = piece ? piece : 1 + (size_t)length % 16;
    r->at += size + (end != NULL);
    r->left -= size + (end != NULL);
    do {
        size_t n = size - done < piece ? size - done : piece;
        if (!form_add(form, &head, done, value + done, n, err))
            return false;
        done += n;
    } while (done < size);
    return true;
}

static bool read_form(struct form *form, const uint8_t *data, size_t size, size_t piece,
                      struct error *err)
{
    struct reading r = {data, size};
    while (r.left > 0) {
        if (!add_part(form, &r, piece, err))
            return false;
    }
    return true;
}

static void check_same(const struct form *a, const struct form *b)
{
    CLAIM(a->n_parts == b->n_parts);
    for (int i = 0; i < a->n_parts; i++) {
        CLAIM(strcmp(a->parts[i].name, b->parts[i].name) == 0);
        CLAIM(a->parts[i].value.size == b->parts[i].value.size);
        CLAIM(memcmp(a->parts[i].value.data, b->parts[i].value.data, a->parts[i].value.size) == 0);
    }
}

static void check_wish(const struct form *form)
{
    struct images_request request = {0};
    struct error err = {0};
    bool is_accepted = images_parse_edit(&request, form, &LIMITS, &DEFAULTS, &err);
    check_verdict(&request, is_accepted, &err);
    images_request_free(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct form form = {0}, whole = {0};
    struct error err = {0}, whole_err = {0};
    bool ok = read_form(&form, data, size, 0, &err);
    bool is_same = read_form(&whole, data, size, size + 1, &whole_err) == ok;
    CLAIM(is_same && strcmp(err.text, whole_err.text) == 0);
    CLAIM(ok || err.text[0]);
    CLAIM(form.n_parts <= FORM_MAX_PARTS);
    if (ok) {
        check_same(&form, &whole);
        check_wish(&form);
    }
    form_free(&form);
    form_free(&whole);
    return 0;
}
