/* Bytes are written where they belong (pwrite), so that even where locks don't work, as on some
 * network file systems, two processes write the same bytes to the same places. */
#include "hub/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/digest.h"
#include "hub/lock.h"
#include "hub/request.h"

#define SMALL_BYTES (INT64_C(16) << 20)
#define CHUNK_BYTES ((size_t)1 << 20)
#define MAX_FETCHES 3

/* ---- checking ------------------------------------------------------------------------------- */

/* Feed the first size bytes of the file; false when they can't be read. */
static bool hash_bytes(struct digest *d, int fd, int64_t size, const atomic_bool *stop)
{
    char *chunk = xmalloc(CHUNK_BYTES);
    int64_t done = 0;
    while (done < size && !(stop && atomic_load(stop))) {
        size_t want = size - done < (int64_t)CHUNK_BYTES ? (size_t)(size - done) : CHUNK_BYTES;
        ssize_t got = pread(fd, chunk, want, done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        digest_update(d, chunk, (size_t)got);
        done += got;
    }
    free(chunk);
    return done == size;
}

static char *note_path(const struct cache_repo *c, const char *etag)
{
    return xasprintf("%s/.verified/%s", c->folder, etag);
}

static char *note_text(const struct stat *info)
{
    int64_t time_ns = (int64_t)info->st_mtim.tv_sec * NS_PER_S + info->st_mtim.tv_nsec;
    return xasprintf("%" PRId64 " %" PRId64 "\n", (int64_t)info->st_size, time_ns);
}

/* A read-only cache just keeps no notes. */
static void write_note(const struct cache_repo *c, const char *etag, const struct stat *info)
{
    char *path = note_path(c, etag), *text = note_text(info);
    char *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    if (dir_make(folder, NULL))
        (void)file_write(path, text, strlen(text), NULL);
    free(folder);
    free(text);
    free(path);
}

/* Whether a large blob is as it was when it was verified, or nobody has. */
static bool is_as_noted(const struct cache_repo *c, const char *etag, const struct stat *info)
{
    struct buf noted = {0};
    char *path = note_path(c, etag), *text = note_text(info);
    bool is_same = !file_read(&noted, path, NULL) || (noted.data && strcmp(noted.data, text) == 0);
    buf_free(&noted);
    free(text);
    free(path);
    return is_same;
}

static enum blob_state check_content(const struct cache_repo *c, const char *etag, int fd,
                                     const struct stat *info, const atomic_bool *stop)
{
    struct digest *d = digest_open(digest_kind_of(etag), info->st_size);
    bool is_read = hash_bytes(d, fd, info->st_size, stop);
    bool is_right = is_read && digest_matches(d, etag);
    digest_close(d);
    if (is_right && info->st_size > SMALL_BYTES)
        write_note(c, etag, info);
    return is_right || (stop && atomic_load(stop)) ? BLOB_GOOD : BLOB_DAMAGED;
}

enum blob_state blob_check(const struct cache_repo *c, const char *etag, int64_t size, bool verify,
                           const atomic_bool *stop)
{
    char *path = cache_blob_path(c, etag);
    enum blob_state state = BLOB_ABSENT;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &info) == 0) {
        if (size >= 0 && info.st_size != size)
            state = BLOB_DAMAGED;
        else if (!verify && info.st_size > SMALL_BYTES && is_as_noted(c, etag, &info))
            state = BLOB_GOOD;
        else
            state = check_content(c, etag, fd, &info, stop);
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return state;
}

void blob_remove(const struct cache_repo *c, const char *etag)
{
    char *path = cache_blob_path(c, etag), *note = note_path(c, etag);
    unlink(path);
    unlink(note);
    free(note);
    free(path);
}

/* ---- fetching ------------------------------------------------------------------------------- */

/* A file that grows, and the checksum of what it holds. */
struct part {
    const struct blob_wish *wish;
    struct meter *meter;
    struct error *err; /* for failures in the sink */
    char *path;
    int fd;
    struct digest *digest; /* of the bytes before position */
    int64_t position;      /* bytes that are there */
    int64_t counted;       /* of them, bytes that the meter knows */
};

static char *part_path(const struct cache_repo *c, const char *etag)
{
    return xasprintf("%s/blobs/%s.incomplete", c->folder, etag);
}

int64_t blob_resumable_bytes(const struct cache_repo *c, const char *etag, int64_t size)
{
    struct stat info;
    char *path = part_path(c, etag);
    bool is_there = stat(path, &info) == 0 && info.st_size <= size;
    free(path);
    return is_there ? info.st_size : 0;
}

