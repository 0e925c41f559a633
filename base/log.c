/* Log lines. Each is put together in a buffer of its own and written by one write(), so that lines
 * of several threads and processes on the same stderr don't interleave. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static atomic_int least_level = LOG_INFO;

static const char *const NAMES[] = {"TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "OFF"};

void log_set_level(enum log_level level) { atomic_store(&least_level, (int)level); }

enum log_level log_get_level(void) { return (enum log_level)atomic_load(&least_level); }

int log_level_parse(const char *text)
{
    for (int i = 0; i < (int)(sizeof NAMES / sizeof NAMES[0]); i++) {
        if (strcasecmp(text, NAMES[i]) == 0)
            return i;
    }
    return -1;
}

static void put_stamp(struct buf *line)
{
    int64_t now = clock_unix_ns();
    time_t seconds = (time_t)(now / NS_PER_S);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    buf_printf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
               utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(now % NS_PER_S / NS_PER_MS));
}

static void put_escaped(struct buf *line, const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '\n')
            buf_puts(line, "\\n");
        else if (c == '\r')
            buf_puts(line, "\\r");
        else if (c == '\t')
            buf_puts(line, "\\t");
        else if (c < 0x20 || c == 0x7f)
            buf_printf(line, "\\x%02x", c);
        else
            buf_putc(line, *p);
    }
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level < log_get_level() || level >= LOG_OFF)
        return;
    struct buf message = {0}, line = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);

    char thread[16] = "?"; /* the kernel's limit, NUL included */
    pthread_getname_np(pthread_self(), thread, sizeof thread);
    put_stamp(&line);
    buf_printf(&line, " %s %s ", NAMES[level], thread);
    put_escaped(&line, message.data);
    buf_putc(&line, '\n');

    size_t done = 0;
    while (done < line.size) {
        ssize_t put = write(STDERR_FILENO, line.data + done, line.size - done);
        if (put <= 0)
            break; /* nowhere left to complain */
        done += (size_t)put;
    }
    buf_free(&message);
    buf_free(&line);
}
