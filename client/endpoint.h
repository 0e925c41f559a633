/* The two things a server of the OpenAI images API can be asked for. */
#pragma once

#include <stdbool.h>

struct endpoint {
    const char *name;  /* as in --endpoint-type, file names and summaries */
    const char *path;  /* where requests go */
    const char *title; /* of the console's tables */
    bool takes_images; /* requests are forms with an input picture, else JSON */
};

/* By --endpoint-type; a dash for an underscore is fine. NULL: there is none of that name. */
const struct endpoint *endpoint_find(const char *name);
