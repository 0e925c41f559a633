#include "hub/meter.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/cache.h"

#define DRAW_NS (200 * NS_PER_MS) /* on a terminal */
#define LOG_NS (10 * NS_PER_S)
#define BAR_CHARS 24

void meter_init(struct meter *m)
{
    *m = (struct meter){.start_ns = clock_now_ns(), .is_terminal = isatty(STDERR_FILENO)};
    m->drawn_ns = m->start_ns; /* what is quick needs no progress */
}

void meter_expect(struct meter *m, int64_t bytes, int64_t n_files)
{
    m->total_bytes += bytes;
    m->n_files += n_files;
}

void meter_add(struct meter *m, int64_t bytes)
{
    atomic_fetch_add(&m->done_bytes, bytes);
    atomic_fetch_add(&m->received_bytes, bytes);
}

void meter_skip(struct meter *m, int64_t bytes) { atomic_fetch_add(&m->done_bytes, bytes); }

void meter_end_file(struct meter *m) { atomic_fetch_add(&m->n_files_done, 1); }

static void put_bar(struct buf *out, double share)
{
    int full = (int)(share * BAR_CHARS);
    buf_putc(out, '[');
    for (int i = 0; i < BAR_CHARS; i++)
        buf_putc(out, i < full ? '=' : i == full ? '>' : ' ');
    buf_puts(out, "] ");
}

void meter_print(struct buf *out, const struct meter *m, int64_t now_ns, bool has_bar)
{
    char done_text[16], total_text[16], rate_text[16];
    int64_t done = atomic_load(&m->done_bytes);
    double share = m->total_bytes > 0 ? (double)done / (double)m->total_bytes : 0;
    double seconds = clock_seconds(now_ns - m->start_ns);
    double rate = seconds > 0 ? (double)atomic_load(&m->received_bytes) / seconds : 0;
    if (has_bar)
        put_bar(out, share);
    buf_printf(out, "%s of %s (%d %%)  %" PRId64 "/%" PRId64 " files",
               cache_size_text(done_text, done), cache_size_text(total_text, m->total_bytes),
               (int)(share * 100), atomic_load(&m->n_files_done), m->n_files);
    if (rate >= 1 && done < m->total_bytes) {
        int64_t left_s = (int64_t)((double)(m->total_bytes - done) / rate + 0.5);
        buf_printf(out, "  %s/s  %" PRId64 ":%02d left", cache_size_text(rate_text, (int64_t)rate),
                   left_s / 60, (int)(left_s % 60));
    }
}

/* Columns of the terminal, or 0 when it doesn't say. */
static size_t terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* The cursor stays at the line's start, so that a log line covers it instead of following it. A
 * line that doesn't fit would wrap, and then pile up: it goes without the bar, or is cut. */
static void draw(struct meter *m, int64_t now_ns)
{
    struct buf line = {0};
    size_t n_columns = terminal_columns();
    meter_print(&line, m, now_ns, true);
    if (n_columns > 0 && line.size >= n_columns) {
        buf_clear(&line);
        meter_print(&line, m, now_ns, false);
        if (line.size >= n_columns)
            line.data[n_columns - 1] = '\0';
    }
    fprintf(stderr, "%s\x1b[K\r", line.data);
    fflush(stderr);
    m->is_drawn = true;
    buf_free(&line);
}

void meter_tick(struct meter *m, int64_t now_ns)
{
    if (now_ns - m->drawn_ns < (m->is_terminal ? DRAW_NS : LOG_NS))
        return;
    m->drawn_ns = now_ns;
    if (m->is_terminal) {
        draw(m, now_ns);
        return;
    }
    struct buf line = {0};
    meter_print(&line, m, now_ns, false);
    log_info("downloading: %s", line.data);
    buf_free(&line);
}

void meter_end(struct meter *m)
{
    if (!m->is_drawn)
        return;
    draw(m, clock_now_ns());
    fprintf(stderr, "\n");
    m->is_drawn = false;
}
