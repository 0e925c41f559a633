#include "client/metrics_formats.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* The next name at *at, or NULL; *at goes behind it. */
static const char *next_name(const char **at, size_t *size)
{
    const char *name = *at + strspn(*at, ", ");
    *size = strcspn(name, ", ");
    *at = name + *size;
    return *size > 0 ? name : NULL;
}

static bool is_name(const char *text, size_t size, const char *format)
{
    return strlen(format) == size && strncasecmp(text, format, size) == 0;
}

bool metrics_formats_have(const char *list, const char *format)
{
    size_t size;
    for (const char *name; (name = next_name(&list, &size));) {
        if (is_name(name, size, format))
            return true;
    }
    return false;
}

bool metrics_formats_check(const char *list, struct error *err)
{
    const char *at = list;
    size_t size;
    for (const char *name; (name = next_name(&at, &size));) {
        if (!is_name(name, size, "json") && !is_name(name, size, "csv") &&
            !is_name(name, size, "jsonl"))
            return fail_field(err, "--server-metrics-formats",
                              "--server-metrics-formats is '%s': must be of json, csv and jsonl, "
                              "with commas between",
                              list);
    }
    return true;
}
