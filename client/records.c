#include "client/records.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "client/answer.h"
#include "client/http.h"
#include "client/live.h"
#include "client/report_html_images.h"
#include "client/trace.h"

/* After so many at once, let others come together for a while: waking up for each of them would
 * cost the thread that sends more than judging costs this one. */
#define GATHER_LEAST 4
#define GATHER_NS (2 * NS_PER_MS)
#define NICE 10
#define FLUSH_NS (100 * NS_PER_MS)
#define FILE_BUFFER ((size_t)64 << 10)
#define SMALL_PARTS ((size_t)512)         /* header values of a record and what malloc adds */
#define RELEASE_BYTES ((size_t)256 << 10) /* room is given back in pieces of at least that */

struct records {
    pthread_mutex_t lock; /* guards the queue */
    pthread_cond_t has_work;
    struct record *first, *last; /* the queue: ended, not judged */
    size_t pending_bytes;        /* of the queue and of the record at work */
    size_t n_pending;            /* likewise */
    bool is_starved;             /* records_has_room said no; on_room is owed */
    bool is_closing;

    /* owned by the thread while it runs */
    pthread_t thread;
    bool is_started;
    struct records_options options;
    FILE *lines, *raw, *trace;
    char buffers[3][FILE_BUFFER]; /* theirs */
    struct buf line;
    int64_t flushed_ns;
    bool is_flushed;
    struct error write_error;
    struct answer_memory memory;
    struct kept *kept;
    struct record **all; /* owned list of pointers into kept, made by records_all */

    char *server_build, *served_model; /* owned: of the first answer that has them */

    struct records_counters counters;
    atomic_bool hurry;
};

/* ---- pictures by address -------------------------------------------------------------------- */

static bool fetch(void *self, const struct record *r, const char *url, struct buf *out,
                  struct error *err)
{
    struct records *s = self;
    struct buf address = {0};
    if (!strstr(url, "://")) { /* relative to the server that gave it */
        request_base(&address, s->options.context.target->urls[r->url]);
        if (*url != '/')
            buf_putc(&address, '/');
    }
    buf_puts(&address, url);
    int status = 0;
    bool ok = http_fetch(address.data, &s->options.context.target->connect,
                         &s->options.context.target->extra, NULL, s->options.fetch_timeout_ms,
                         &s->hurry, out, &status, err);
    if (ok && (status < 200 || status > 299))
        ok = fail(err, ERR_IO, "GET %s: status %d", address.data, status);
    buf_free(&address);
    return ok;
}

static void show(void *self, const struct record *r, const struct buf *file,
                 const struct image *pixels)
{
    struct records *s = self;
    if (!r->is_warmup && s->options.images)
        report_html_images_add(s->options.images, file->data, file->size, pixels,
                               prompts_at(s->options.context.prompts, r->entry).text,
                               clock_seconds(r->end_ns - r->start_ns) * 1000);
}

/* ---- one record ----------------------------------------------------------------------------- */

static void write_text(struct records *s, FILE *file)
{
    s->is_flushed = false;
    if (fwrite(s->line.data, 1, s->line.size, file) != s->line.size)
        fail(&s->write_error, ERR_IO, "can't write %s: %s",
             file == s->lines ? s->options.lines_path
             : file == s->raw ? s->options.raw_path
                              : s->options.trace_path,
             strerror(errno));
}

static void keep_first(char **kept, char **text)
{
    if (!*kept)
        *kept = *text;
    else
        free(*text);
    *text = NULL;
}

