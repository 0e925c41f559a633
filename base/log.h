/* Log lines on stderr: `2026-01-31T12:00:00.123Z INFO worker image done seed=7 steps=4`.
 * One event is one line. Any thread may log; lines never interleave. */
#pragma once

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_OFF };

/* Lines below this level are dropped; the default is LOG_INFO. Call before threads start. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* The level named by text ("debug", "WARNING", ...), or -1. */
int log_level_parse(const char *text);

/* Write one line. The thread's name (pthread_setname_np) stands before the message. A line's own
 * newlines and control characters are written as \n, \x1b, ... so that input can't forge lines. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
