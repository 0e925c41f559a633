/* Plain sockets over getaddrinfo(): the first address of the host that works is taken. */
#include "server/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static struct addrinfo *resolve(const char *host, int port, int flags, struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int failed = getaddrinfo(host, service, &hints, &list);
    if (failed) {
        fail(err, ERR_INVALID, "host '%s': %s", host,
             failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
        return NULL;
    }
    return list;
}

static int listen_on(const struct addrinfo *address)
{
    const int yes = 1, no = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes); /* restart at once */
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no); /* "::" takes IPv4 as well */
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static int bound_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char service[16] = "";
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
        getnameinfo((struct sockaddr *)&address, size, NULL, 0, service, sizeof service,
                    NI_NUMERICSERV) != 0)
        return 0;
    return (int)strtol(service, NULL, 10);
}

int listener_open(const char *host, int *port, struct error *err)
{
    struct addrinfo *list = resolve(host, *port, AI_PASSIVE, err);
    if (!list)
        return -1;
    int fd = -1, reason = 0;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = listen_on(a);
        reason = errno;
    }
    freeaddrinfo(list);
    if (fd >= 0) {
        *port = bound_port(fd);
        return fd;
    }
    if (reason == EADDRINUSE) {
        fail(err, ERR_IO, "port %d on %s is in use by another program: choose another --port",
             *port, host);
    } else {
        fail(err, ERR_IO, "can't listen on %s port %d: %s", host, *port, strerror(reason));
    }
    return -1;
}

void listener_close(int socket) { close(socket); }

int listener_connect(const char *host, int port, int timeout_ms, struct error *err)
{
    struct addrinfo *list = resolve(host, port, 0, err);
    if (!list)
        return -1;
    struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    int fd = -1, reason = 0;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* limits connect() too */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            reason = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        fail(err, ERR_IO, "can't connect to %s port %d: %s", host, port, strerror(reason));
    return fd;
}
