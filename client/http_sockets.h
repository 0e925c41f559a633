/* The event loop below the transfers: descriptors in epoll, those of libcurl and our own, and a
 * timer that is more precise than the library's milliseconds. Internal to http. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/http_connection.h"

/* A descriptor that is watched. */
struct watched {
    struct connection *connection; /* given away by the library, and used here; or NULL */
    bool is_ours;                  /* one that we opened for the library; on_close tells its end */
    bool is_added;                 /* in epoll */
    uint32_t events, has_events;   /* the library wants; set in epoll */
};

struct sockets {
    CURLM *multi; /* owned */
    int epoll, timer, wakeup;
    int64_t library_ns;    /* when the library wants to be called; INT64_MAX: not */
    int64_t timer_ns;      /* set in timer; INT64_MAX: off */
    struct watched *items; /* owned; by descriptor */
    size_t n_items;
};

/* max_connections: that the library may keep while nothing is sent over them. False when the system
 * gives no descriptors. sockets_close is needed after both. */
bool sockets_open(struct sockets *s, long max_connections);
void sockets_close(struct sockets *s);

/* Have the library open its connections so that sockets_take can have them. */
void sockets_set_easy(struct sockets *s, CURL *easy);
/* Tell the library that something happened to a socket, or (CURL_SOCKET_TIMEOUT) that its time has
 * come. */
void sockets_drive(struct sockets *s, curl_socket_t fd, int what);

/* The open socket of a transfer that was only to connect becomes a connection of ours; the transfer
 * leaves the library. NULL: it was closed meanwhile. */
struct connection *sockets_take(struct sockets *s, CURL *easy, size_t url);
/* Watch it for EPOLLIN, with EPOLLOUT or without. */
void sockets_watch(struct sockets *s, const struct connection *c, bool is_full);
void sockets_drop(struct sockets *s, struct connection *c); /* closes and frees it */

/* Sleep until something happens, sockets_wake is called, or until_ns; do what the library has to,
 * and hand out what happens to our connections (which may be gone after the call). */
typedef void (*sockets_fn)(void *self, struct connection *c, uint32_t events);
void sockets_wait(struct sockets *s, int64_t until_ns, sockets_fn handle, void *self);
void sockets_wake(struct sockets *s); /* from any thread */
