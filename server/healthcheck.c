/* The healthcheck command: ask a running server's /health, as container engines do. Plain sockets,
 * so that an image needs no other program for it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/args.h"
#include "base/buf.h"
#include "server/commands.h"
#include "server/listener.h"

enum { ANSWER_BYTES = 4096, MS_PER_S = 1000 };

struct config {
    const char *host;
    int64_t port;
    double timeout_s;
    bool wants_help;
};

static const struct option OPTIONS[] = {
    {"--host", NULL, "ADDRESS", ARG_STRING, offsetof(struct config, host), .env = "FLUXSERVE_HOST",
     .help = "address of the server (default 127.0.0.1)"},
    {"--port", NULL, "N", ARG_INT, offsetof(struct config, port), 1, 65535, .env = "FLUXSERVE_PORT",
     .help = "its port (default 30000)"},
    {"--timeout", NULL, "SECONDS", ARG_DOUBLE, offsetof(struct config, timeout_s), 0.001, 3600,
     .help = "how long to wait for each answer of the network (default 3)"},
    {"--help", "-h", NULL, ARG_FLAG, offsetof(struct config, wants_help),
     .help = "print this text and exit"},
};

enum { N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0] };

/* Read until the peer closes or the buffer is full; the text is NUL-terminated. */
static bool read_answer(int fd, char answer[ANSWER_BYTES], struct error *err)
{
    size_t size = 0;
    ssize_t got = 1;
    while (got > 0 && size < ANSWER_BYTES - 1) {
        got = recv(fd, answer + size, ANSWER_BYTES - 1 - size, 0);
        if (got > 0)
            size += (size_t)got;
    }
    answer[size] = '\0';
    return got >= 0 ? true : fail(err, ERR_IO, "no answer: %s", strerror(errno));
}

static bool ask(const struct config *c, struct error *err)
{
    static const char REQUEST[] =
        "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char answer[ANSWER_BYTES];
    int fd = listener_connect(c->host, (int)c->port, (int)(c->timeout_s * MS_PER_S), err);
    if (fd < 0)
        return false;
    bool ok = send(fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) == sizeof REQUEST - 1
                  ? read_answer(fd, answer, err)
                  : fail(err, ERR_IO, "can't send: %s", strerror(errno));
    listener_close(fd);
    if (!ok)
        return false;
    const char *space = strncmp(answer, "HTTP/1.", 7) == 0 ? strchr(answer, ' ') : NULL;
    long status = space ? strtol(space, NULL, 10) : 0;
    const char *body = strstr(answer, "\r\n\r\n");
    if (status == 200)
        return true;
    return fail(err, ERR_BUSY, "not ready: /health answered %ld %s", status, body ? body + 4 : "");
}

int command_healthcheck(int argc, char **argv, int first)
{
    struct config c = {.host = "127.0.0.1", .port = 30000, .timeout_s = 3};
    struct error err = {0};
    if (args_parse(OPTIONS, N_OPTIONS, argc, argv, first, &c, NULL, NULL, &err)) {
        if (c.wants_help) {
            args_help("fluxserve healthcheck [OPTIONS]",
                      "Exit 0 when the server's /health answers 200, and 1 when not.", OPTIONS,
                      N_OPTIONS);
            return 0;
        }
        if (ask(&c, &err))
            return 0;
        fprintf(stderr, "fluxserve healthcheck: %s\n", err.text);
        return 1; /* the exit code that HEALTHCHECK knows */
    }
    fprintf(stderr, "fluxserve healthcheck: error: %s\n", err.text);
    return error_exit_code(err.code);
}
