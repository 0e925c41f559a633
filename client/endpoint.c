#include "client/endpoint.h"

#include <stddef.h>
#include <strings.h>

static const struct endpoint ENDPOINTS[] = {
    {"image_generation", "/v1/images/generations", "Image Generation", false},
    {"image_edit", "/v1/images/edits", "Image Edit", true},
};

/* Equal but for case and the dash that may stand for an underscore. */
static bool is_same(const char *name, const char *word)
{
    for (; *name && *word; name++, word++) {
        char a[] = {*name, 0}, b[] = {*word == '-' ? '_' : *word, 0};
        if (strcasecmp(a, b) != 0)
            return false;
    }
    return !*name && !*word;
}

const struct endpoint *endpoint_find(const char *name)
{
    for (size_t i = 0; i < sizeof ENDPOINTS / sizeof ENDPOINTS[0]; i++) {
        if (is_same(ENDPOINTS[i].name, name))
            return &ENDPOINTS[i];
    }
    return NULL;
}
