#include "client/records.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "client/answer.h"
#include "client/answer_memory.h"
#include "client/http.h"
#include "client/judges.h"
#include "client/live.h"
#include "client/records_queue.h"
#include "client/report_html_images.h"
#include "client/trace.h"

/* After so many at once, let others come together for a while: waking up for each of them would
 * cost the thread that sends more than judging costs this one. */
#define GATHER_LEAST 4
#define GATHER_NS NS_PER_MS
#define NICE 10
#define LARGE_BODY ((size_t)32 << 10) /* worth more than one thread */
#define TOGETHER_MAX 16
#define JUDGES_MAX 4
#define FLUSH_NS (100 * NS_PER_MS)
#define FILE_BUFFER ((size_t)64 << 10)
#define RELEASE_BYTES ((size_t)256 << 10) /* room is given back in pieces of at least that */

struct records {
    struct records_queue queue;

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
    struct answer_memory *memory;
    bool has_memories;
    struct judges *judges;
    struct record *together[TOGETHER_MAX]; /* to be judged at once: ended one after the other */
    bool is_memorable[TOGETHER_MAX];       /* what judging them returned */
    size_t n_together;
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

static const char *prompt_of(const struct record *r) { return prompts_view(r->row).text; }

static double latency_ms(const struct record *r)
{
    return clock_seconds(r->end_ns - r->start_ns) * 1000;
}

static void show(void *self, const struct record *r, const struct buf *file,
                 const struct image *pixels)
{
    struct records *s = self;
    report_html_images_add(s->options.images, file->data, file->size, pixels, prompt_of(r),
                           latency_ms(r));
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

static bool is_shown(const struct records *s, const struct record *r)
{
    return !r->is_warmup && s->options.images && !s->options.images->is_full;
}

/* Take the verdict, and the gallery's pictures, of an equal answer; false: there is none that has
 * both. */
static bool recall(struct records *s, struct record *r)
{
    if (r->transfer != TRANSFER_DONE || r->status < 200 || r->status > 299 ||
        !answer_memory_recognise(s->memory, r))
        return false;
    const struct answer_known *known = r->known;
    if (is_shown(s, r) && known->n_shown < known->n_images)
        return false; /* judged when nobody wanted to see it */
    for (size_t i = 0; i < known->n_shown && is_shown(s, r); i++)
        report_html_images_repeat(s->options.images, known->first_shown + i, prompt_of(r),
                                  latency_ms(r));
    answer_recall(r);
    return true;
}

/* All that follows the verdict, in the order of the ends. */
static void finish(struct records *s, struct record *r)
{
    r->isl = prompts_view(r->row).isl;
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
    kept_add(s->kept, r);
    atomic_fetch_add(&s->counters.n_images, (long long)r->n_decoded);
    atomic_fetch_add(&s->counters.n_failed,
                     !record_succeeded(r) && !record_was_canceled(r) && !record_was_dropped(r));
    atomic_fetch_add(&s->counters.n_judged, 1);
    record_free_verdict(r);
    if (r->body.size >= LARGE_BODY)
        buf_free(&r->body);
    records_queue_give_back(&s->queue, r);
}

/* Judge it now, on this thread. */
static void judge(struct records *s, struct record *r)
{
    bool shows = is_shown(s, r);
    const struct answer_source source = {s, fetch, shows ? show : NULL};
    size_t n_before = shows ? s->options.images->n_items : 0;
    if (answer_judge(r, &source)) {
        answer_memory_keep(s->memory, r, n_before,
                           shows ? s->options.images->n_items - n_before : 0);
        s->has_memories = true;
    }
}

/* ---- several records ------------------------------------------------------------------------ */

static void judge_one(void *self, size_t i)
{
    struct records *s = self;
    const struct answer_source source = {s, fetch, NULL};
    s->is_memorable[i] = answer_judge(s->together[i], &source);
}

static void judge_together(struct records *s)
{
    size_t n = s->n_together;
    s->n_together = 0;
    if (n > 0)
        judges_run(s->judges, n, judge_one, s);
    for (size_t i = 0; i < n; i++) {
        if (s->is_memorable[i])
            answer_memory_keep(s->memory, s->together[i], 0, 0);
        finish(s, s->together[i]);
    }
}

/* Judge and finish a record now, or put it to others that are judged together. One answer is judged
 * first: the next ones may be equal to it. */
static void handle(struct records *s, struct record *r)
{
    bool is_recalled = recall(s, r);
    if (!is_recalled && s->has_memories && r->body.size >= LARGE_BODY && !is_shown(s, r)) {
        s->together[s->n_together++] = r;
        if (s->n_together == TOGETHER_MAX)
            judge_together(s);
        return;
    }
    judge_together(s); /* they ended earlier */
    if (!is_recalled)
        judge(s, r);
    finish(s, r);
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

/* All records that have ended, as a list; NULL at the end. */
static struct record *take_all(struct records *s)
{
    for (;;) {
        struct record *r =
            records_queue_take(&s->queue, s->is_flushed ? INT64_MAX : s->flushed_ns + FLUSH_NS);
        if (r || atomic_load(&s->queue.is_closing))
            return r;
        flush_files(s);
    }
}

static void release(struct records *s, size_t n, size_t bytes)
{
    if (records_queue_release(&s->queue, n, bytes))
        s->options.on_room(s->options.on_room_self);
}

/* Large answers must not fill the room meanwhile. */
static bool may_gather(struct records *s)
{
    return atomic_load(&s->queue.bytes) < s->options.max_pending_bytes / 8;
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
            bytes += records_queue_bytes(r);
            n++;
            n_all++;
            handle(s, r);
            if (!next)
                judge_together(s);
            if (s->n_together == 0 && (bytes >= RELEASE_BYTES || !next)) {
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

bool records_has_room(struct records *s) { return records_queue_has_room(&s->queue); }

struct record *records_new(struct records *s)
{
    struct record *r = records_queue_new(&s->queue);
    r->memory = s->memory;
    return r;
}

void records_push(struct records *s, struct record *r) { records_queue_push(&s->queue, r); }

/* ---- life ----------------------------------------------------------------------------------- */

/* Threads that judge besides the records thread: as there are cores, but few, since each may hold
 * the pixels of a picture. */
static size_t n_helpers(void)
{
    cpu_set_t cores;
    int n = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    return (size_t)(n < JUDGES_MAX ? n : JUDGES_MAX) - 1;
}

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
    records_queue_open(&s->queue, options->max_pending_bytes, options->min_pending);
    s->memory = answer_memory_open();
    s->judges = judges_open(n_helpers());
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
        records_queue_end(&s->queue);
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
    free(s->server_build);
    free(s->served_model);
    buf_free(&s->line);
    judges_close(s->judges);
    records_queue_close(&s->queue);
    answer_memory_close(s->memory);
    free(s);
}
