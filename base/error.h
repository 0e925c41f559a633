/* One failure: a code that says what to do about it, and one line of text for a person.
 *
 * What may fail returns bool and takes `struct error *err` last. true means done. On false err
 * holds the first failure; callers on the way up may add context in front. Only main(), the HTTP
 * layer and the reports print. */
#pragma once

#include <stdbool.h>

enum error_code {
    ERR_NONE,
    ERR_INVALID,   /* the caller's fault: a wish that can't be granted */
    ERR_NOT_FOUND, /* the named thing does not exist */
    ERR_BUSY,      /* try again later */
    ERR_CANCELED,  /* the owner gave up */
    ERR_IO,        /* file or network */
    ERR_MEMORY,    /* not enough of it */
    ERR_DEVICE,    /* the accelerator reported a fault */
    ERR_INTERNAL,  /* a defect of ours */
};

struct error {
    enum error_code code;
    char field[64]; /* the input field or option at fault, or "" */
    char text[512]; /* one line: what happened, the value, what would be right; no newline */
};

/* Keep the first failure in err and return false, so that failing is one statement. err may be
 * NULL when nobody wants the text. */
bool fail(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As fail(), and name the input field that caused it (the `param` of an HTTP answer). */
bool fail_field(struct error *err, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "context: " in front of the text while unwinding; returns false. */
bool error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The HTTP status (400, 404, 429, ...) and the process exit code (2 for a wrong wish, else 1)
 * of a code; the name is for logs ("invalid", "busy"). One table serves the three. */
int error_http_status(enum error_code code);
int error_exit_code(enum error_code code);
const char *error_name(enum error_code code);
