/* The client's loopback server as a program of its own, for bench/client.py: prints its port,
 * serves until stdin ends.
 *
 *     bench_loopback [DELAY_MS [ANSWER_BYTES [N_PICTURES [N_SLOTS [PORT]]]]] */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "client/loopback_server.h"

/* One descriptor per connection. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct loopback_options options = {
        .delay_ns = argc > 1 ? (int64_t)(strtod(argv[1], NULL) * (double)NS_PER_MS) : 0,
        .answer_bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 1024,
        .n_pictures = argc > 3 ? strtoul(argv[3], NULL, 10) : 1,
        .n_slots = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 0,
        .port = argc > 5 ? (int)strtol(argv[5], NULL, 10) : 0,
    };
    struct loopback *server;
    struct error err = {0};
    raise_file_limit();
    if (!loopback_open(&server, &options, &err)) {
        fprintf(stderr, "bench_loopback: %s\n", err.text);
        return 1;
    }
    printf("%d\n", loopback_port(server));
    fflush(stdout);
    while (getchar() != EOF) {}
    loopback_close(server);
    return 0;
}
