#include "client/file_limit.h"

#include <inttypes.h>
#include <sys/resource.h>

#define OTHER_FILES 64 /* than connections */

void file_limit_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

bool file_limit_check(int64_t concurrency, struct error *err)
{
    struct rlimit limit;
    int64_t n = concurrency + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        (rlim_t)n <= limit.rlim_cur)
        return true;
    return fail_field(err, "--concurrency",
                      "--concurrency %" PRId64 " needs %" PRId64
                      " open files; the system's limit is %llu (ulimit -Hn)",
                      concurrency, n, (unsigned long long)limit.rlim_cur);
}
