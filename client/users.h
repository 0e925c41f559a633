/* User-centric load: a number of users share a request rate. Each sends the turns of a session,
 * users / rate seconds apart, and is then replaced by a new one, so that one request is due every
 * 1 / rate seconds. The first users are met in the middle of their sessions, as if the load had
 * been there for long. Which user has which session, and for how many turns, is AIPerf's. */
#pragma once

#include "client/schedule.h"

/* Plan n requests. prompts holds sessions of any lengths; users take them in order. Request i
 * belongs to the same place as request i - n_users, and follows it when it is a later turn of the
 * same user. dir is where large lists may lie (spill.h). */
bool users_plan(struct schedule *s, const struct prompts *prompts, int64_t n_users, double rate_hz,
                size_t n, const char *dir, struct error *err);
