#include "client/report_html_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define N_COLUMNS REPORT_HTML_COLUMNS
#define LEAST_WINDOW_S 1e-6

const struct report_html_part REPORT_HTML_PART[REPORT_HTML_PARTS] = {
    {"send_lag", "Waiting to be sent"},
    {"http_req_sending", "Sending"},
    {"server_queue_time", "Queue"},
    {"server_text_encoding_time", "Text encoding"},
    {"server_denoising_time", "Denoising"},
    {"server_vae_time", "VAE"},
    {"server_image_coding_time", "Image coding"},
    {"server_other_time", "Other"},
    {"unexplained_time", "Unexplained"},
    {"http_req_receiving", "Receiving"},
};
enum { PART_QUEUE = 2, PART_OTHER = 7 };

enum level { IN_FLIGHT, QUEUED, WAITING };

/* ---- adding --------------------------------------------------------------------------------- */

void report_html_data_begin(struct report_html_data *d, double from_s, double to_s)
{
    *d = (struct report_html_data){.from_s = from_s, .to_s = to_s};
    if (d->to_s - d->from_s < LEAST_WINDOW_S)
        d->to_s = d->from_s + LEAST_WINDOW_S;
}

double report_html_data_width_s(const struct report_html_data *d)
{
    return (d->to_s - d->from_s) / N_COLUMNS;
}

/* A moment as a position between 0 and N_COLUMNS. */
static double position(const struct report_html_data *d, double at_s)
{
    double at = (at_s - d->from_s) / report_html_data_width_s(d);
    return at < 0 ? 0 : at > N_COLUMNS ? N_COLUMNS : at;
}

static size_t column_of(double at) { return at >= N_COLUMNS ? N_COLUMNS - 1 : (size_t)at; }

static double *level_of(struct report_html_column *c, enum level level)
{
    return level == IN_FLIGHT ? &c->in_flight : level == QUEUED ? &c->queued : &c->waiting;
}

/* Count one request in a level from one moment to another: the share of the columns at both ends,
 * and whole columns between as two changes, so that the cost does not grow with the span. */
static void add_span(struct report_html_data *d, enum level level, double from_s, double to_s)
{
    double from = position(d, from_s), to = position(d, to_s);
    if (to <= from)
        return;
    size_t first = column_of(from), last = column_of(to);
    if (first == last) {
        *level_of(&d->columns[first], level) += to - from;
        return;
    }
    *level_of(&d->columns[first], level) += (double)(first + 1) - from;
    *level_of(&d->columns[last], level) += to - (double)last;
    d->changes[level][first + 1] += 1;
    d->changes[level][last] -= 1;
}

static void add_sample(struct report_html_data *d, const struct report_html_point *p, size_t column)
{
    if (d->n_samples == d->capacity) {
        d->capacity = d->capacity ? 2 * d->capacity : 256;
        d->samples = xrealloc(d->samples, d->capacity * sizeof *d->samples);
    }
    struct report_html_sample *s = &d->samples[d->n_samples++];
    *s = (struct report_html_sample){.due_s = (float)(p->due_s - d->from_s),
                                     .column = (unsigned short)column};
    for (size_t k = 0; k < REPORT_HTML_SERIES; k++)
        s->ms[k] = (float)p->ms[k];
}

void report_html_data_close_parts(struct report_html_point *p, double server_total_ms)
{
    double rest_ms = server_total_ms;
    for (size_t k = PART_QUEUE; k <= PART_OTHER; k++)
        rest_ms -= p->part_ms[k];
    if (rest_ms > 0)
        p->part_ms[PART_OTHER] += rest_ms;
}

void report_html_data_add(struct report_html_data *d, const struct report_html_point *p)
{
    size_t column = column_of(position(d, p->due_s));
    struct report_html_column *c = &d->columns[column];
    add_span(d, WAITING, p->due_s, p->start_s);
    add_span(d, IN_FLIGHT, p->start_s, p->end_s);
    d->is_late |= p->start_s - p->due_s > clock_seconds(METRICS_LATE_NS);
    if (!p->succeeded) {
        c->n_failed++;
        d->n_failed++;
        return;
    }
    c->n++;
    add_sample(d, p, column);
    if (!p->has_parts)
        return;
    add_span(d, QUEUED, p->start_s, p->start_s + p->part_ms[PART_QUEUE] / 1000);
    c->n_parts++;
    d->n_parts++;
    for (size_t k = 0; k < REPORT_HTML_PARTS; k++)
        c->part_ms[k] += p->part_ms[k];
}

