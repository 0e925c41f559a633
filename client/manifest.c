#include "client/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/calibrate.h"
#include "client/random.h"

#define MAX_FILE 65536 /* of what is read under /proc and /sys */

/* ---- the host ------------------------------------------------------------------------------- */

/* The rest of the first line that begins with prefix, after blanks and a colon; NULL: none. */
static char *read_line(const char *path, const char *prefix)
{
    char line[1024], *found = NULL;
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    for (int i = 0; !found && i < MAX_FILE && fgets(line, sizeof line, file); i++) {
        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        char *from = line + strlen(prefix);
        from += strspn(from, " \t:");
        from[strcspn(from, "\n")] = '\0';
        found = xstrdup(from);
    }
    fclose(file);
    return found;
}

/* Takes the text; without one the member is absent. */
static void set_owned(struct json *object, const char *key, char *text)
{
    if (text)
        json_set(object, key, json_new_string(text));
    free(text);
}

static struct json *host_of(void)
{
    struct json *host = json_new_object();
    struct utsname name;
    if (uname(&name) == 0) {
        json_set(host, "name", json_new_string(name.nodename));
        json_set(host, "kernel", json_new_string(name.release));
        json_set(host, "machine", json_new_string(name.machine));
    }
    set_owned(host, "cpu", read_line("/proc/cpuinfo", "model name"));
    json_set(host, "cores", json_new_int(sysconf(_SC_NPROCESSORS_ONLN)));
    set_owned(host, "memory", read_line("/proc/meminfo", "MemTotal"));
    set_owned(host, "governor",
              read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", ""));
    set_owned(host, "gpu_driver", read_line("/proc/driver/nvidia/version", "NVRM version"));
    return host;
}

/* ---- the rest ------------------------------------------------------------------------------- */

static char *hash_bodies(const struct prompts *p)
{
    uint8_t digest[SHA256_SIZE];
    struct buf text = {0};
    prompts_hash(p, digest);
    for (size_t i = 0; i < SHA256_SIZE; i++)
        buf_printf(&text, "%02x", digest[i]);
    return text.data;
}

static struct json *data_set_of(const struct prompts *p)
{
    struct json *set = json_new_object();
    json_set(set, "entries", json_new_int((int64_t)p->n_entries));
    set_owned(set, "sha256", hash_bodies(p));
    return set;
}

static struct json *server_of(const struct report *r)
{
    struct json *server = json_new_object();
    if (r->server_build)
        json_set(server, "build", json_new_string(r->server_build));
    if (r->served_model)
        json_set(server, "model", json_new_string(r->served_model));
    return server;
}

static struct json *config_of(const struct report *r)
{
    struct buf text = {0};
    report_json_config(&text, r->options, 0);
    struct json *config = json_parse(text.data, text.size, NULL);
    buf_free(&text);
    return config ? config : json_new_null();
}

void manifest_print(struct buf *out, const struct report *r, const struct prompts *prompts)
{
    struct json *root = json_new_object();
    char date[64];
    int64_t unix_ns = report_main_phase(r)->load.start_ns + r->unix_offset_ns;
    time_t seconds = (time_t)(unix_ns / NS_PER_S);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_set(root, "schema_version", json_new_int(MANIFEST_SCHEMA_VERSION));
    json_set(root, "benchmark_id", json_new_string(r->benchmark_id));
    json_set(root, "start_time", json_new_string(date));
    json_set(root, "fluxperf", json_new_string(FLUXBENCH_VERSION));
    json_set(root, "command", json_new_string(r->options->cli_command));
    json_set(root, "seed", r->options->has_seed ? json_new_int(r->options->seed) : json_new_null());
    json_set(root, "data_set", data_set_of(prompts));
    json_set(root, "server", server_of(r));
    json_set(root, "host", host_of());
    if (r->calibration)
        json_set(root, "calibration", calibrate_json(r->calibration));
    json_set(root, "config", config_of(r));
    json_print(out, root, 2);
    buf_putc(out, '\n');
    json_free(root);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool is_volatile(const char *path)
{
    static const char *const PATHS[] = {"benchmark_id",   "start_time",      "command",
                                        "calibration",    "host.name",       "config.runtime",
                                        "config.logging", "config.artifacts"};
    for (size_t i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++) {
        if (strcmp(path, PATHS[i]) == 0)
            return true;
    }
    return false;
}

static void walk(const struct json *a, const struct json *b, const char *path,
                 manifest_differ_fn differ, void *self);

/* Members of a (and, when only_new, of a that b lacks, with the sides swapped). */
static void walk_members(const struct json *a, const struct json *b, const char *path,
                         manifest_differ_fn differ, void *self, bool only_new)
{
    for (const struct json *child = json_first(a); child; child = json_next(child)) {
        const char *key = json_key(child);
        const struct json *other = json_get(b, key);
        char *inner = *path ? xasprintf("%s.%s", path, key) : xstrdup(key);
        if (!only_new)
            walk(child, other, inner, differ, self);
        else if (!other)
            walk(NULL, child, inner, differ, self);
        free(inner);
    }
}

static void walk(const struct json *a, const struct json *b, const char *path,
                 manifest_differ_fn differ, void *self)
{
    bool are_objects = a && b && json_type(a) == JSON_OBJECT && json_type(b) == JSON_OBJECT;
    struct buf x = {0}, y = {0};
    if (is_volatile(path))
        return;
    if (are_objects) {
        walk_members(a, b, path, differ, self, false);
        walk_members(b, a, path, differ, self, true);
        return;
    }
    if (a)
        json_print(&x, a, 0);
    if (b)
        json_print(&y, b, 0);
    if (!x.data || !y.data || strcmp(x.data, y.data) != 0)
        differ(self, path, x.data, y.data);
    buf_free(&x);
    buf_free(&y);
}

void manifest_compare(const struct json *a, const struct json *b, manifest_differ_fn differ,
                      void *self)
{
    walk(a, b, "", differ, self);
}

/* Keys may have dots themselves. */
bool manifest_has(const struct json *manifest, const char *path)
{
    bool is_found = false;
    if (!manifest || json_type(manifest) != JSON_OBJECT)
        return false;
    for (const struct json *child = json_first(manifest); child && !is_found;
         child = json_next(child)) {
        size_t n = strlen(json_key(child));
        if (strncmp(path, json_key(child), n) == 0)
            is_found = path[n] == '\0' || (path[n] == '.' && manifest_has(child, path + n + 1));
    }
    return is_found;
}
