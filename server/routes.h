/* Every endpoint of the server, as http_open() takes them; their ctx is a struct service. */
#pragma once

#include "server/http.h"

const struct http_route *routes_all(size_t *n_routes);