static void handle(struct records *s, struct record *r)
{
    bool is_shown = !r->is_warmup && s->options.images && !s->options.images->is_full;
    const struct answer_source source = {s, fetch, show, is_shown ? NULL : &s->memory};
    r->isl = prompts_at(s->options.context.prompts, r->entry).isl;
    bool is_memorable = answer_judge(r, &source);
    r->is_good = s->options.n_objectives > 0 &&
                 metrics_is_good(r, s->options.objectives, s->options.n_objectives);
    if (s->raw) {
        buf_clear(&s->line);
        record_print_raw(&s->line, r, &s->options.context);
        buf_putc(&s->line, '\n');
        write_text(s, s->raw);
    }
    if (s->lines) {
        buf_clear(&s->line);
        record_print_line(&s->line, r, &s->options.context);
        buf_putc(&s->line, '\n');
        write_text(s, s->lines);
    }
    if (s->trace) {
        buf_clear(&s->line);
        trace_print(&s->line, r, s->options.context.unix_offset_ns);
        write_text(s, s->trace);
    }
    keep_first(&s->server_build, &r->server_build);
    keep_first(&s->served_model, &r->served_model);
    if (s->options.live)
        live_add(s->options.live, r);
    if (is_memorable)
        answer_memory_keep(&s->memory, r);
    kept_add(s->kept, r);
    atomic_fetch_add(&s->counters.n_images, (long long)r->n_decoded);
    atomic_fetch_add(&s->counters.n_failed,
                     !record_succeeded(r) && !record_was_canceled(r) && !record_was_dropped(r));
    atomic_fetch_add(&s->counters.n_judged, 1);
    record_free(r);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void flush_file(struct records *s, FILE *file, const char *path)
{
    if (file && fflush(file) != 0)
        fail(&s->write_error, ERR_IO, "can't write %s: %s", path, strerror(errno));
}

/* So that a killed run keeps its lines, without a call of the system for each. */
static void flush_files(struct records *s)
{
    flush_file(s, s->lines, s->options.lines_path);
    flush_file(s, s->raw, s->options.raw_path);
    flush_file(s, s->trace, s->options.trace_path);
    s->flushed_ns = clock_now_ns();
    s->is_flushed = true;
}

static void wait_for_work(struct records *s)
{
    int64_t until_ns = s->flushed_ns + FLUSH_NS;
    if (s->is_flushed) {
        pthread_cond_wait(&s->has_work, &s->lock);
        return;
    }
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                             .tv_nsec = (long)(until_ns % NS_PER_S)};
    if (pthread_cond_timedwait(&s->has_work, &s->lock, &until) == ETIMEDOUT) {
        pthread_mutex_unlock(&s->lock);
        flush_files(s);
        pthread_mutex_lock(&s->lock);
    }
}

/* All records that have ended, as a list; NULL at the end. */
static struct record *take_all(struct records *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->first && !s->is_closing)
        wait_for_work(s);
    struct record *r = s->first;
    s->first = s->last = NULL;
    pthread_mutex_unlock(&s->lock);
    return r;
}

static size_t pending_size(const struct record *r)
{
    return sizeof *r + r->body.capacity + SMALL_PARTS;
}

/* With the lock held. */
static bool has_room_now(const struct records *s)
{
    return s->pending_bytes < s->options.max_pending_bytes || s->n_pending < s->options.min_pending;
}

static void release(struct records *s, size_t n, size_t bytes)
{
    pthread_mutex_lock(&s->lock);
    s->n_pending -= n;
    s->pending_bytes -= bytes;
    bool is_owed = s->is_starved && has_room_now(s);
    if (is_owed)
        s->is_starved = false;
    pthread_mutex_unlock(&s->lock);
    if (is_owed)
        s->options.on_room(s->options.on_room_self);
}

/* Large answers must not fill the room meanwhile. */
static bool may_gather(struct records *s)
{
    pthread_mutex_lock(&s->lock);
    bool is_small = s->pending_bytes < s->options.max_pending_bytes / 8;
    pthread_mutex_unlock(&s->lock);
    return is_small;
}

/* Where cores are few, sending and stamping (and a server on the same machine) come first. */
static void yield_to_others(void) { setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone */ }

static void *records_main(void *self)
{
    struct records *s = self;
    pthread_setname_np(pthread_self(), "records");
    yield_to_others();
    struct record *r;
    while ((r = take_all(s))) {
        size_t n = 0, n_all = 0, bytes = 0;
        while (r) {
            struct record *next = r->next;
            bytes += pending_size(r);
            n++;
            n_all++;
            handle(s, r);
            if (bytes >= RELEASE_BYTES || !next) {
                release(s, n, bytes);
                n = bytes = 0;
            }
            if (clock_now_ns() - s->flushed_ns >= FLUSH_NS)
                flush_files(s);
            r = next;
        }
        if (n_all >= GATHER_LEAST && may_gather(s))
            clock_sleep_until_ns(clock_now_ns() + GATHER_NS);
    }
    return NULL;
}

