#include "server/form.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Values come as they are: RFC 7578 has done away with base64 and quoted-printable. */
static bool is_coded(const char *encoding)
{
    static const char *const PLAIN[] = {"binary", "8bit", "7bit"};
    for (size_t i = 0; encoding && i < sizeof PLAIN / sizeof PLAIN[0]; i++) {
        if (strcasecmp(encoding, PLAIN[i]) == 0)
            return false;
    }
    return encoding && *encoding;
}

static bool begin_part(struct form *form, const struct form_head *head, struct error *err)
{
    if (!head->name || !*head->name)
        return fail(err, ERR_INVALID, "part %d of the form has no name", form->n_parts + 1);
    if (is_coded(head->transfer_encoding)) {
        return fail_field(err, head->name,
                          "%s: Content-Transfer-Encoding '%s' is not supported, must be binary",
                          head->name, head->transfer_encoding);
    }
    if (form->n_parts == FORM_MAX_PARTS) {
        return fail(err, ERR_INVALID, "the form has more than %d parts, must be at most %d",
                    FORM_MAX_PARTS, FORM_MAX_PARTS);
    }
    struct form_part *part = &form->parts[form->n_parts++];
    part->name = xstrdup(head->name);
    buf_puts(&part->value, "");
    return true;
}

static bool goes_on(const struct form *form, const char *name)
{
    const struct form_part *last = form->n_parts ? &form->parts[form->n_parts - 1] : NULL;
    return last && last->value.size == 0 && name && strcmp(last->name, name) == 0;
}

bool form_add(struct form *form, const struct form_head *head, size_t offset, const void *bytes,
              size_t size, struct error *err)
{
    if (offset == 0 && !goes_on(form, head->name) && !begin_part(form, head, err))
        return false;
    buf_append(&form->parts[form->n_parts - 1].value, size ? bytes : "", size);
    return true;
}

void form_free(struct form *form)
{
    for (int i = 0; i < form->n_parts; i++) {
        free(form->parts[i].name);
        buf_free(&form->parts[i].value);
    }
    *form = (struct form){0};
}