static bool part_restart(struct part *p)
{
    if (ftruncate(p->fd, 0) != 0)
        return fail(p->err, ERR_IO, "can't write %s: %s", p->path, strerror(errno));
    digest_close(p->digest);
    p->digest = digest_open(digest_kind_of(p->wish->etag), p->wish->size);
    meter_skip(p->meter, -p->counted);
    p->position = p->counted = 0;
    return true;
}

/* Take up what an earlier process has left. */
static bool part_open(struct part *p, const struct cache_repo *c, const atomic_bool *stop)
{
    struct stat info;
    p->path = part_path(c, p->wish->etag);
    p->fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (p->fd < 0 || fstat(p->fd, &info) != 0)
        return fail(p->err, ERR_IO, "can't open %s: %s", p->path, strerror(errno));
    p->digest = digest_open(digest_kind_of(p->wish->etag), p->wish->size);
    if (info.st_size > p->wish->size || !hash_bytes(p->digest, p->fd, info.st_size, stop))
        return atomic_load(stop) ? fail(p->err, ERR_CANCELED, "interrupted") : part_restart(p);
    p->position = p->counted = info.st_size;
    meter_skip(p->meter, p->counted);
    if (p->position > 0)
        log_info("%s: continuing at byte %" PRId64 " of %" PRId64, p->wish->file, p->position,
                 p->wish->size);
    return true;
}

static void part_close(struct part *p)
{
    if (p->fd >= 0)
        close(p->fd);
    digest_close(p->digest);
    free(p->path);
}

static bool part_write(void *self, int64_t offset, const void *bytes, size_t size)
{
    struct part *p = self;
    if (offset == 0 && (p->position > 0 || p->counted > 0) && !part_restart(p))
        return false;
    if (offset != p->position || (int64_t)size > p->wish->size - offset)
        return false;
    for (size_t done = 0; done < size;) {
        ssize_t put =
            pwrite(p->fd, (const char *)bytes + done, size - done, offset + (int64_t)done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(p->err, ERR_IO, "can't write %s: %s", p->path, strerror(errno));
        done += (size_t)put;
    }
    digest_update(p->digest, bytes, size);
    p->position += (int64_t)size;
    p->counted += (int64_t)size;
    meter_add(p->meter, (int64_t)size);
    return true;
}

/* Put the whole file in its place. */
static bool part_finish(struct part *p, const struct cache_repo *c)
{
    struct stat info;
    char *path = cache_blob_path(c, p->wish->etag);
    bool ok = fsync(p->fd) == 0 && rename(p->path, path) == 0 && fstat(p->fd, &info) == 0;
    if (!ok)
        fail(p->err, ERR_IO, "can't write %s: %s", path, strerror(errno));
    else if (info.st_size > SMALL_BYTES)
        write_note(c, p->wish->etag, &info);
    free(path);
    return ok;
}

static bool fetch_part(struct session *s, struct transfer *t, struct part *p)
{
    struct transfer_answer answer;
    struct request request = {.file = p->wish->file,
                              .url = p->wish->url,
                              .sink = part_write,
                              .self = p,
                              .position = &p->position,
                              .size = p->wish->size};
    for (int n = 1;; n++) {
        if (p->position < p->wish->size && !request_run(s, t, &request, &answer, p->err))
            return false;
        if (digest_matches(p->digest, p->wish->etag))
            return part_finish(p, &s->cache);
        if (n == MAX_FETCHES) {
            unlink(p->path);
            return fail(p->err, ERR_IO,
                        "%s: the checksum is wrong after %d downloads: something between here and "
                        "the hub changes the bytes",
                        p->wish->file, n);
        }
        log_warning("%s: the checksum is wrong: fetching it again", p->wish->file);
        if (!part_restart(p))
            return false;
    }
}

static bool fetch_locked(struct session *s, struct transfer *t, const struct blob_wish *wish,
                         struct error *err)
{
    enum blob_state state =
        blob_check(&s->cache, wish->etag, wish->size, s->options->verify, &s->stop);
    if (state == BLOB_GOOD) {
        meter_skip(&s->meter, wish->size);
        return true;
    }
    if (state == BLOB_DAMAGED) {
        log_warning("%s: the copy in the cache is damaged: fetching it again", wish->file);
        blob_remove(&s->cache, wish->etag);
    }
    struct part part = {.wish = wish, .meter = &s->meter, .err = err, .fd = -1};
    bool ok = part_open(&part, &s->cache, &s->stop) && fetch_part(s, t, &part);
    part_close(&part);
    return ok;
}

bool blob_fetch(struct session *s, struct transfer *t, const struct blob_wish *wish,
                struct error *err)
{
    int lock;
    char *path = cache_lock_path(&s->cache, wish->etag);
    bool ok = lock_take(&lock, path, wish->file, &s->stop, err) && fetch_locked(s, t, wish, err);
    lock_release(lock);
    free(path);
    if (ok)
        meter_end_file(&s->meter);
    return ok;
}
