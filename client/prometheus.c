/* Each line is copied and cut up in place: what the sink gets points into the copy. */
#include "client/prometheus.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

const char *const PROMETHEUS_TYPE_NAME[PROMETHEUS_N_TYPES] = {"unknown", "counter", "gauge",
                                                              "histogram", "summary"};

#define BLANK " \t"

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
}

/* The end of the name at p; p itself when there is none. */
static char *name_end(char *p)
{
    if (!is_name_start(*p))
        return p;
    while (is_name_start(*p) || (*p >= '0' && *p <= '9'))
        p++;
    return p;
}

/* Cut a word off at *p: ends it, and moves on to the next one. NULL: the line is over. */
static char *take_word(char **p)
{
    char *word = *p + strspn(*p, BLANK);
    if (!*word)
        return NULL;
    char *end = word + strcspn(word, BLANK);
    *p = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

/* ---- comments ------------------------------------------------------------------------------- */

static void unescape(char *text)
{
    char *to = text;
    for (char *p = text; *p; p++) {
        if (p[0] == '\\' && (p[1] == 'n' || p[1] == '\\' || p[1] == '"')) {
            *to++ = p[1] == 'n' ? '\n' : p[1];
            p++;
        } else {
            *to++ = *p;
        }
    }
    *to = '\0';
}

/* All after '#'. Comments that are no HELP or TYPE are free text. */
static bool read_comment(char *p, const struct prometheus_sink *sink)
{
    char *kind = take_word(&p);
    bool is_type = kind && strcmp(kind, "TYPE") == 0, is_help = kind && strcmp(kind, "HELP") == 0;
    if (!is_type && !is_help)
        return true;
    char *family = take_word(&p);
    if (!family || *name_end(family))
        return false;
    if (is_help) {
        unescape(p += strspn(p, BLANK));
        sink->help(sink->self, family, p);
        return true;
    }
    char *type = take_word(&p);
    for (int i = PROMETHEUS_UNKNOWN; type && i < PROMETHEUS_N_TYPES; i++) {
        if (strcmp(type, PROMETHEUS_TYPE_NAME[i]) == 0)
            sink->type(sink->self, family, (enum prometheus_type)i);
    }
    return type != NULL; /* of types unknown here (info, untyped, ...) nothing is assumed */
}

/* ---- samples -------------------------------------------------------------------------------- */

/* A quoted label value at *p, cut off and unescaped in place; NULL: it is malformed. */
static char *take_quoted(char **p)
{
    if (**p != '"')
        return NULL;
    char *text = *p + 1, *end = text;
    while (*end && *end != '"')
        end += end[0] == '\\' && end[1] ? 2 : 1;
    if (!*end)
        return NULL;
    *end = '\0';
    *p = end + 1;
    unescape(text);
    return text;
}

/* {a="b",c="d"} at p, a comma may follow the last one. Returns what is behind it, or NULL. */
static char *read_labels(char *p, struct prometheus_label *labels, size_t *n)
{
    for (p++;; p++) {
        p += strspn(p, BLANK);
        if (*p == '}')
            return p + 1;
        char *name = p, *end = name_end(p);
        p = end + strspn(end, BLANK);
        if (end == name || *p != '=' || *n == PROMETHEUS_MAX_LABELS)
            return NULL;
        p += 1 + strspn(p + 1, BLANK);
        *end = '\0';
        char *value = take_quoted(&p);
        if (!value)
            return NULL;
        labels[(*n)++] = (struct prometheus_label){name, value};
        p += strspn(p, BLANK);
        if (*p == '}')
            return p + 1;
        if (*p != ',')
            return NULL;
    }
}

static bool read_sample(char *p, const struct prometheus_sink *sink)
{
    struct prometheus_label labels[PROMETHEUS_MAX_LABELS];
    struct prometheus_sample s = {.name = p, .labels = labels};
    char *end = name_end(p), *rest = end + strspn(end, BLANK);
    if (end == p)
        return false;
    if (*rest == '{')
        rest = read_labels(rest, labels, &s.n_labels);
    else if (rest == end)
        return false;
    if (!rest)
        return false;
    char *exemplar = strchr(rest, '#');
    if (exemplar)
        *exemplar = '\0';
    char *value = take_word(&rest), *stamp = take_word(&rest), *tail;
    *end = '\0';
    if (!value || take_word(&rest))
        return false;
    s.value = strtod(value, &tail);
    if (*tail)
        return false;
    if (stamp && (strtod(stamp, &tail), *tail))
        return false;
    sink->sample(sink->self, &s);
    return true;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static bool read_line(char *line, size_t size, const struct prometheus_sink *sink)
{
    if (strlen(line) != size) /* a NUL inside */
        return false;
    size_t end = size;
    while (end > 0 && (line[end - 1] == '\r' || line[end - 1] == ' ' || line[end - 1] == '\t'))
        line[--end] = '\0';
    line += strspn(line, BLANK);
    if (!*line)
        return true;
    return *line == '#' ? read_comment(line + 1, sink) : read_sample(line, sink);
}

size_t prometheus_parse(const char *text, size_t size, const struct prometheus_sink *sink)
{
    size_t n_bad = 0;
    struct buf line = {0};
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t n = end ? (size_t)(end - (text + at)) : size - at;
        buf_clear(&line);
        if (n <= PROMETHEUS_MAX_LINE)
            buf_append(&line, text + at, n);
        if (n > PROMETHEUS_MAX_LINE || (n > 0 && !read_line(line.data, n, sink)))
            n_bad++;
        at += n + 1;
    }
    buf_free(&line);
    return n_bad;
}