/* ---- finishing ------------------------------------------------------------------------------ */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_dues(const void *a, const void *b)
{
    const struct report_html_sample *x = a, *y = b;
    int by_due = (x->due_s > y->due_s) - (x->due_s < y->due_s);
    enum report_html_series k = REPORT_HTML_RESPONSE;
    return by_due ? by_due : (x->ms[k] > y->ms[k]) - (x->ms[k] < y->ms[k]);
}

/* All values of a series, column by column, and ascending in each: its least, middle and greatest
 * are the column's. */
static void fill_columns(struct report_html_data *d, enum report_html_series k)
{
    size_t ends[N_COLUMNS], first = 0;
    double *values = xcalloc(d->n_samples, sizeof *values);
    for (size_t i = 0; i < N_COLUMNS; i++) {
        ends[i] = first;
        first += d->columns[i].n;
    }
    for (size_t i = 0; i < d->n_samples; i++)
        values[ends[d->samples[i].column]++] = d->samples[i].ms[k];
    for (size_t i = 0; i < N_COLUMNS; i++) {
        struct report_html_column *c = &d->columns[i];
        double *own = values + ends[i] - c->n;
        if (c->n == 0)
            continue;
        qsort(own, c->n, sizeof *own, compare_doubles);
        c->min_ms[k] = own[0];
        c->max_ms[k] = own[c->n - 1];
        c->median_ms[k] = (own[(c->n - 1) / 2] + own[c->n / 2]) / 2;
    }
    d->sorted[k] = values;
}

static void fill_levels(struct report_html_data *d)
{
    for (int level = IN_FLIGHT; level <= WAITING; level++) {
        double whole = 0;
        for (size_t i = 0; i < N_COLUMNS; i++) {
            whole += d->changes[level][i];
            *level_of(&d->columns[i], (enum level)level) += whole;
        }
    }
}

void report_html_data_finish(struct report_html_data *d)
{
    fill_levels(d);
    if (d->n_samples == 0)
        return;
    for (int k = 0; k < REPORT_HTML_SERIES; k++)
        fill_columns(d, (enum report_html_series)k);
    if (d->n_samples <= REPORT_HTML_MAX_DOTS) {
        qsort(d->samples, d->n_samples, sizeof *d->samples, compare_dues);
    } else { /* the columns tell of them */
        free(d->samples);
        d->samples = NULL;
    }
    for (size_t k = 0; k < REPORT_HTML_SERIES; k++)
        qsort(d->sorted[k], d->n_samples, sizeof *d->sorted[k], compare_doubles);
}

void report_html_data_free(struct report_html_data *d)
{
    free(d->samples);
    for (size_t k = 0; k < REPORT_HTML_SERIES; k++)
        free(d->sorted[k]);
    *d = (struct report_html_data){0};
}

/* ---- from a run ----------------------------------------------------------------------------- */

static void read_record(struct report_html_point *p, const struct record *r,
                        const struct metric *const parts[REPORT_HTML_PARTS])
{
    double total, value;
    *p = (struct report_html_point){.due_s = clock_seconds(r->due_ns),
                                    .start_s = clock_seconds(r->start_ns),
                                    .end_s = clock_seconds(r->end_ns),
                                    .succeeded = record_succeeded(r)};
    p->ms[REPORT_HTML_RESPONSE] = (p->end_s - p->due_s) * 1000;
    p->ms[REPORT_HTML_LATENCY] = (p->end_s - p->start_s) * 1000;
    p->has_parts = metric_find("server_total_time")->get(r, &total);
    for (size_t k = 0; k < REPORT_HTML_PARTS && p->has_parts; k++) {
        if (parts[k]->get(r, &value))
            p->part_ms[k] = value;
    }
    if (p->has_parts)
        report_html_data_close_parts(p, total);
}

void report_html_data_fill(struct report_html_data *d, const struct report_phase *phase)
{
    const struct metric *parts[REPORT_HTML_PARTS];
    struct report_html_point p;
    double from_s = INFINITY, to_s = -INFINITY;
    for (size_t k = 0; k < REPORT_HTML_PARTS; k++)
        parts[k] = metric_find(REPORT_HTML_PART[k].tag);
    for (size_t i = 0; i < phase->n_flights; i++) {
        kept_pass(phase->kept, i);
        from_s = fmin(from_s, clock_seconds(phase->flights[i]->due_ns));
        to_s = fmax(to_s, clock_seconds(phase->flights[i]->end_ns));
    }
    report_html_data_begin(d, phase->n_flights ? from_s : 0, phase->n_flights ? to_s : 0);
    for (size_t i = 0; i < phase->n_flights; i++) {
        kept_pass(phase->kept, i);
        read_record(&p, phase->flights[i], parts);
        report_html_data_add(d, &p);
    }
    report_html_data_finish(d);
}
