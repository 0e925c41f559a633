/* The least that a client of libcurl can do: N posts over M connections, answers thrown away.
 * What it reaches is the ceiling for fluxperf, which has to do the same and record it.
 *
 *     bench_curl_loop URL N_REQUESTS CONCURRENCY [poll|epoll [full]]
 *
 * prints requests per second and the CPU time per request. "poll" is the loop of the library's
 * manual, curl_multi_poll and curl_multi_perform; "epoll" drives sockets one by one with
 * curl_multi_socket_action. Easy handles are reused in both, as the manual advises. "full" sends
 * header fields as long as the client's: the library takes time for each of their characters. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "base/clock.h"

#define BODY "{\"prompt\":\"A red fox\",\"model\":\"m\",\"response_format\":\"b64_json\",\"n\":1}"
#define N_EVENTS 256

static const char *const FULL_HEAD[] = {
    "User-Agent: fluxperf/0.1.0",
    "X-Request-ID: 00000000-0000-4000-8000-000000000000",
    "X-Correlation-ID: 00000000-0000-4000-8000-000000000000",
    "Accept: application/json",
    "X-Session-Affinity: 00000000-0000-4000-8000-000000000000",
    "Expect:",
};

struct loop {
    CURLM *multi;
    int epoll;
    long timeout_ms; /* of the library; -1: none */
    long n_left, n_done, n_failed;
};

static size_t on_body(char *data, size_t one, size_t size, void *self)
{
    (void)data, (void)one;
    *(size_t *)self += size;
    return size;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *self, void *known)
{
    struct loop *l = self;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    epoll_ctl(l->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    curl_multi_assign(l->multi, fd, l);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *self)
{
    (void)multi;
    ((struct loop *)self)->timeout_ms = timeout_ms;
    return 0;
}

/* Take what has ended and start as much anew; true when there was any. */
static bool take_ended(struct loop *l)
{
    CURLMsg *message;
    int n_messages;
    long n_before = l->n_done;
    while ((message = curl_multi_info_read(l->multi, &n_messages))) {
        CURL *easy = message->easy_handle;
        l->n_failed += message->data.result != CURLE_OK;
        l->n_done++;
        curl_multi_remove_handle(l->multi, easy);
        if (l->n_left-- > 0)
            curl_multi_add_handle(l->multi, easy);
        else
            curl_easy_cleanup(easy);
    }
    return l->n_done > n_before;
}

static void run_poll(struct loop *l, long n_wanted)
{
    int n_running;
    while (l->n_done < n_wanted) {
        curl_multi_perform(l->multi, &n_running);
        if (!take_ended(l))
            curl_multi_poll(l->multi, NULL, 0, 1000, NULL);
    }
}

static void run_epoll(struct loop *l, long n_wanted)
{
    struct epoll_event events[N_EVENTS];
    int n_running;
    while (l->n_done < n_wanted) {
        int n = epoll_wait(l->epoll, events, N_EVENTS, (int)l->timeout_ms);
        for (int i = 0; i < n; i++) {
            int what = (events[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
                       (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
            curl_multi_socket_action(l->multi, events[i].data.fd, what, &n_running);
        }
        if (l->timeout_ms == 0 || n == 0)
            curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
        take_ended(l);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: bench_curl_loop URL N_REQUESTS CONCURRENCY [poll|epoll [full]]\n", stderr);
        return 2;
    }
    long n_wanted = strtol(argv[2], NULL, 10), concurrency = strtol(argv[3], NULL, 10);
    bool has_epoll = argc > 4 && strcmp(argv[4], "epoll") == 0;
    bool is_full = argc > 5 && strcmp(argv[5], "full") == 0;
    struct loop loop = {.timeout_ms = -1, .n_left = n_wanted - concurrency};
    size_t bytes = 0;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    loop.multi = curl_multi_init();
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    curl_multi_setopt(loop.multi, CURLMOPT_MAXCONNECTS, concurrency);
    if (has_epoll) {
        curl_multi_setopt(loop.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        curl_multi_setopt(loop.multi, CURLMOPT_SOCKETDATA, &loop);
        curl_multi_setopt(loop.multi, CURLMOPT_TIMERFUNCTION, on_timer);
        curl_multi_setopt(loop.multi, CURLMOPT_TIMERDATA, &loop);
    }
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    for (size_t i = 0; is_full && i < sizeof FULL_HEAD / sizeof FULL_HEAD[0]; i++)
        headers = curl_slist_append(headers, FULL_HEAD[i]);
    int64_t start_ns = clock_now_ns();
    for (long i = 0; i < concurrency && i < n_wanted; i++) {
        CURL *easy = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, BODY);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &bytes);
        curl_multi_add_handle(loop.multi, easy);
    }
    if (has_epoll)
        run_epoll(&loop, n_wanted);
    else
        run_poll(&loop, n_wanted);
    double seconds = clock_seconds(clock_now_ns() - start_ns);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("%.1f requests/s, %.2f us of CPU a request, %ld failed, %zu bytes\n",
           (double)loop.n_done / seconds, cpu_s / (double)loop.n_done * 1e6, loop.n_failed, bytes);
    curl_slist_free_all(headers);
    curl_multi_cleanup(loop.multi);
    curl_global_cleanup();
    return loop.n_failed > 0;
}