bool records_has_room(struct records *s)
{
    pthread_mutex_lock(&s->lock);
    bool has_room = has_room_now(s);
    s->is_starved = !has_room;
    pthread_mutex_unlock(&s->lock);
    return has_room;
}

void records_push(struct records *s, struct record *r)
{
    r->next = NULL;
    pthread_mutex_lock(&s->lock);
    s->pending_bytes += pending_size(r);
    s->n_pending++;
    bool was_empty = s->first == NULL;
    *(was_empty ? &s->first : &s->last->next) = r;
    s->last = r;
    pthread_mutex_unlock(&s->lock);
    if (was_empty)
        pthread_cond_signal(&s->has_work);
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool open_file(FILE **out, const char *path, char *buffer, struct error *err)
{
    if (!path)
        return true;
    *out = fopen(path, "wbe");
    if (*out)
        setvbuf(*out, buffer, _IOFBF, FILE_BUFFER);
    return *out ? true : fail(err, ERR_IO, "can't write %s: %s", path, strerror(errno));
}

bool records_open(struct records **out, const struct records_options *options, struct error *err)
{
    struct records *s = xcalloc(1, sizeof *s);
    s->options = *options;
    s->kept = kept_open(options->kept_dir);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->has_work, &attributes);
    pthread_condattr_destroy(&attributes);
    s->is_flushed = true;
    bool ok = open_file(&s->lines, options->lines_path, s->buffers[0], err) &&
              open_file(&s->raw, options->raw_path, s->buffers[1], err) &&
              open_file(&s->trace, options->trace_path, s->buffers[2], err);
    if (s->trace)
        fputs(TRACE_BEGIN, s->trace); /* a failure shows when the file is closed */
    if (ok && pthread_create(&s->thread, NULL, records_main, s) != 0)
        ok = fail(err, ERR_INTERNAL, "can't start a thread: %s", strerror(errno));
    if (!ok) {
        records_close(s);
        return false;
    }
    s->is_started = true;
    *out = s;
    return true;
}

static void close_file(struct records *s, FILE **file, const char *path)
{
    if (*file && fclose(*file) != 0)
        fail(&s->write_error, ERR_IO, "can't write %s: %s", path, strerror(errno));
    *file = NULL;
}

bool records_finish(struct records *s, struct error *err)
{
    if (s->is_started) {
        pthread_mutex_lock(&s->lock);
        s->is_closing = true;
        pthread_cond_signal(&s->has_work);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        s->is_started = false;
    }
    close_file(s, &s->lines, s->options.lines_path);
    close_file(s, &s->raw, s->options.raw_path);
    if (s->trace)
        fputs(TRACE_END, s->trace);
    close_file(s, &s->trace, s->options.trace_path);
    if (s->write_error.code == ERR_NONE)
        return true;
    return fail(err, s->write_error.code, "%s", s->write_error.text);
}

void records_hurry(struct records *s) { atomic_store(&s->hurry, true); }

const struct records_counters *records_counters(const struct records *s) { return &s->counters; }

const char *records_server_build(const struct records *s) { return s->server_build; }
const char *records_served_model(const struct records *s) { return s->served_model; }

struct record *const *records_all(struct records *s, size_t *n)
{
    *n = kept_count(s->kept);
    if (!s->all) {
        s->all = xcalloc(*n + 1, sizeof(struct record *));
        for (size_t i = 0; i < *n; i++)
            s->all[i] = kept_at(s->kept, i);
    }
    return s->all;
}

const struct kept *records_kept(const struct records *s) { return s->kept; }

void records_close(struct records *s)
{
    if (!s)
        return;
    records_finish(s, NULL);
    free(s->all);
    kept_close(s->kept);
    answer_memory_free(&s->memory);
    free(s->server_build);
    free(s->served_model);
    buf_free(&s->line);
    pthread_cond_destroy(&s->has_work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
