/* A listening TCP socket, with errors that say what to do. */
#pragma once

#include "base/error.h"

/* Listen on host ("0.0.0.0", "::" for both families, a name) and *port; 0 takes a free one, written
 * back. Returns the socket, or -1 with the address and the reason in err. */
int listener_open(const char *host, int *port, struct error *err);
void listener_close(int socket);

/* Connect to host and port within timeout_ms (also the limit of each later read and write), for the
 * health check. Returns the socket or -1. */
int listener_connect(const char *host, int port, int timeout_ms, struct error *err);
